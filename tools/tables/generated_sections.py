"""Generated parts of a document that is otherwise written by hand."""

from pathlib import Path

from lunet_networks.bundle.runtime.files import write_atomically


def write_between_marks(document: str | Path, name: str, command: str, text: str, check: bool = False) -> bool:
    """Put a text between two comments of a Markdown file.

    Args:
        document: holds the lines ``<!-- NAME: written by COMMAND -->`` and ``<!-- end of NAME -->``, once each.
        name: of the part.
        command: that writes it.
        text: to stand there.
        check: write nothing, and fail if another text stands there.

    Returns:
        Whether the file was changed.

    Raises:
        ValueError: if the marks are not there, or ``check`` finds another text.
    """
    path = Path(document)
    content = path.read_text(encoding="utf-8")
    begin, end = f"<!-- {name}: written by {command} -->", f"<!-- end of {name} -->"
    if content.count(begin) != 1 or content.count(end) != 1:
        raise ValueError(f"{path} must hold one line {begin!r} and one {end!r}: the text goes between them")
    before, rest = content.split(begin)
    new = f"{before}{begin}\n{text}\n{end}{rest.split(end)[1]}"
    if new == content:
        return False
    if check:
        raise ValueError(f"{path} is not up to date: run {command}")
    write_atomically(path, new.encode())
    return True
