"""What the server that forks contenders imports: all that takes long to import, and leaves no thread at work.

``import openvino`` by itself starts a thread that reports to its makers. A process that is forked while such a thread
holds a lock waits for it for ever.
"""

from lunet_networks.bundle.inference.formats import import_silently
from tools.speed import contenders

__all__ = ["contenders"]

for engine in contenders.ENGINES.values():
    import_silently(engine)
