"""Writing files so that they are complete at every moment, even if the process is killed."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "as_csv",
    "as_path",
    "config_text",
    "figure_bytes",
    "next_numbered",
    "write_atomically",
    "write_csv",
    "write_figure",
]


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
    write_atomically(path, figure_bytes(figure, format="png", dpi=120))


def figure_bytes(figure: Figure, **options: Any) -> bytes:
    """A figure as the content of a file. Its texts are drawn as they are: ``$x^2$`` may be the name of a case, and a
    formula that is wrong would end the run.

    Args:
        figure: all figures of this package become files here.
        options: of matplotlib's ``savefig``.
    """
    content = io.BytesIO()
    _draw_texts_as_they_are(figure)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph ", UserWarning)  # matplotlib draws a box where its font lacks one
        figure.savefig(content, **options)
    return content.getvalue()


def next_numbered(path: str | Path) -> Path:
    """A path for a new numbered file or folder: ``*`` in its name becomes one more than the highest number in use.

    So it is never that of an older one, even if some of them were deleted.

    Args:
        path: with one ``*`` in the name.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> (folder / "copy_2.pt").touch()
        >>> next_numbered(folder / "copy_*.pt").name
        'copy_3.pt'
    """
    path = Path(path)
    before, after = map(re.escape, path.name.split("*"))
    matches = (re.fullmatch(f"{before}([0-9]+){after}", used.name) for used in path.parent.glob(path.name))
    highest = max((int(match[1]) for match in matches if match), default=0)
    return path.with_name(path.name.replace("*", str(highest + 1)))


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


def _draw_texts_as_they_are(figure: Figure) -> None:
    """Switch formulas off in all texts but the powers of ten along logarithmic axes, which matplotlib writes itself."""
    from matplotlib.axis import Axis
    from matplotlib.text import Text
    from matplotlib.ticker import LogFormatterMathtext

    logarithmic = [
        axis for axis in figure.findobj(Axis) if isinstance(axis.get_major_formatter(), LogFormatterMathtext)
    ]
    powers = {id(label) for axis in logarithmic for label in axis.get_ticklabels(which="both")}
    for text in figure.findobj(Text):
        text.set_parse_math(id(text) in powers)


def write_csv(path: str | Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write a table atomically; its columns are the keys of the first row."""
    write_atomically(path, as_csv(rows).encode())


def as_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """A table as text; its columns are the keys of the first row.

    Example:
        >>> as_csv([{"label": "tumour", "dice": 0.5}])
        'label,dice\\r\\ntumour,0.5\\r\\n'
    """
    text = io.StringIO(newline="")
    table = csv.DictWriter(text, rows[0].keys())
    table.writeheader()
    table.writerows(rows)
    return text.getvalue()
