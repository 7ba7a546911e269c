"""Program: check a packed bundle with the package in it, and print the faults as JSON.

``python -I own_package_run.py BUNDLE`` runs it. It imports ``lunet_networks`` from the bundle; only the checks, which
are not packed, are those beside this file.
"""

import importlib.util
import json
import sys
from pathlib import Path

AUTHORING = Path(__file__).parents[1]
PACKAGE, CHECKS = "lunet_networks", "lunet_networks.authoring"


def main(bundle: str) -> None:
    """Print two things in the last line: the faults by group of checks, and the modules from outside the bundle."""
    sys.dont_write_bytecode = True
    # as monai.bundle, MONAI Label and the model zoo's CI have it; an editable installation would hide missing modules
    sys.path.insert(0, bundle)
    sys.meta_path[:] = [finder for finder in sys.meta_path if "editable" not in getattr(finder, "__module__", "")]
    _import_checks()
    from lunet_networks.authoring.checking.bundle import Bundle
    from lunet_networks.authoring.checking.verify import run_checks

    found = {group: [vars(fault) for fault in faults] for group, faults in run_checks(Bundle(bundle)).items()}
    print("\n" + json.dumps([found, _foreign_modules(bundle)]))


def _import_checks() -> None:
    """Make the checks a part of the bundle's package."""
    spec = importlib.util.spec_from_file_location(
        CHECKS, AUTHORING / "__init__.py", submodule_search_locations=[str(AUTHORING)]
    )
    sys.modules[CHECKS] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sys.modules[CHECKS])


def _foreign_modules(bundle: str) -> list[str]:
    """Files of the package, without the checks, that do not lie in the bundle."""
    own = [name for name in sys.modules if name.partition(".")[0] == PACKAGE and not name.startswith(CHECKS)]
    files = [getattr(sys.modules[name], "__file__", None) for name in own]
    return [file for file in files if file and not Path(file).is_relative_to(bundle)]


if __name__ == "__main__":
    main(sys.argv[1])
