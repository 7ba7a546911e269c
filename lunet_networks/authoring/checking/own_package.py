"""The checks of a bundle that brings its package along: made with that package, in a process that finds no other."""

import json
import re
import subprocess
import sys
from pathlib import Path

import lunet_networks
from lunet_networks.authoring.checking.bundle import Bundle, Fault
from lunet_networks.bundle.runtime.errors import shortened_list

PACKAGE = lunet_networks.__name__
PROGRAM = Path(__file__).with_name("own_package_run.py")  # runs in a process of its own
GROUP = "the package that comes with it"
VERSION = re.compile(r"^__version__ = ['\"](.+)['\"]", re.MULTILINE)
PLACE = re.compile(r'^  File "(.+?)", line \d+', re.MULTILINE)  # of a traceback
PACK = "pack the bundle again with lunet package"


def brings_package(bundle: Bundle) -> bool:
    """Whether a bundle holds the package that its configs name, or a part of it."""
    return any(file.startswith(f"{PACKAGE}/") for file in bundle.files)


def faults_by_own_package(bundle: Bundle) -> dict[str, list[Fault]]:
    """The faults by group of checks, with those of the package itself."""
    command = [sys.executable, "-I", "-W", "ignore", str(PROGRAM), str(bundle.root)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    if run.returncode:
        return {GROUP: [_unusable(bundle, run.stderr)]}
    found, foreign = json.loads(run.stdout.splitlines()[-1])
    faults = {name: [Fault(**fault) for fault in listed] for name, listed in found.items()}
    problem = f"lacks modules, which Python found at other places:\n{shortened_list(foreign)}\n "
    return {**faults, GROUP: [Fault(PACKAGE, "", problem, PACK)] if foreign else []}


def _unusable(bundle: Bundle, traceback: str) -> Fault:
    """The fault of a package that the checks cannot be made with, because it is broken or of another version."""
    cause = (traceback.strip().splitlines() or ["no message"])[-1]
    init = bundle.root / PACKAGE / "__init__.py"
    version = VERSION.search(init.read_text(encoding="utf-8", errors="replace")) if init.is_file() else None
    if version and version[1] != lunet_networks.__version__:
        problem = f"is of version {version[1]}, with which the checks of {lunet_networks.__version__} fail ({cause})"
        return Fault(PACKAGE, "", problem, f"check it with lunet-networks {version[1]}, or {PACK}")
    within = [Path(place) for place in PLACE.findall(traceback) if Path(place).is_relative_to(bundle.root)]
    file = within[-1].relative_to(bundle.root).as_posix() if within else PACKAGE
    return Fault(file, "", f"cannot be imported ({cause})", PACK)
