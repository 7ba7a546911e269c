"""Commands that a command runs as a user would type them, and folders that only one of them may use at a time."""

import errno
import fcntl
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from lunet_networks.bundle.runtime.commands import quoted

NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP)


@contextmanager
def alone_in(folder: Path) -> Iterator[int]:
    """Wait until no other process works in a folder, and keep others out.

    Args:
        folder: made if need be.

    Yields:
        A file descriptor. Processes that inherit it keep others out as long as they live, so that what a killed
        command has started is not disturbed by the next one.

    Example::

        with alone_in(Path("crossval/fold_0")) as lock:
            run_python(["-m", "monai.bundle", "run", ...], lock)
    """
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / ".lock", "wb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"another process works in {folder}: waiting until it ends", flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
            print(f"the file system of {folder} has no locks: do not run another command on it at the same time")
        yield file.fileno()


def run_python(arguments: Sequence[str], lock: int | None = None) -> None:
    """Print a command of this Python, run it and wait. Where it fails this process ends with its status.

    Args:
        arguments: of python.
        lock: of :py:func:`alone_in`, held until the command has ended even if this process is killed before; or None.
    """
    print(f"\n$ {typed(arguments)}", flush=True)
    kept = [] if lock is None else [lock]
    status = subprocess.run([sys.executable, "-W", "ignore", *arguments], pass_fds=kept).returncode
    if status < 0:
        sys.exit(f"error: signal {-status} ended the command above")
    if status:
        sys.exit(status)


def typed(arguments: Sequence[str]) -> str:
    """A command of this Python as one would type it.

    Example:
        >>> print(typed(["-m", "lunet_networks", "verify", "my bundle"]))
        lunet verify 'my bundle'
    """
    if list(arguments[:2]) == ["-m", "lunet_networks"]:
        return shell(["lunet", *arguments[2:]])
    return shell(["python", *arguments])


def shell(command: Sequence[str]) -> str:
    """A command as one would type it.

    Example:
        >>> print(shell(["python", "tool.py", "--files", "['a.json', 'b.json']", "two words"]))
        python tool.py --files "['a.json', 'b.json']" 'two words'
    """
    return " ".join(map(quoted, command))
