"""Find the label of each image by the names of the files."""

from collections.abc import Mapping
from pathlib import Path

from lunet_networks.authoring.subprocesses import shell
from lunet_networks.bundle.data.case_files import ENDINGS, files_by_name, join_channels, pair_files
from lunet_networks.bundle.data.dicom_series import holds_dicom

LAYOUTS = (
    "imagesTr/ID with labelsTr/ID, or images/ID with masks/ID, or ct_ID with label_ID in the folder itself or in its "
    f"train and val folders, each file ending in {', '.join(ENDINGS)}"
)


def find_cases(folder: Path) -> dict[str, list[dict]]:
    """The cases of a folder by section ("training", "validation", "test"), with paths relative to it.

    A case is ``{"image": path, "label": path}``; "image" is a list of paths where every channel has a file, and a test
    case may lack "label". Names are compared in one unicode form, and endings may be in upper case.

    Raises:
        ValueError: when no layout is recognised, or files have no partner or cannot be told apart: every one of them is
            listed.

    Example::

        find_cases(Path("harp"))["training"][0]  # {"image": "./train/ct_1.nrrd", "label": "./train/label_1.nrrd"}
    """
    if not folder.is_dir():
        raise ValueError(f"{folder} is not a folder")
    faults: list[str] = []
    if (folder / "imagesTr").is_dir():
        sections = _decathlon(folder, faults)
    elif (folder / "images").is_dir():
        sections = {"training": _pair(_files(folder, "images", faults), _files(folder, "masks", faults), faults)}
    else:
        sections = _prefixed(folder, faults)
    if faults:
        listed = "\n".join(f"  {fault}" for fault in faults)
        raise ValueError(
            f"the files of {folder} cannot be paired (faults: {len(faults)}):\n{listed}{_how_to_convert(folder)}"
        )
    if not sections["training"]:
        raise ValueError(f"no training cases in {folder}; known layouts: {LAYOUTS}{_how_to_convert(folder)}")
    return sections


def _how_to_convert(folder: Path) -> str:
    """What to do where a folder holds DICOM, or ""."""
    if not holds_dicom(folder):
        return ""
    place = folder / "imagesTr" if (folder / "imagesTr").is_dir() else folder
    # dcm2niix names all that lies below a folder after that folder: so one series after the other
    convert = f'for series in {shell([str(place)])}/*/; do dcm2niix -z y -b n -f %f -o DATA/imagesTr "$series"; done'
    return (
        f"\n{folder} holds DICOM, which a training does not read: write each series, in a folder of its own, as NIfTI "
        "into a new folder DATA, named after its folder,\n"
        f"  pip install dcm2niix && mkdir -p DATA/imagesTr DATA/labelsTr\n  {convert}\n"
        "and put label maps of the same names into DATA/labelsTr; docs/dicom.md converts labels that are DICOM SEG"
    )


def _decathlon(folder: Path, faults: list[str]) -> dict[str, list[dict]]:
    training = _pair(_files(folder, "imagesTr", faults), _files(folder, "labelsTr", faults), faults)
    images, labels = _files(folder, "imagesTs", faults), _files(folder, "labelsTs", faults)
    if labels:
        return {"training": training, "test": _pair(images, labels, faults)}
    if any(isinstance(case["image"], list) for case in training):
        images, incomplete = join_channels(images)
        faults += incomplete.values()
    return {"training": training, "test": [{"image": image} for image in images.values()]}


def _prefixed(folder: Path, faults: list[str]) -> dict[str, list[dict]]:
    """The layout of the published hippocampus data: ct_ID beside label_ID."""
    sections, ids = {}, {}
    for section, places in {"training": (".", "train", "train_dir"), "validation": ("val", "val_dir")}.items():
        sections[section] = []
        for place in places:
            images, labels = _files(folder, place, faults, "ct_"), _files(folder, place, faults, "label_")
            sections[section] += _pair(images, labels, faults)
            for name in images:
                if name in ids:
                    raise ValueError(f"case {name} is in {ids[name]} and in {folder / place}: keep one of them")
                ids[name] = folder / place
    if not sections["validation"]:
        del sections["validation"]  # without the list, folds are made
    return sections


def _files(folder: Path, place: str, faults: list[str], prefix: str = "") -> dict[str, str]:
    files, found = files_by_name(folder, place, prefix=prefix)
    faults += found
    return files


def _pair(images: Mapping[str, str], labels: Mapping[str, str], faults: list[str]) -> list[dict]:
    """Pair files of the same name, or the files ID_0000, ID_0001 ... of an image with the label ID."""
    joined, incomplete = join_channels(images)
    if not images.keys() & labels.keys() and labels.keys() & {*joined, *incomplete}:
        faults += incomplete.values()
        images, labels = joined, {name: path for name, path in labels.items() if name not in incomplete}
    cases, unpaired = pair_files(images, labels)
    faults += unpaired
    return cases
