"""The checks of a bundle that brings its package along: by that package, in a process that knows no other."""

import json
import subprocess
import sys
from pathlib import Path

from tools.bundle_checks.bundle import Bundle, Fault

PACKAGE = "lunet_networks"
ROOT = Path(__file__).parents[2]
PACK = "pack the bundle anew with python -m tools.package_bundle"
# The bundle's folder comes first, as monai.bundle, MONAI Label and the model zoo's CI have it. Finders of editable
# installations would find what is missing there elsewhere.
CODE = """
import json, sys
bundle, root = sys.argv[1:]
sys.dont_write_bytecode = True
sys.meta_path[:] = [finder for finder in sys.meta_path if "editable" not in getattr(finder, "__module__", "")]
sys.path[:] = [bundle, *(folder for folder in sys.path if folder != root), root]
from tools.verify_bundle import run_checks
from tools.bundle_checks.bundle import Bundle
found = {group: [vars(fault) for fault in faults] for group, faults in run_checks(Bundle(bundle)).items()}
modules = [module for name, module in sys.modules.items() if name.partition(".")[0] == "lunet_networks"]
files = [getattr(module, "__file__", None) for module in modules]
foreign = [file for file in files if file and not file.startswith(bundle + "/")]
print("\\n" + json.dumps([found, foreign]))
"""


def brings_package(bundle: Bundle) -> bool:
    """Whether a bundle holds (part of) the package that its configs name."""
    return f"{PACKAGE}/__init__.py" in bundle.files


def faults_by_own_package(bundle: Bundle) -> dict[str, list[Fault]]:
    """The faults by group of checks, with those of the package itself."""
    command = [sys.executable, "-I", "-W", "ignore", "-c", CODE, str(bundle.root), str(ROOT)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    group = "the package that comes with it"
    if run.returncode:
        cause = (run.stderr.strip().splitlines() or ["no message"])[-1]
        return {group: [Fault(PACKAGE, "", f"cannot be used ({cause})", PACK)]}
    found, foreign = json.loads(run.stdout.splitlines()[-1])
    faults = {name: [Fault(**fault) for fault in listed] for name, listed in found.items()}
    problem = "is not found in the bundle but elsewhere"
    return {**faults, group: [Fault(PACKAGE, Path(file).name, problem, PACK) for file in foreign]}
