"""Reading JSON files of other people and programs: whatever is wrong ends in one error that names the file."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

__all__ = ["read_json", "shown"]

MOST_MIB = 50  # a list of 100,000 cases has about 15
MOST_LEVELS = 20  # of lists in lists


def read_json(path: str | Path) -> Any:
    """The content of a JSON file, which may begin with a byte order mark.

    ``json.load`` takes the last of several equal keys, and NaN, which is no JSON.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is a folder, larger than 50 MiB, no text in UTF-8 or no valid JSON, or holds a key twice in
            one place, NaN or infinity, or more than 20 lists within one another.

    Example::

        description = read_json("data/phantom/dataset.json")
    """
    path = Path(path)
    if path.is_dir():
        raise ValueError(f"{path} is a folder: it has to be a file")
    size = path.stat().st_size / 2**20
    if size > MOST_MIB:
        raise ValueError(f"{path} has {size:.0f} MiB: files of more than {MOST_MIB} MiB are not read")
    try:
        content = json.loads(path.read_bytes().decode("utf-8-sig"), object_pairs_hook=_once, parse_constant=_no_number)
    except UnicodeDecodeError:
        raise ValueError(f"{path} is not valid JSON: it is not UTF-8 text") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is not valid JSON: {error.msg}, line {error.lineno}, column {error.colno}") from None
    except (ValueError, RecursionError) as error:  # of the hooks, or a number of thousands of digits
        raise ValueError(f"{path} is not valid JSON: {error}") from None
    if _is_deep(content):
        raise ValueError(f"{path} cannot be read: it holds more than {MOST_LEVELS} lists within one another")
    return content


def shown(value: Any) -> str:
    """A value as a message shows it.

    Example:
        >>> shown("a" * 100)
        "'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa..."
    """
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}..."


def _once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        ((key, count),) = Counter(key for key, _ in pairs).most_common(1)
        raise ValueError(f"the key {shown(key)} is there {count} times")
    return found


def _no_number(name: str) -> None:
    raise ValueError(f"it holds {name}, which is no number")


def _is_deep(content: Any) -> bool:
    level = [content]
    for _ in range(MOST_LEVELS):
        level = [
            inner
            for outer in level
            if isinstance(outer, (dict, list))
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return False
    return True
