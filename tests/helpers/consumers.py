"""Other people's software that runs bundles: the Python that has it, and processes with it."""

import importlib.util
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]


def python_with(package: str, variable: str) -> str | None:
    """The Python that has a package: the one that a variable of the environment names, or else this one."""
    return os.environ.get(variable) or (sys.executable if importlib.util.find_spec(package) else None)


def needs_python_with(package: str, variable: str) -> pytest.MarkDecorator:
    """Skip a test if no Python with the package is known."""
    return pytest.mark.skipif(
        python_with(package, variable) is None,
        reason=f"{package} is not installed here, and {variable} names no Python that has it",
    )


def call(python: str, *words: str, folder: Path, path: Sequence[Path] = (REPOSITORY,), **environment: str) -> str:
    """Run a Python in a folder, and return what it says; the test fails if it fails."""
    places = os.pathsep.join(map(str, path))
    ended = subprocess.run(
        [python, *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": places, "OMP_NUM_THREADS": "1", **environment},
        capture_output=True,
        text=True,
        timeout=1200,
    )
    said = ended.stdout + ended.stderr
    assert ended.returncode == 0, said[-6000:]
    return said
