"""Compile the engine of web pages: the kernels of the package and plain layers, as WebAssembly.

On Debian and Ubuntu the tools come from the packages of the same names:

    apt install clang-19 lld-19 wasi-libc libc++-19-dev-wasm32 libclang-rt-19-dev-wasm32

Other versions of the compiler write other bytes, so the version is fixed.
"""

import argparse
import shutil
import subprocess
import tempfile
from pathlib import Path

from lunet_networks.authoring.web_page import SOURCES
from lunet_networks.authoring.web_page.steps import FUNCTIONS
from lunet_networks.bundle.runtime.files import write_atomically
from lunet_networks.kernels.library import SOURCES as KERNELS

COMPILER, LINKER = "clang++-19", "wasm-ld-19"
ENGINE = SOURCES / "engine.wasm"
OWN = SOURCES / "engine"
NEEDED = ("layers", "blocks")  # of the kernels: what a network needs in evaluation
FLAGS = (
    *("--target=wasm32-wasi", "-mexec-model=reactor", "-msimd128"),
    *("-O3", "-std=c++17", "-fno-math-errno", "-fno-trapping-math", "-fignore-exceptions", "-fno-rtti"),
    *(f"-Wl,--export={name}" for name in ("malloc", *FUNCTIONS)),
    "-Wl,--strip-all",
)


def can_build() -> bool:
    """Whether the compiler and the linker are there."""
    return all(shutil.which(name) for name in (COMPILER, LINKER))


def compiled() -> bytes:
    """The engine.

    Raises:
        FileNotFoundError: if the tools are missing.
        RuntimeError: if the compiler reports an error.
    """
    if not can_build():
        raise FileNotFoundError(f"{COMPILER} and {LINKER} are needed: see python -m tools.build_engine --help")
    sources = [path for path in KERNELS if path.stem in NEEDED]
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder, ENGINE.name)
        includes = ("-I", str(OWN), "-I", str(sources[0].parent))
        command = [COMPILER, *FLAGS, *includes, *map(str, sources), str(OWN / "engine.cpp"), "-o", str(output)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(done.stderr)
        return output.read_bytes()


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    content = compiled()
    write_atomically(ENGINE, content)
    print(f"wrote {ENGINE} ({len(content) / 1e3:.0f} kB)")


if __name__ == "__main__":
    main()
