"""Imports of the server that forks contenders: packages that take long to import and leave no thread running.

``import openvino`` by itself starts a thread that sends usage reports. A process that is forked while such a thread
holds a lock waits for it for ever.
"""

from lunet_networks.bundle.inference.formats import import_silently
from tools.speed import contenders

__all__ = ["contenders"]

for engine in contenders.ENGINES.values():
    import_silently(engine)
