"""A folder is locked while a process lives, and not longer."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from lunet_networks.bundle.runtime.locks import LOCK, FolderLock

HOLD = """
import os, sys, time
from lunet_networks.bundle.runtime.locks import FolderLock
lock = FolderLock(sys.argv[1], "--output_dir")
lock.acquire()
if sys.argv[2] == "fork" and os.fork() == 0:  # a worker that loads data, which outlives a killed training
    os.close(1)
    time.sleep(60)
print(flush=True)
time.sleep(60)
"""


@contextmanager
def holder(folder: Path, how: str = "alone") -> Iterator[subprocess.Popen]:
    """A process that has locked a folder, in a process group of its own."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder), how], stdout=subprocess.PIPE, start_new_session=True
    )
    try:
        process.stdout.readline()
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, 9)
        process.wait()
        process.stdout.close()


def test_another_process_is_named_with_what_to_do(tmp_path: Path) -> None:
    with holder(tmp_path) as process:
        with pytest.raises(BlockingIOError) as caught:
            FolderLock(tmp_path, "--ckpt_dir").acquire()
        message = str(caught.value)
        assert message.startswith(f"{tmp_path} is written by another training (process {process.pid} on ")
        assert message.endswith("): wait until it has ended, or choose another folder with --ckpt_dir")
        assert "\n" not in message


@pytest.mark.parametrize("how", ["alone", "fork"])
def test_a_killed_process_keeps_nobody_out(how: str, tmp_path: Path) -> None:
    with holder(tmp_path, how) as process:
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # its number stays its own until its group is killed
        assert (tmp_path / LOCK).is_file()
        lock = FolderLock(tmp_path, "--output_dir")
        lock.acquire()
        assert f"process {os.getpid()} on " in (tmp_path / LOCK).read_text()
        lock.release()
    assert not list(tmp_path.iterdir())


def test_a_folder_in_which_nothing_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=r"cannot write in .*models \(Not a directory\): choose a folder with --ckpt_dir"):
        FolderLock(tmp_path / "file" / "models", "--ckpt_dir").acquire()


def test_it_leaves_folders_as_they_were(tmp_path: Path) -> None:
    lock = FolderLock(tmp_path / "runs" / "first", "--output_dir")
    lock.acquire()
    lock.acquire()
    assert lock.is_held
    lock.release()
    lock.release()
    assert not list(tmp_path.iterdir())
    lock.acquire()
    (tmp_path / "runs" / "first" / "run.json").touch()
    lock.release()
    assert [path.name for path in tmp_path.rglob("*")] == ["runs", "first", "run.json"]
