"""Keeping freed memory in the process, as networks need the same amount again at every step."""

from __future__ import annotations

import ctypes
import os
import platform

__all__ = ["keep_freed_memory"]

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of glibc's malloc.h
_NEVER = -1
_SETTINGS = {  # environment variables with which a user may have set glibc's malloc
    "GLIBC_TUNABLES",
    "MALLOC_MMAP_MAX_",
    "MALLOC_MMAP_THRESHOLD_",
    "MALLOC_TOP_PAD_",
    "MALLOC_TRIM_THRESHOLD_",
}


def keep_freed_memory(largest: int = 2**30) -> bool:
    """Let this process keep freed memory for the next tensors, instead of returning it to the system.

    glibc returns large blocks to the system, which then has to fill new pages with zeros at the next step. Lean
    networks compute so little per byte that this can take as long as the computation. With this setting, the process
    keeps the memory of its peak.

    Args:
        largest: in bytes; larger tensors are still returned to the system when they are freed, and leave no gaps. At
            most 2 GiB less one byte, as ``mallopt`` takes an int.

    Returns:
        Whether the setting was made. Nothing is done without glibc on Linux, or if the environment already controls the
        allocation (``MALLOC_TRIM_THRESHOLD_`` and similar variables, ``GLIBC_TUNABLES`` even if empty).

    Example:
        >>> kept = keep_freed_memory()
    """
    if platform.libc_ver()[0] != "glibc" or _SETTINGS & os.environ.keys():
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return bool(mallopt(_MMAP_THRESHOLD, largest) and mallopt(_TRIM_THRESHOLD, _NEVER))
