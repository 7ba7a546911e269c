"""Folders that only one process writes in at a time. What a killed process leaves of its lock keeps nobody out."""

from __future__ import annotations

import errno
import logging
import os
import socket
import weakref
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import IO

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

__all__ = ["LOCK", "FolderLock"]

# lunet crossval, which starts trainings, has its own lock in the same folder
LOCK = ".training.lock"
NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP)
logger = logging.getLogger(__name__)


class FolderLock:
    """A lock of a folder: a hidden file in it, locked by the operating system as long as the process lives.

    Where the system or the file system has no locks, it keeps nobody out.

    Args:
        folder: made if need be, and removed at the end if nothing was written in it.
        option: that names another folder, for the message.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp(), "eval")
        >>> first, second = FolderLock(folder, "--output_dir"), FolderLock(folder, "--output_dir")
        >>> first.acquire()
        >>> try:
        ...     second.acquire()
        ... except BlockingIOError as error:
        ...     print(f"process {os.getpid()} on " in str(error))
        True
        >>> first.release()
        >>> second.acquire()
        >>> second.release()
    """

    def __init__(self, folder: str | Path, option: str) -> None:
        self.folder = Path(folder)
        self.option = option
        self._file: IO[str] | None = None
        self._made: list[Path] = []

    @property
    def is_held(self) -> bool:
        """Whether this object has the lock."""
        return self._file is not None

    def acquire(self) -> None:
        """Take the lock, unless this object has it.

        Raises:
            BlockingIOError: if another one has it; the message names the folder and the process, and what to do.
            OSError: if nothing can be written in the folder.
        """
        if self.is_held:
            return
        self._made = [path for path in (self.folder, *self.folder.parents) if not path.exists()]
        while not self.is_held:
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
                self._try()
            except FileNotFoundError:  # who had the lock has just removed the folder
                continue
            except (PermissionError, NotADirectoryError, FileExistsError) as error:
                raise OSError(
                    error.errno, f"cannot write in {self.folder} ({error.strerror}): choose a folder with {self.option}"
                ) from None

    def release(self) -> None:
        """Give the lock back, if this object has it."""
        if self._file is None:
            return
        with suppress(OSError):
            (self.folder / LOCK).unlink()  # while it is locked: nobody else deletes or has it
        self._file.close()
        self._file = None
        for folder in self._made:
            with suppress(OSError):  # something was written in it
                folder.rmdir()

    def _try(self) -> None:
        path = self.folder / LOCK
        file = open(path, "a+", encoding="utf-8")  # noqa: SIM115, it stays open
        try:
            if fcntl is not None:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            with file:
                raise BlockingIOError(self._refusal(file)) from None
        except OSError as error:
            if error.errno not in NO_LOCKS:
                file.close()
                raise
            logger.warning(f"the file system of {self.folder} has no locks: start no other training that writes there")
        if not _is_at(file, path):  # who had the lock has removed the file in between
            file.close()
            return
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}, since {datetime.now():%Y-%m-%d %H:%M:%S}")
        file.flush()
        self._file = file
        _held.add(self)

    def _refusal(self, file: IO[str]) -> str:
        file.seek(0)
        holder = file.read() or "which has just begun"
        return (
            f"{self.folder} is written by another training ({holder}): wait until it has ended, or choose another "
            f"folder with {self.option}"
        )


_held: weakref.WeakSet[FolderLock] = weakref.WeakSet()


def _leave_to_parent() -> None:
    """Close the files in a forked process, such as a worker that loads data: it may outlive a killed training."""
    for lock in list(_held):
        if lock._file is not None:
            lock._file.close()
            lock._file = None


def _is_at(file: IO[str], path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_to_parent)
