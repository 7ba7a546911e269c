"""A description of the machine on which figures were measured, without its host name.

``monai.config.get_system_info`` does not report the CPU model on Linux, needs psutil for the memory, and reads the
command and all open files; ``torch.utils.collect_env`` starts other programs. Both report more than a record should.
"""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

import torch

__all__ = ["describe_machine"]

_CPU_INFO = Path("/proc/cpuinfo")


def describe_machine() -> dict[str, Any]:
    """CPU model, cores and instruction set, memory, operating system, and the GPU if there is one.

    Example:
        >>> sorted(describe_machine())
        ['cpu', 'cpu_cores', 'cpu_instructions', 'gpu', 'os', 'ram_gib']
    """
    return {
        "cpu": _cpu(),
        "cpu_cores": os.cpu_count(),
        "cpu_instructions": torch.backends.cpu.get_cpu_capability(),
        "ram_gib": _ram_gib(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "os": f"{platform.system()} {platform.machine()}",
    }


def _cpu() -> str:
    """The CPU model; Linux gives it in /proc only."""
    lines = _CPU_INFO.read_text(encoding="utf-8").splitlines() if _CPU_INFO.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _ram_gib() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (AttributeError, ValueError, OSError):  # Windows has no sysconf
        return None
