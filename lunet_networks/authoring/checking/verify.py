"""Check that a bundle is one for all who use bundles: monai.bundle, MONAI Label, the model zoo, federated clients."""

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
from lunet_networks.authoring.checking.workflows import check_workflows

CHECKS: dict[str, tuple[Callable[[Bundle], Iterator[Fault]], ...]] = {
    "files, names, sizes": (check_files, check_name, check_large_files, check_logging),
    "sections of the model card": (check_readme,),
    "paths": (check_paths,),
    "metadata": (check_metadata, check_packages),
    "components, imports, references": (check_components, check_expressions),
    "ids and transforms for MONAI Label": (check_ids, check_steps, check_transforms),
    "set-up without data, MONAI's properties": (check_workflows,),
    "networks and weights": (check_networks, check_weights, check_torchscript),
}


def verify_bundle(bundle: str) -> None:
    """Say what keeps a bundle from working everywhere: file, key, what is wrong, what would be right.

    Nothing is written into the bundle, and no connection is made. What runs have left in its folders eval and runs is
    not looked at. A bundle that brings lunet_networks along is checked with that package alone.

    Args:
        bundle: the bundle's folder, or the zip that lunet_networks.authoring.packaging.package makes of it.
    """
    path = Path(str(bundle))
    if path.is_dir():
        found = find_faults(path)
    else:
        with unpacked(path) as folder:
            found = {"name of the zip": list(check_release(path, folder)), **find_faults(folder)}
            elsewhere = [item["path"] for item in large_files(Bundle(folder)) if not (folder / item["path"]).is_file()]
        if elsewhere:
            print(f"not checked, not beside the zip: {', '.join(elsewhere)}")
    for group, faults in found.items():
        print(f"{'FAULTS' if faults else 'ok':6} {group}")
    faults = [fault for group in found.values() for fault in group]
    if faults:
        raise ValueError(f"{bundle} is no bundle for every consumer (faults: {len(faults)}):\n{list_faults(faults)}")


def find_faults(bundle_dir: str | Path) -> dict[str, list[Fault]]:
    """The faults of a bundle by group of checks, all groups.

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
    """The faults that are found with the package that this process imports.

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
