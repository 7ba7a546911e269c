"""The checks of a bundle that brings its package along: by that package, in a process that knows no other."""

import json
import subprocess
import sys
from pathlib import Path

from lunet_networks.authoring.checking.bundle import Bundle, Fault

PACKAGE = "lunet_networks"
AUTHORING = Path(__file__).parents[1]
PACK = "pack the bundle anew with lunet package"
# The bundle's folder comes first, as monai.bundle, MONAI Label and the model zoo's CI have it. Finders of editable
# installations would find what is missing there elsewhere. The checks themselves are no part of the bundle.
CODE = """
import importlib.util, json, sys
bundle, authoring = sys.argv[1:]
sys.dont_write_bytecode = True
sys.meta_path[:] = [finder for finder in sys.meta_path if "editable" not in getattr(finder, "__module__", "")]
sys.path.insert(0, bundle)
name = "lunet_networks.authoring"
spec = importlib.util.spec_from_file_location(
    name, authoring + "/__init__.py", submodule_search_locations=[authoring]
)
sys.modules[name] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(sys.modules[name])
from lunet_networks.authoring.checking.verify import run_checks
from lunet_networks.authoring.checking.bundle import Bundle
found = {group: [vars(fault) for fault in faults] for group, faults in run_checks(Bundle(bundle)).items()}
own = [module for module in sys.modules if module.partition(".")[0] == "lunet_networks" and not module.startswith(name)]
files = [getattr(sys.modules[module], "__file__", None) for module in own]
foreign = [file for file in files if file and not file.startswith(bundle + "/")]
print("\\n" + json.dumps([found, foreign]))
"""


def brings_package(bundle: Bundle) -> bool:
    """Whether a bundle holds (part of) the package that its configs name."""
    return f"{PACKAGE}/__init__.py" in bundle.files


def faults_by_own_package(bundle: Bundle) -> dict[str, list[Fault]]:
    """The faults by group of checks, with those of the package itself."""
    command = [sys.executable, "-I", "-W", "ignore", "-c", CODE, str(bundle.root), str(AUTHORING)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    group = "the package that comes with it"
    if run.returncode:
        cause = (run.stderr.strip().splitlines() or ["no message"])[-1]
        return {group: [Fault(PACKAGE, "", f"cannot be used ({cause})", PACK)]}
    found, foreign = json.loads(run.stdout.splitlines()[-1])
    faults = {name: [Fault(**fault) for fault in listed] for name, listed in found.items()}
    problem = "is not found in the bundle but elsewhere"
    return {**faults, group: [Fault(PACKAGE, Path(file).name, problem, PACK) for file in foreign]}
