"""Hooks of pytest: when a process that runs tests dies, the end of the report says of what, and where it stood."""

import faulthandler
import signal
import tempfile
from pathlib import Path
from typing import Any

import pytest

DEATHS = pytest.StashKey[list[str]]()


def _trace(run: str, worker: str) -> Path:
    """Where a worker's stacks are written when it dies of a fault in compiled code."""
    return Path(tempfile.gettempdir()) / f"lunet_networks_{run}_{worker}.trace"


@pytest.hookimpl(trylast=True)  # after pytest's own, which writes to the terminal
def pytest_configure(config: pytest.Config) -> None:
    """Let a worker write the stacks of its threads to a file; its process keeps the file open to its end."""
    config.stash[DEATHS] = []
    if hasattr(config, "workerinput"):
        file = _trace(config.workerinput["testrunuid"], config.workerinput["workerid"]).open("w")
        faulthandler.enable(file=file)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object | None) -> None:
    """Note how a worker ended: by itself (error is None), or of what signal and where."""
    trace = _trace(node.workerinput["testrunuid"], node.workerinput["workerid"])
    if error is not None:
        status = node.gateway._io.popen.wait(timeout=10)  # execnet has no public way to the process
        cause = signal.Signals(-status).name if status < 0 else f"exit status {status}"
        available = next(line for line in Path("/proc/meminfo").read_text().splitlines() if "MemAvailable" in line)
        stacks = trace.read_text().partition("Extension modules:")[0] if trace.is_file() else ""
        told = stacks or "no stacks were written: a library may have replaced the stack on which signals are handled\n"
        node.config.stash[DEATHS].append(f"{node.gateway.id} died of {cause}; {available}\n{told}")
    trace.unlink(missing_ok=True)


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Tell of the deaths at the end, where they are read."""
    for death in config.stash[DEATHS]:
        terminalreporter.section("a process that ran tests died")
        terminalreporter.write(death)
