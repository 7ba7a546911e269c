"""What a process does with memory that it has freed: keep it, as networks ask for the same again at every step."""

from __future__ import annotations

import ctypes
import os
import platform

__all__ = ["keep_freed_memory"]

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of glibc's malloc.h
_NEVER = -1
_SETTINGS = {  # of glibc's malloc, that a user may have made
    "GLIBC_TUNABLES",
    "MALLOC_MMAP_MAX_",
    "MALLOC_MMAP_THRESHOLD_",
    "MALLOC_TOP_PAD_",
    "MALLOC_TRIM_THRESHOLD_",
}


def keep_freed_memory(largest: int = 2**30) -> bool:
    """Let this process keep the memory that it frees, for the next tensors, instead of giving it back to the system.

    glibc gives back what is large, and has the system fill fresh pages with zeros at the next step. Lean networks
    compute so little with every byte that this can take as long as they do. The process then stays as large as it was
    at its peak.

    Args:
        largest: bytes; tensors of more than these are given back when they are freed, and leave no gaps. At most 2 GiB
            less one byte, as ``mallopt`` takes an int.

    Returns:
        Whether it does so: elsewhere than with glibc on Linux it does nothing, and neither where the environment says
        how memory is to be allocated (``MALLOC_TRIM_THRESHOLD_`` and its like, ``GLIBC_TUNABLES`` even if empty).

    Example:
        >>> kept = keep_freed_memory()
    """
    if platform.libc_ver()[0] != "glibc" or _SETTINGS & os.environ.keys():
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return bool(mallopt(_MMAP_THRESHOLD, largest) and mallopt(_TRIM_THRESHOLD, _NEVER))
