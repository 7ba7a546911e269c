"""Check that a bundle works with monai.bundle, MONAI Label, the model zoo and federated clients."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from lunet_networks.authoring.checking.archives import check_release, unpacked
from lunet_networks.authoring.checking.bundle import Bundle, Fault
from lunet_networks.authoring.checking.components import check_components, check_expressions, check_packages
from lunet_networks.authoring.checking.files import (
    check_files,
    check_large_files,
    check_logging,
    check_name,
    check_readme,
    large_files,
)
from lunet_networks.authoring.checking.metadata import check_metadata
from lunet_networks.authoring.checking.monai_label_ids import check_ids, check_steps, check_transforms
from lunet_networks.authoring.checking.networks import check_networks, check_weights
from lunet_networks.authoring.checking.own_package import brings_package, faults_by_own_package
from lunet_networks.authoring.checking.private_paths import check_paths
from lunet_networks.authoring.checking.torchscript import check_torchscript
from lunet_networks.authoring.checking.web_page import check_web_page
from lunet_networks.authoring.checking.workflows import check_workflows

CHECKS: dict[str, tuple[Callable[[Bundle], Iterator[Fault]], ...]] = {
    "files, names, sizes": (check_files, check_name, check_large_files, check_logging),
    "sections of the model card": (check_readme,),
    "paths": (check_paths,),
    "metadata": (check_metadata, check_packages),
    "components, imports, references": (check_components, check_expressions),
    "ids and transforms for MONAI Label": (check_ids, check_steps, check_transforms),
    "set-up without data, MONAI's properties": (check_workflows,),
    "networks and weights": (check_networks, check_weights, check_torchscript, check_web_page),
}


def verify_bundle(bundle: str) -> None:
    """Check that a bundle works with monai.bundle, MONAI Label, the model zoo and federated clients.

    Each fault is listed with file, key, what is wrong and what would be right. Nothing is written into the bundle, and
    no connection is made. The folders eval, pruning and runs are not checked. A bundle that brings lunet_networks along
    is checked with that package.

    Args:
        bundle: the bundle's folder, or a zip that lunet package made.
    """
    path = Path(str(bundle))
    if path.is_dir():
        found = find_faults(path)
    else:
        with unpacked(path) as folder:
            found = {"name of the zip": list(check_release(path, folder)), **find_faults(folder)}
            absent = [item["path"] for item in large_files(Bundle(folder)) if not (folder / item["path"]).is_file()]
        if absent:
            print(f"not checked because not beside the zip: {', '.join(absent)}")
    for group, faults in found.items():
        print(f"{'FAULTS' if faults else 'ok':6} {group}")
    faults = [fault for group in found.values() for fault in group]
    if faults:
        raise ValueError(f"{len(faults)} fault{'s' * (len(faults) > 1)} in {bundle}:\n{list_faults(faults)}")


def find_faults(bundle_dir: str | Path) -> dict[str, list[Fault]]:
    """The faults of a bundle by group of checks; groups without a fault are in it too.

    Args:
        bundle_dir: the bundle's folder.

    Raises:
        NotADirectoryError: if there is no such folder.

    Example::

        faults = find_faults("bundles/lunet_small")
        assert not any(faults.values())
    """
    bundle = Bundle(bundle_dir)
    return faults_by_own_package(bundle) if brings_package(bundle) else run_checks(bundle)


def run_checks(bundle: Bundle) -> dict[str, list[Fault]]:
    """The faults that are found with the lunet_networks that this process imports.

    Args:
        bundle: to be checked.
    """
    # train.json is part of several configs that run: a fault in it may be found more than once
    return {
        group: list(dict.fromkeys(fault for check in checks for fault in check(bundle)))
        for group, checks in CHECKS.items()
    }


def list_faults(faults: Iterable[Fault]) -> str:
    """A line for each."""
    return "\n".join(f"  {fault}" for fault in faults)
