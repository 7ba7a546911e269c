"""Where compiled kernels are kept: folders and files that only this user can write, because what they hold is run."""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

__all__ = ["cache_folders", "is_intact", "make_trusted", "seal"]

DIGEST_LENGTH = hashlib.sha256().digest_size


def cache_folders() -> Iterator[Path]:
    """Where kernels can be kept, the best place first: ``lunet_networks`` in the user's cache (``XDG_CACHE_HOME``, or
    ``.cache`` at home), then a folder of the user's in the temporary folder."""
    with contextlib.suppress(RuntimeError):  # a user without a home
        yield Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache").absolute() / "lunet_networks"
    user = f"-{os.getuid()}" if hasattr(os, "getuid") else ""
    yield Path(tempfile.gettempdir(), f"lunet_networks{user}").absolute()


def make_trusted(folder: Path) -> None:
    """Make a folder, if it is absent, that only this user can write.

    Raises:
        OSError: if it cannot be made, or another user can write it.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not _is_trusted(folder):
        raise PermissionError(f"other users can write the folder {folder}: delete it, or `chmod go-w` it")


def _is_trusted(path: Path) -> bool:
    """Whether nobody but this user and the administrator can have written it, or put a link in its place."""
    if not hasattr(os, "getuid"):
        return True
    link, target = path.lstat(), path.stat()
    owners = {0, os.getuid()}
    return {link.st_uid, target.st_uid} <= owners and not target.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def seal(path: Path, key: str) -> None:
    """Add the digest of a file and its key to its end, where loaders of libraries do not look.

    Example:
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "file")
        ...     _ = path.write_bytes(b"library")
        ...     seal(path, "key")
        ...     is_intact(path, "key"), is_intact(path, "another key")
        (True, False)
    """
    digest = _digest(path.read_bytes(), key)
    with path.open("ab") as file:
        file.write(digest)
    path.chmod(0o700)


def is_intact(path: Path, key: str) -> bool:
    """Whether a file is as it was sealed with this key. A damaged library can end the process that loads it."""
    if not path.is_file() or not _is_trusted(path):
        return False
    content = path.read_bytes()
    return content[-DIGEST_LENGTH:] == _digest(content[:-DIGEST_LENGTH], key)


def _digest(content: bytes, key: str) -> bytes:
    return hashlib.sha256(key.encode() + content).digest()
