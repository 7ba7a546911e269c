"""Find the label of each image by the names of the files."""

import re
from pathlib import Path

from lunet_networks.bundle.data.picture_files import PICTURE_SUFFIXES

ENDINGS = (".nii.gz", ".nii", ".nrrd", *PICTURE_SUFFIXES)
LAYOUTS = (
    "imagesTr/ID with labelsTr/ID, or images/ID with masks/ID, or ct_ID with label_ID in the folder itself or in its "
    f"train and val folders, each file ending in {', '.join(ENDINGS)}"
)


def find_cases(folder: Path) -> dict[str, list[dict]]:
    """The cases of a folder by section ("training", "validation", "test"), with paths relative to it.

    A case is ``{"image": path, "label": path}``; "image" is a list of paths where every channel has a file, and a test
    case may lack "label".

    Raises:
        ValueError: when no layout is recognised, or files have no partner: every one of them is listed.

    Example::

        find_cases(Path("harp"))["training"][0]  # {"image": "./train/ct_1.nrrd", "label": "./train/label_1.nrrd"}
    """
    if not folder.is_dir():
        raise ValueError(f"{folder} is not a folder")
    unpaired: list[str] = []
    if (folder / "imagesTr").is_dir():
        sections = _decathlon(folder, unpaired)
    elif (folder / "images").is_dir():
        sections = {"training": _pair(_files(folder, "images"), _files(folder, "masks"), unpaired)}
    else:
        sections = _prefixed(folder, unpaired)
    if unpaired:
        raise ValueError(f"{len(unpaired)} files in {folder} have no partner:\n" + "\n".join(unpaired))
    if not sections["training"]:
        raise ValueError(f"no training cases in {folder}; known layouts: {LAYOUTS}")
    return sections


def _decathlon(folder: Path, unpaired: list[str]) -> dict[str, list[dict]]:
    images, labels = _files(folder, "imagesTr"), _files(folder, "labelsTr")
    file_per_channel = not images.keys() & labels.keys()
    test_images, test_labels = _files(folder, "imagesTs"), _files(folder, "labelsTs")
    if file_per_channel:
        images, test_images = _join_channels(images), _join_channels(test_images)
    training = _pair(images, labels, unpaired)
    if test_labels:
        return {"training": training, "test": _pair(test_images, test_labels, unpaired)}
    return {"training": training, "test": [{"image": image} for image in test_images.values()]}


def _prefixed(folder: Path, unpaired: list[str]) -> dict[str, list[dict]]:
    """The layout of the published hippocampus data: ct_ID beside label_ID."""
    sections, ids = {}, {}
    for section, places in {"training": (".", "train", "train_dir"), "validation": ("val", "val_dir")}.items():
        sections[section] = []
        for place in places:
            images, labels = _files(folder, place, "ct_"), _files(folder, place, "label_")
            sections[section] += _pair(images, labels, unpaired)
            for name in images:
                if name in ids:
                    raise ValueError(f"case {name} is in {ids[name]} and in {folder / place}: keep one of them")
                ids[name] = folder / place
    if not sections["validation"]:
        del sections["validation"]  # without the list, folds are made
    return sections


def _files(folder: Path, place: str, prefix: str = "") -> dict[str, str]:
    """Relative paths by id, in order; hidden files, such as those that macOS leaves, are skipped."""
    found: dict[str, str] = {}
    directory = folder / place
    for path in sorted(directory.iterdir()) if directory.is_dir() else []:
        ending = next((ending for ending in ENDINGS if path.name.lower().endswith(ending)), None)
        if ending is None or path.name.startswith(".") or not path.name.startswith(prefix):
            continue
        name = path.name[len(prefix) : -len(ending)]
        relative = f"./{path.relative_to(folder).as_posix()}"
        if name in found:
            raise ValueError(f"{found[name]} and {relative} in {folder} are both case {name}: keep one")
        found[name] = relative
    return found


def _join_channels(files: dict[str, str]) -> dict[str, str | list[str]]:
    """One image of ID_0000, ID_0001 ...; a file without such a number stays as it is."""
    joined: dict[str, dict[int, str]] = {}
    for name, path in files.items():
        match = re.fullmatch(r"(.+)_(\d{4})", name)
        joined.setdefault(match[1] if match else name, {})[int(match[2]) if match else 0] = path
    for name, channels in joined.items():
        if sorted(channels) != list(range(len(channels))):
            listed = ", ".join(channels[number] for number in sorted(channels))
            raise ValueError(f"the channels of case {name} have to be numbered 0000, 0001 ... without gaps: {listed}")
    return {
        name: channels[0] if len(channels) == 1 else [channels[number] for number in sorted(channels)]
        for name, channels in joined.items()
    }


def _pair(images: dict[str, str | list[str]], labels: dict[str, str], unpaired: list[str]) -> list[dict]:
    for name in sorted(images.keys() ^ labels.keys()):
        if name in images:
            image = images[name]
            unpaired.append(f"  {image if isinstance(image, str) else ', '.join(image)} has no label")
        else:
            unpaired.append(f"  {labels[name]} has no image")
    return [{"image": images[name], "label": labels[name]} for name in images if name in labels]
