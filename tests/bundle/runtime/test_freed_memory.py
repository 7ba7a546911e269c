"""Freed memory is kept, which the system's count of fresh pages tells."""

import os
import platform
import subprocess
import sys

import pytest

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


def _run(code: str, *arguments: str, **environment: str) -> str:
    process = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return process.stdout.strip()


def test_the_same_memory_serves_the_next_step() -> None:
    assert int(_run(FRESH_PAGES, "as it is")) > 900  # MiB
    assert int(_run(FRESH_PAGES, "2**30")) < 100


def test_what_is_larger_is_given_back() -> None:
    assert int(_run(FRESH_PAGES, "2**24")) > 900


def test_settings_of_the_user_win() -> None:
    code = "from lunet_networks.bundle.runtime.freed_memory import keep_freed_memory; print(keep_freed_memory())"
    assert _run(code) == "True"
    assert _run(code, MALLOC_TRIM_THRESHOLD_="131072") == "False"
    assert _run(code, GLIBC_TUNABLES="") == "False"
