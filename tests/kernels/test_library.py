"""The kernels are compiled once, for every instruction set, and come from nobody but this user."""

import ctypes
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest
import torch

from lunet_networks.kernels import cache
from lunet_networks.kernels.library import FLAGS, INSTRUCTIONS, SOURCES, library

needs_compiler = pytest.mark.skipif(library() is None, reason="there is no C++ compiler")
SCRIPT = """
import torch
from lunet_networks import create_network
from lunet_networks.kernels import library
torch.manual_seed(0)
with torch.no_grad():
    print(create_network("lunet_small_2f").eval()(torch.ones(1, 1, 16, 16, 32)).abs().sum().item())
print(library() is not None)
"""


def _start(**environment: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _finish(run: subprocess.Popen) -> tuple[float, bool, str]:
    """Output of the network, whether it had kernels, and messages."""
    output, messages = run.communicate()
    assert run.returncode == 0, messages
    total, has_kernels = output.split()
    return float(total), has_kernels == "True", messages


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The user's cache and temporary folder, for kernels that are loaded again in this process."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(cache.tempfile, "gettempdir", lambda: str(tmp_path))
    library.cache_clear()
    yield tmp_path
    library.cache_clear()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compile one function without optimisation."""
    module = import_module("lunet_networks.kernels.library")
    monkeypatch.setattr(module, "FLAGS", ("-O0", "-std=c++17", "-fopenmp", "-fPIC", "-shared"))
    monkeypatch.setattr(module, "SOURCES", [SOURCES[0]])


def _kept(folder: Path) -> list[Path]:
    return sorted(folder.glob("lunet_networks*/*"))


@needs_compiler
@pytest.mark.slow
def test_processes_that_start_at_once_compile_into_one_cache(tmp_path: Path) -> None:
    (one, *of_one), (two, *of_two) = map(_finish, [_start(XDG_CACHE_HOME=str(tmp_path)) for _ in range(2)])
    assert one == two
    assert of_one == of_two == [True, ""]
    (kept,) = _kept(tmp_path)
    assert kept.name.startswith("layers-")
    assert kept.parent.stat().st_mode & 0o077 == 0


@needs_compiler
def test_without_a_compiler_pytorch_computes_the_same_and_says_so_once() -> None:
    without, with_kernels = _start(CXX="no-such-compiler"), _start()
    total, has_kernels, messages = _finish(without)
    assert not has_kernels
    assert messages.count("run slower on this CPU than they could") == 1
    assert "no-such-compiler" in messages
    assert _finish(with_kernels) == (pytest.approx(total, rel=1e-5), True, "")


def test_the_switch_has_two_positions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LUNET_KERNELS", "off")
    assert library.__wrapped__() is None
    monkeypatch.setenv("LUNET_KERNELS", "no")
    with pytest.raises(ValueError, match="LUNET_KERNELS is 'no'; it has to be auto or off"):
        library.__wrapped__()


@needs_compiler
@pytest.mark.slow
@pytest.mark.parametrize("capability", ["default", "avx2", "avx512"])
def test_layers_with_every_instruction_set(capability: str) -> None:
    if {"avx2": "AVX2", "avx512": "AVX512"}.get(capability, "") > torch.backends.cpu.get_cpu_capability():
        pytest.skip(f"this processor has no {capability}")
    tests = str(Path(__file__).with_name("test_layers.py"))
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", tests],
        env={**os.environ, "ATEN_CPU_CAPABILITY": capability},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stdout
    assert "skipped" not in run.stdout


COMPILERS = [
    ("clang++", ()),
    *(("clang++", instructions) for instructions in INSTRUCTIONS.values()),
    ("aarch64-linux-gnu-g++", ()),  # vectors are NEON's
]


@pytest.mark.parametrize(("compiler", "instructions"), COMPILERS)
def test_other_compilers_take_them(tmp_path: Path, compiler: str, instructions: tuple[str, ...]) -> None:
    if shutil.which(compiler) is None:
        pytest.skip(f"{compiler} is not installed")
    command = [compiler, *FLAGS, "-O0", *instructions, "-fsyntax-only", *map(str, SOURCES)]
    run = subprocess.run(command, capture_output=True, text=True)
    if "omp.h" in run.stderr:
        pytest.skip(f"{compiler} has no OpenMP")
    assert run.returncode == 0, run.stderr


@needs_compiler
def test_a_damaged_library_is_made_again(own_cache: Path, quick: None) -> None:
    assert library() is not None
    (path,) = _kept(own_cache / "home")
    for damage in (path.read_bytes()[:5000], b"", b"\x7fELF of another"):
        path.unlink()  # the one that is in memory stays whole
        path.write_bytes(damage)
        path.chmod(0o700)
        library.cache_clear()
        assert library().lunet_pool
        assert path.stat().st_size > 5000


@needs_compiler
def test_a_library_of_another_is_not_loaded(own_cache: Path, quick: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a foreign file of the right name, nor what another user has written."""
    library()
    (path,) = _kept(own_cache / "home")
    path.chmod(0o722)
    made = path.stat().st_ino
    library.cache_clear()
    assert library() is not None
    assert path.stat().st_ino != made
    path.parent.chmod(0o777)
    library.cache_clear()
    assert Path(library()._name).parent.parent == own_cache  # in the temporary folder
    for folder in own_cache.glob("lunet_networks*"):
        folder.chmod(0o777)
    library.cache_clear()
    assert library() is None


@needs_compiler
def test_without_a_home_the_temporary_folder_keeps_one_library(
    own_cache: Path, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", no_home)
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert library() is not None
    (path,) = _kept(own_cache)
    made = path.stat().st_mtime_ns
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/no-such-folder")  # as a home that cannot be written
    library.cache_clear()
    assert library() is not None
    assert [each.stat().st_mtime_ns for each in _kept(own_cache)] == [made]


@needs_compiler
def test_a_compiler_of_several_words_and_of_another_version(
    own_cache: Path, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXX", "env LANG=C c++")
    assert isinstance(library(), ctypes.CDLL)
    compiler = own_cache / "a compiler"
    for version in (1, 2):
        compiler.write_text(f'#!/bin/sh\n[ "$1" = --version ] && echo {version} || exec c++ "$@"\n')
        compiler.chmod(0o700)
        monkeypatch.setenv("CXX", f"'{compiler}'")
        library.cache_clear()
        assert isinstance(library(), ctypes.CDLL)
    assert len(_kept(own_cache / "home")) == 3
