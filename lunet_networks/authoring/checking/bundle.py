"""A bundle's folder as its checks see it, and the faults that they find."""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from monai.bundle import ConfigParser

NOT_PART_OF_IT = {"eval", "pruning", "runs"}  # what runs leave behind in the bundle's folder
METADATA = "configs/metadata.json"
TRAIN, INFERENCE = "configs/train.json", "configs/inference.json"
EVALUATE, MULTI_GPU = "configs/evaluate.json", "configs/multi_gpu_train.json"
VISUALIZE, BENCHMARK, PRUNE = "configs/visualize.json", "configs/benchmark.json", "configs/prune.json"
MERGED = {
    TRAIN: [TRAIN],
    EVALUATE: [TRAIN, EVALUATE],
    VISUALIZE: [TRAIN, EVALUATE, VISUALIZE],
    MULTI_GPU: [TRAIN, MULTI_GPU],
    PRUNE: [TRAIN, PRUNE],
    INFERENCE: [INFERENCE],
    BENCHMARK: [BENCHMARK],
}


@dataclass(frozen=True)
class Fault:
    """What is wrong in a bundle, where, and how to correct it.

    Args:
        file: path in the bundle, "." for the bundle's folder.
        key: id in a config, "line N" of a text, or "" for the file as a whole.
        problem: what is wrong.
        cure: what would be right.

    Example:
        >>> print(Fault("configs/metadata.json", "version", "is '1.0'", "write X.Y.Z"))
        configs/metadata.json: version: is '1.0'; write X.Y.Z
    """

    file: str
    key: str
    problem: str
    cure: str

    def __str__(self) -> str:
        return ": ".join(part for part in (self.file, self.key, f"{self.problem}; {self.cure}") if part)


class Bundle:
    """The folder of a bundle, or of what should be one; it is only read.

    Args:
        root: the folder.

    Raises:
        NotADirectoryError: if there is no such folder.
    """

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root).resolve()
        if not self.root.is_dir():
            raise NotADirectoryError(f"{root} is not a folder: name that of a bundle")

    @cached_property
    def files(self) -> list[str]:
        """All files of the bundle, as paths in it."""
        paths = (path.relative_to(self.root) for path in sorted(self.root.rglob("*")) if path.is_file())
        return [path.as_posix() for path in paths if path.parts[0] not in NOT_PART_OF_IT and _is_shipped(path)]

    @cached_property
    def unreadable(self) -> dict[str, str]:
        """Why a config cannot be read, by its file."""
        return {file: content for file, content in self._contents.items() if isinstance(content, str)}

    @cached_property
    def metadata(self) -> dict[str, Any] | None:
        """metadata.json; None where it is missing or cannot be read."""
        content = self._contents.get(METADATA)
        return None if isinstance(content, str) else content

    @cached_property
    def configs(self) -> dict[str, dict[str, Any]]:
        """All configs that can be read, by file, without metadata.json."""
        readable = self._contents.keys() - self.unreadable.keys() - {METADATA}
        return {file: self._contents[file] for file in sorted(readable)}

    @cached_property
    def runnable(self) -> dict[str, list[str]]:
        """The files that are merged for each config that runs, by the last of them."""
        return {file: parts for file, parts in MERGED.items() if set(parts) <= self.configs.keys()}

    def paths(self, file: str) -> list[str]:
        """The paths of the files that are merged into a runnable config."""
        return [str(self.root / part) for part in self.runnable[file]]

    def parser(self, file: str) -> ConfigParser:
        """A runnable config, read and not yet parsed."""
        parser = ConfigParser()
        parser.read_config(self.paths(file))
        return parser

    def place(self, file: str, key: str) -> str:
        """The file among those that are merged for ``file`` in which an id stands, or else belongs."""
        for part in reversed(self.runnable[file]):
            own = [name.replace("::", "#") for name in self.configs[part]]
            if any(f"{key}#".startswith(f"{name}#") or name.startswith(f"{key}#") for name in own):
                return part
        return self.runnable[file][0]

    @cached_property
    def _contents(self) -> dict[str, dict[str, Any] | str]:
        return {file: _read(self.root / file) for file in self.files if _is_config(Path(file))}


def strings(config: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Every text in a config with its id.

    Example:
        >>> list(strings({"a": ["x", {"b": "y"}], "c": 1}))
        [('a#0', 'x'), ('a#1#b', 'y')]
    """
    if isinstance(config, str):
        yield key, config
    elif isinstance(config, dict | list):
        for name, value in config.items() if isinstance(config, dict) else enumerate(config):
            yield from strings(value, f"{key}#{name}" if key else str(name))


def _is_shipped(path: Path) -> bool:
    return not any(part == "__pycache__" or part.startswith(".") for part in path.parts)


def _is_config(path: Path) -> bool:
    return path.parent == Path("configs") and path.suffix == ".json"


def _read(path: Path) -> dict[str, Any] | str:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # MONAI warns of a key that stands twice
            content = ConfigParser.load_config_file(path)
    except (ValueError, OSError, UserWarning) as error:
        return str(error)
    return content if isinstance(content, dict) else f"it holds a {type(content).__name__}, not an object"
