"""The folder of a bundle that a command makes: a name that MONAI Label and the model zoo take, and whole files."""

import re
from collections.abc import Mapping
from pathlib import Path

from lunet_networks.authoring.staging import staged_dataset
from lunet_networks.bundle.runtime.files import write_atomically

BUNDLE_MARK = "configs/metadata.json"
# MONAI Label reads the kind of a model from its folder's name; the model zoo cuts the name at _v and a digit
MISLEADING = ("detection", "classification", "deepedit", "deepgrow")


def check_bundle_folder(target: Path, overwrite: bool) -> None:
    """Check that a bundle can be written there, before anything is computed.

    Args:
        target: full path of the folder.
        overwrite: whether a bundle that is there may be overwritten.

    Raises:
        FileExistsError: if the folder holds a bundle that may not be overwritten, or something else.
        NotADirectoryError: if it is a file.
        ValueError: if a bundle cannot have this name.
    """
    misleading = [word for word in MISLEADING if word in target.name.lower()]
    if not re.fullmatch(r"\w+", target.name, re.ASCII) or re.search(r"_v\d", target.name) or misleading:
        raise ValueError(
            f"--output_dir {target.name}: name the bundle with letters, digits and _ only, without _v before a digit, "
            f"where the model zoo cuts the name, and without {', '.join(MISLEADING)}, from which MONAI Label reads "
            "another kind of model"
        )
    if target.is_file():
        raise NotADirectoryError(f"{target} is a file: name a folder")
    if target.exists() and any(target.iterdir()):
        if not overwrite:
            raise FileExistsError(f"{target} is not empty: name another folder, or overwrite it with --overwrite True")
        if not (target / BUNDLE_MARK).is_file():
            raise FileExistsError(f"{target} is not overwritten because it is not a bundle: it has no {BUNDLE_MARK}")


def write_bundle(target: Path, files: Mapping[str, bytes], overwrite: bool) -> None:
    """Write a bundle. A new one appears whole; of one that is there these files are replaced one by one.

    Args:
        target: the folder, checked by ``check_bundle_folder``.
        files: by path in the bundle.
        overwrite: whether a bundle may be there.
    """
    if overwrite and (target / BUNDLE_MARK).is_file():
        for path, content in files.items():
            write_atomically(target / path, content)
        return
    with staged_dataset(target) as folder:
        for path, content in files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(content)
