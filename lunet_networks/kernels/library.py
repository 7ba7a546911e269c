"""The kernels as a library: compiled on first use and kept in the user's cache."""

from __future__ import annotations

import ctypes
import functools
import hashlib
import logging
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import torch

__all__ = ["library"]

SOURCES = [
    Path(__file__).with_name(f"{name}.cpp")
    for name in ("layers", "blocks", "affine", "labels", "training_units", "training_levels")
]
HEADERS = [Path(__file__).with_name(name) for name in ("vectors.hpp", "training.hpp")]
FLAGS = ("-O3", "-std=c++17", "-fno-math-errno", "-fno-trapping-math", "-fopenmp", "-fPIC", "-shared")
# The same as for PyTorch's own kernels on this processor; the cache may have been filled on another processor.
INSTRUCTIONS = {"AVX2": ("-mavx2", "-mfma"), "AVX512": ("-mavx512f", "-mavx512vl", "-mavx512dq", "-mavx512bw", "-mfma")}


@functools.cache
def library() -> ctypes.CDLL | None:
    """The compiled kernels; None, with a log message, if no C++ compiler can compile them, and None if the environment
    variable ``LUNET_KERNELS`` is ``off``.

    The library lies in the folder ``lunet_networks`` of the user's cache (``XDG_CACHE_HOME``, or ``.cache`` at home).
    Each combination of source, compiler and instruction set has its own file.
    """
    if os.environ.get("LUNET_KERNELS") == "off":
        return None
    compiler = os.environ.get("CXX") or next(filter(shutil.which, ("c++", "g++", "clang++")), None)
    if compiler is None:
        return _without("there is no C++ compiler")
    command = (compiler, *FLAGS, *INSTRUCTIONS.get(torch.backends.cpu.get_cpu_capability(), ()))
    try:
        source = b"".join(path.read_bytes() for path in (*SOURCES, *HEADERS))
        name = hashlib.sha256(source + "\0".join(command).encode()).hexdigest()[:16]
        path = _cache() / f"layers-{name}.so"
        if not path.exists():
            _compile(command, path)
        return ctypes.CDLL(str(path))
    except (OSError, subprocess.CalledProcessError) as error:
        return _without(getattr(error, "stderr", None) or str(error))


def _cache() -> Path:
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lunet_networks"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if os.access(folder, os.W_OK):
            return folder
    except OSError:
        pass  # a home that cannot be written to
    return Path(tempfile.mkdtemp(prefix="lunet_networks-"))


def _compile(command: tuple[str, ...], path: Path) -> None:
    """Compile the kernels. Several processes may do so at once: each writes its own file and moves it when complete."""
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        output = Path(folder, path.name)
        subprocess.run([*command, "-o", str(output), *map(str, SOURCES)], check=True, capture_output=True, text=True)
        output.replace(path)


def _without(reason: str) -> None:
    logging.getLogger(__name__).info(
        "networks of few channels run slower on this CPU than they could: %s. On Debian and Ubuntu, "
        "`apt install g++` helps",
        reason.strip(),
    )
