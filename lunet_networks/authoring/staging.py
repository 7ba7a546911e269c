"""Files and folders that appear whole or not at all."""

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lunet_networks.bundle.runtime.files import write_atomically


@contextmanager
def staged_dataset(target: str | Path, overwrite: bool = False) -> Iterator[Path]:
    """An empty folder beside ``target`` that takes its place when the block ends; after an error nothing has changed.

    Args:
        target: the dataset's folder; missing parents are made.
        overwrite: replace a dataset that is there. Only a folder with a ``dataset.json`` is ever replaced, so that a
            mistyped path deletes nothing else.

    Raises:
        FileExistsError: when ``target`` is not empty and may not be replaced.
        NotADirectoryError: when ``target`` is a file.

    Example::

        with staged_dataset("data/phantom") as folder:
            (folder / "dataset.json").write_text("{}")
    """
    target = Path(target).resolve()
    if target.is_file():
        raise NotADirectoryError(f"{target} is a file: name a folder")
    if target.exists() and any(target.iterdir()):
        if not overwrite:
            raise FileExistsError(f"{target} is not empty: name another folder, or replace it with --overwrite True")
        if not (target / "dataset.json").is_file():
            raise FileExistsError(f"{target} is not overwritten because it is not a dataset: it has no dataset.json")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=target.parent) as scratch:
        new, old = Path(scratch, "new"), Path(scratch, "old")
        new.mkdir()  # not the scratch folder itself, which only its owner may read
        yield new
        if target.exists():
            target.rename(old)
        new.rename(target)


def write_json(path: str | Path, content: dict) -> None:
    """Write ``content`` as JSON; at every moment ``path`` is the older file or the whole new one."""
    write_atomically(path, (json.dumps(content, indent=1) + "\n").encode())
