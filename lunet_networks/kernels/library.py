"""The kernels as a library: compiled on first use and kept in the user's cache."""

from __future__ import annotations

import ctypes
import functools
import hashlib
import logging
import os
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path

import torch

from lunet_networks.kernels.cache import cache_folders, is_intact, make_trusted, seal

__all__ = ["SWITCH", "library"]

SWITCH = "LUNET_KERNELS"  # the environment variable that turns the kernels off
SOURCES = [
    Path(__file__).with_name(f"{name}.cpp")
    for name in ("layers", "blocks", "residuals", "affine", "labels", "training_units", "training_levels")
]
HEADERS = [Path(__file__).with_name(name) for name in ("vectors.hpp", "channels_last.hpp", "training.hpp")]
FLAGS = ("-O3", "-std=c++17", "-fno-math-errno", "-fno-trapping-math", "-fopenmp", "-fPIC", "-shared")
# The same as for PyTorch's own kernels on this processor; the cache may have been filled on another processor.
INSTRUCTIONS = {"AVX2": ("-mavx2", "-mfma"), "AVX512": ("-mavx512f", "-mavx512vl", "-mavx512dq", "-mavx512bw", "-mfma")}


@functools.cache
def library() -> ctypes.CDLL | None:
    """The compiled kernels; None, with a warning in the log, if no C++ compiler can compile them, and None without one
    if the environment variable ``LUNET_KERNELS`` is ``off``.

    The library lies in the folder ``lunet_networks`` of the user's cache (``XDG_CACHE_HOME``, or ``.cache`` at home).
    Each combination of source, compiler, its version and instruction set has its own file. A process decides once;
    ``library.cache_clear()`` lets it decide again.

    Raises:
        ValueError: if ``LUNET_KERNELS`` is neither ``auto`` nor ``off``.
    """
    if _is_switched_off():
        return None
    try:
        compiler = _compiler()
        command = (*compiler, *FLAGS, *INSTRUCTIONS.get(torch.backends.cpu.get_cpu_capability(), ()))
        version = subprocess.run([*compiler, "--version"], check=True, capture_output=True, text=True).stdout
        return _load(command, _key(command, version))
    except (OSError, subprocess.CalledProcessError) as error:
        logging.getLogger(__name__).warning(
            "networks of few channels run slower on this CPU than they could: %s. On Debian and Ubuntu, "
            "`apt install g++` helps; %s=off turns this warning off",
            (getattr(error, "stderr", None) or str(error)).strip(),
            SWITCH,
        )
        return None


def _is_switched_off() -> bool:
    value = os.environ.get(SWITCH) or "auto"
    if value not in ("auto", "off"):
        raise ValueError(f"the environment variable {SWITCH} is {value!r}; it has to be auto or off")
    return value == "off"


def _compiler() -> list[str]:
    """The command that compiles, which can be of several words, such as ``ccache g++``."""
    command = shlex.split(os.environ.get("CXX", ""))
    found = command or list(filter(shutil.which, ("c++", "g++", "clang++")))[:1]
    if not found:
        raise FileNotFoundError("there is no C++ compiler")
    if shutil.which(found[0]) is None:
        raise FileNotFoundError(f"there is no C++ compiler {found[0]!r}, which the environment variable CXX names")
    return found


def _key(command: tuple[str, ...], version: str) -> str:
    """Tells libraries of another source, command or version of the compiler apart."""
    source = b"".join(path.read_bytes() for path in (*SOURCES, *HEADERS))
    return hashlib.sha256(source + "\0".join((*command, version)).encode()).hexdigest()[:16]


def _load(command: tuple[str, ...], key: str) -> ctypes.CDLL:
    """The library of the first folder that can hold it and from which it can be loaded."""
    faults = []
    for folder in cache_folders():
        path = folder / f"layers-{key}.so"
        try:
            make_trusted(folder)
            if not is_intact(path, key):
                _compile(command, key, path)
            return ctypes.CDLL(str(path))
        except OSError as error:
            faults.append(str(error))
    raise OSError("; ".join(faults))


def _compile(command: tuple[str, ...], key: str, path: Path) -> None:
    """Compile the kernels. Several processes may do so at once: each writes its own file and moves it when complete."""
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        output = Path(folder, path.name)
        subprocess.run([*command, "-o", str(output), *map(str, SOURCES)], check=True, capture_output=True, text=True)
        seal(output, key)
        output.replace(path)
