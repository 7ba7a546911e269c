"""The part of ``lunet_networks`` that a packed bundle brings along."""

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path

import lunet_networks

NAME = lunet_networks.__name__
ROOT = Path(lunet_networks.__file__).parent


def package_part(named: Iterable[str] = ()) -> dict[str, bytes]:
    """The files of the package that configs may name, and everything that these import, by their path in a bundle. What
    lies beside a source and is none are data that it reads: a template, C++ that is compiled where it runs.

    It is the same for every bundle: where a server runs several bundles, Python imports the package of the first one
    for all of them.

    Args:
        named: further dotted names that the configs hold.

    Raises:
        ValueError: if one of them is not in the package.

    Example:
        >>> part = package_part()
        >>> "lunet_networks/nets/unet.py" in part, "lunet_networks/__main__.py" in part
        (True, False)
        >>> "lunet_networks/bundle/report/page.html" in part, "lunet_networks/kernels/layers.cpp" in part
        (True, True)
    """
    waiting = [NAME, *(_name(path) for folder in ("nets", "bundle") for path in (ROOT / folder).rglob("*.py"))]
    waiting += [_module(name) for name in named]
    files: dict[str, bytes] = {}
    while waiting:
        path = _path(waiting.pop())
        relative = f"{NAME}/{path.relative_to(ROOT).as_posix()}"
        if relative not in files:
            files[relative] = path.read_bytes()
            waiting += _imported(files[relative])
    for path in _data({(ROOT.parent / file).parent for file in files}):
        files[f"{NAME}/{path.relative_to(ROOT).as_posix()}"] = path.read_bytes()
    return dict(sorted(files.items()))


def _data(folders: Iterable[Path]) -> Iterator[Path]:
    """Files in folders of sources that are no sources, nor anything that Python or an editor left there."""
    files = (path for folder in folders for path in folder.iterdir() if path.is_file())
    return (path for path in files if path.suffix not in (".py", ".pyc") and not path.name.startswith("."))


def _imported(source: bytes) -> Iterator[str]:
    """The modules of the package that a source imports anywhere."""
    for node in ast.walk(ast.parse(source)):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        yield from (_module(name) for name in names if name.partition(".")[0] == NAME)


def _module(name: str) -> str:
    """The module in which a dotted name stands.

    Example:
        >>> _module("lunet_networks.nets.unet.UNet")
        'lunet_networks.nets.unet'
    """
    module = name
    while module != NAME and not _is_module(module):
        module = module.rpartition(".")[0]
        if not module:
            raise ValueError(f"{name} is not in the package {NAME}")
    return module


def _is_module(name: str) -> bool:
    stem = ROOT.joinpath(*name.split(".")[1:])
    return name.startswith(f"{NAME}.") and (stem.with_suffix(".py").is_file() or (stem / "__init__.py").is_file())


def _path(module: str) -> Path:
    stem = ROOT.joinpath(*module.split(".")[1:])
    return stem / "__init__.py" if (stem / "__init__.py").is_file() else stem.with_suffix(".py")


def _name(path: Path) -> str:
    parts = (NAME, *path.relative_to(ROOT).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
