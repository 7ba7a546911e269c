"""Freed memory is kept, which the system's count of fresh pages tells."""

import platform
import subprocess
import sys

import pytest

from lunet_networks.bundle.runtime.freed_memory import keep_freed_memory

FRESH_PAGES = """
import resource, sys
import torch
from lunet_networks.bundle.runtime.freed_memory import keep_freed_memory

if sys.argv[1] != "as it is":
    assert keep_freed_memory(eval(sys.argv[1]))
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
def step():
    return [torch.zeros(12 * 2**20) for _ in range(2)]  # 48 MiB each
step()
before = faults()
for _ in range(10):
    step()
print((faults() - before) * resource.getpagesize() // 2**20)
"""

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is told to")


def _fresh_pages(kept: str) -> int:
    """MiB that ten steps ask of the system, in a process of its own."""
    command = [sys.executable, "-c", FRESH_PAGES, kept]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def test_the_same_memory_serves_the_next_step() -> None:
    assert _fresh_pages("as it is") > 900
    # what the system pages out meanwhile is counted, too: one quiet process is enough
    assert any(_fresh_pages("2**30") < 100 for _ in range(5))


def test_what_is_larger_is_given_back() -> None:
    assert _fresh_pages("2**24") > 900


@pytest.mark.parametrize(("name", "value"), [("MALLOC_TRIM_THRESHOLD_", "131072"), ("GLIBC_TUNABLES", "")])
def test_settings_of_the_user_win(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    assert keep_freed_memory() is False
