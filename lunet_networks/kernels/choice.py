"""Whether this process uses the kernels, and which they are."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import torch

from lunet_networks.kernels.library import SWITCH, library

__all__ = ["KERNELS", "describe_kernels", "use_kernels"]

KERNELS = {"auto": "where they are faster", "off": "never"}
_GIVEN = os.environ.get(SWITCH)  # by the user


def use_kernels(choice: str) -> None:
    """Use the kernels in this process from now on where they are faster, or leave all layers to PyTorch.

    Args:
        choice: ``auto``, which leaves the environment variable ``LUNET_KERNELS`` as the user has set it, or ``off``.

    Raises:
        ValueError: if it is neither.

    Example:
        >>> use_kernels("off")
        >>> describe_kernels() is None
        True
        >>> use_kernels("auto")
    """
    if choice not in KERNELS:
        raise ValueError(f"kernels is {choice!r}: it has to be auto or off")
    value = "off" if choice == "off" else _GIVEN
    if value is None:
        os.environ.pop(SWITCH, None)
    else:
        os.environ[SWITCH] = value
    library.cache_clear()


def describe_kernels() -> dict[str, str] | None:
    """What the last bits of a training depend on: a digest of the kernels' source, and the instructions of the
    processor that they use; None if no kernels are used.

    Example:
        >>> found = describe_kernels()
        >>> found is None or sorted(found) == ["instructions", "source"]
        True
    """
    if library() is None:
        return None
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.[ch]pp")):
        digest.update(path.read_bytes())
    return {"source": digest.hexdigest()[:12], "instructions": torch.backends.cpu.get_cpu_capability()}
