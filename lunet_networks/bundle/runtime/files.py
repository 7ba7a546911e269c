"""Writing files so that they are complete at every moment, even if the process is killed."""

from __future__ import annotations

import io
import json
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["as_path", "config_text", "numbered_path", "write_atomically", "write_figure"]


def as_path(path: str | int | Path) -> Path:
    """A path as a person writes it in a setting.

    ``~`` is the home folder, also where no shell has seen it. Digits only are a number on MONAI's command line. MONAI
    writes ``::`` for ``#`` in every text of a config; this is undone, unless there is a file of that very name.

    Example:
        >>> as_path(2026), as_path("data/run::3"), as_path("~") == Path.home()
        (PosixPath('2026'), PosixPath('data/run#3'), True)
    """
    found = Path(str(path)).expanduser()
    return found if found.exists() else Path(str(found).replace("::", "#"))


def write_atomically(path: str | Path, content: bytes | memoryview) -> None:
    """Write a file so that at every moment ``path`` is either the complete old file or the complete new one.

    The content is written to ``.NAME.tmp`` in the same folder, flushed to the disk and then renamed. As this name is
    fixed, the next attempt overwrites what a killed process has left, and the pattern ``*.pt`` never matches it.

    Args:
        path: path of the file; missing folders are created.
        content: content of the file.

    Raises:
        OSError: if it cannot be written, for example because the disk is full; the message names the file. The old file
            is unchanged.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp(), "models", "note.txt")
        >>> write_atomically(path, b"whole")
        >>> path.read_bytes(), [file.name for file in path.parent.iterdir()]
        (b'whole', ['note.txt'])
    """
    path = Path(path)
    unfinished = path.with_name(f".{path.name}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(unfinished, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, path)
        _sync_folder(path.parent)
    except OSError as error:
        with suppress(OSError):  # if it could not be created, it cannot be removed either
            unfinished.unlink(missing_ok=True)
        state = "the old file is unchanged" if path.is_file() else "the file does not exist"
        raise OSError(error.errno, f"cannot write {path} ({error.strerror}), {state}") from None


def write_figure(path: str | Path, figure: Figure) -> None:
    """Write a figure as PNG with :py:func:`write_atomically`.

    Raises:
        OSError: if it cannot be written.
    """
    image = io.BytesIO()
    figure.savefig(image, format="png", dpi=120)
    write_atomically(path, image.getbuffer())


def numbered_path(folder: str | Path, pattern: str) -> Path:
    """The path of the next numbered copy in a folder: one more than the highest number, so that none is overwritten.

    Example:
        >>> numbered_path("no/such/folder", "dataset_before_{}.json").name
        'dataset_before_1.json'
    """
    before, after = map(re.escape, pattern.split("{}"))
    folder = Path(folder)
    names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    numbers = [int(match[1]) for name in names if (match := re.fullmatch(f"{before}([0-9]+){after}", name))]
    return folder / pattern.format(max(numbers, default=0) + 1)


def config_text(config: Mapping[str, Any]) -> str:
    """The text of a bundle's config file.

    Example:
        >>> config_text({"epochs": 3})
        '{\\n    "epochs": 3\\n}\\n'
    """
    return json.dumps(config, indent=4, ensure_ascii=False) + "\n"


def _sync_folder(folder: Path) -> None:
    """Make a rename survive a power cut; not every system can open a folder."""
    if hasattr(os, "O_DIRECTORY"):
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
