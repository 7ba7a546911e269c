"""Files that are whole at every moment, whatever ends the process that writes them."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["config_text", "write_atomically", "write_figure"]


def write_atomically(path: str | Path, content: bytes | memoryview) -> None:
    """Write a file in such a way that ``path`` is at every moment the whole older or the whole newer file.

    The content goes to ``.NAME.tmp`` beside it, to the disk, and takes the name by a rename. The fixed name means that
    what a killed process left half written is overwritten by the next attempt, and nobody's ``*.pt`` finds it.

    Args:
        path: the file; missing folders are made.
        content: what it shall hold.

    Raises:
        OSError: if it cannot be written, for example because the disk is full. The older file is untouched, the
            message names it.

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
        with suppress(OSError):  # where it could not be made it cannot be removed either
            unfinished.unlink(missing_ok=True)
        state = "the older one is untouched" if path.is_file() else "there is none"
        raise OSError(error.errno, f"cannot write {path} ({error.strerror}), {state}") from None


def write_figure(path: str | Path, figure: Figure) -> None:
    """Write a figure as PNG, as :py:func:`write_atomically` writes.

    Raises:
        OSError: if it cannot be written.
    """
    image = io.BytesIO()
    figure.savefig(image, format="png", dpi=120)
    write_atomically(path, image.getbuffer())


def config_text(config: Mapping[str, Any]) -> str:
    """The text of a bundle's config file.

    Example:
        >>> config_text({"epochs": 3})
        '{\\n    "epochs": 3\\n}\\n'
    """
    return json.dumps(config, indent=4, ensure_ascii=False) + "\n"


def _sync_folder(folder: Path) -> None:
    """Make a rename outlive a power cut; not every system can open a folder."""
    if hasattr(os, "O_DIRECTORY"):
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
