"""Cases of a dataset in the layout of the Medical Segmentation Decathlon: its dataset.json, and folds of its cases.

Nothing here runs while a config is parsed: the configs call it when a run starts, and MONAI Label brings its own lists.
MONAI's ``load_decathlon_datalist`` reads such a list too, but makes no folds and does not check the content.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from monai.data import partition_dataset

from lunet_networks.bundle.data.case_files import FileFinder, ImagePath, nfc
from lunet_networks.bundle.data.nnunet_dataset import from_nnunet, is_nnunet, names_by_value
from lunet_networks.bundle.runtime.errors import shortened_list
from lunet_networks.bundle.runtime.files import as_path
from lunet_networks.bundle.runtime.strict_json import read_json, shown

__all__ = ["SECTIONS", "check_label_names", "labels_of", "load_datalist", "read_dataset_json"]

SECTIONS = ("training", "validation", "test")
FOLD_SEED = 42  # the same in every run: a run may have any seed and the same folds
BY_A_COMMAND = (  # descriptions that make-datalist wrote to know its files; they tell nothing of the data
    "written by lunet make-datalist",
    "written by python -m tools.make_datalist",
)


def load_datalist(dataset_dir: str | Path, section: str, fold: int = 0, num_folds: int = 5) -> list[dict[str, Any]]:
    """Load the labelled cases of one section of a dataset.

    If dataset.json has a ``validation`` list, that list is the split. Otherwise the cases of ``training`` are sorted by
    image, shuffled and divided into ``num_folds`` folds: fold ``fold`` validates, the others train. The folds depend on
    these names only, so that an evaluation has those of the training.

    Args:
        dataset_dir: the folder that holds dataset.json.
        section: "training", "validation" or "test".
        fold: number of the fold that validates, counted from 0.
        num_folds: number of folds that ``training`` is divided into.

    Returns:
        One ``{"image": path, "label": path}`` for each case, with absolute paths; "image" is a list of paths if every
        channel has its own file. For "test" the list is empty if the dataset has no test cases with labels.

    Raises:
        FileNotFoundError: if the folder, its dataset.json or a file that it lists is missing.
        ValueError: if dataset.json is malformed or a setting is out of range.

    Example::

        train = load_datalist("data/phantom", "training", fold=0)
        held_out = load_datalist("data/phantom", "validation", fold=0)
    """
    if section not in SECTIONS:
        raise ValueError(f"section is {section!r}: it has to be one of {', '.join(SECTIONS)}")
    dataset_dir = as_path(dataset_dir)
    description = read_dataset_json(dataset_dir)
    if section == "test":
        return _existing(_labelled_test(description), dataset_dir)
    if "validation" in description:
        if fold != 0:
            raise ValueError(
                f"fold is {fold}, but {Path(dataset_dir, 'dataset.json')} has a validation list of its own: "
                "keep fold 0, or remove that list to use folds"
            )
        return _existing(description[section], dataset_dir)
    cases = sorted(_existing(description["training"], dataset_dir), key=lambda case: nfc(str(case["image"])))
    if len(cases) < 2:
        raise ValueError(f"{Path(dataset_dir, 'dataset.json')} needs at least two training cases, or a validation list")
    if not 2 <= num_folds <= len(cases):
        raise ValueError(
            f"num_folds is {num_folds}: {len(cases)} training cases can be divided into 2 to {len(cases)} folds"
        )
    if not 0 <= fold < num_folds:
        raise ValueError(f"fold is {fold}: with num_folds {num_folds} it has to be from 0 to {num_folds - 1}")
    folds = partition_dataset(cases, num_partitions=num_folds, shuffle=True, seed=FOLD_SEED)
    if section == "validation":
        return folds[fold]
    return [case for number, held_out in enumerate(folds) if number != fold for case in held_out]


def read_dataset_json(dataset_dir: str | Path) -> dict[str, Any]:
    """Read the dataset.json of a folder and check its structure, but not the files that it lists.

    That of nnU-Net, which lists no cases, is returned in the form of the Decathlon, with the cases in the folder.

    Raises:
        FileNotFoundError: if the folder or its dataset.json is missing.
        ValueError: if it is not valid JSON or in neither form, or a file of a case is missing; every fault is listed.
    """
    folder = as_path(dataset_dir)
    if not folder.is_dir():
        raise FileNotFoundError(f"dataset_dir {folder} is not a folder: give the folder that holds dataset.json")
    path = folder / "dataset.json"
    if not path.exists():
        raise FileNotFoundError(
            f"{path} does not exist: write it for a folder of images and labels with lunet make-datalist {folder}"
        )
    description, faults = read_json(path), []
    if isinstance(description, dict):
        description["labels"] = names_by_value(description.get("labels"))
        if "channel_names" in description:
            description.setdefault("modality", description["channel_names"])
        if description.get("description") in BY_A_COMMAND:
            del description["description"]
    if is_nnunet(description):
        description, faults = from_nnunet(description, folder)
    faults = [*_label_faults(description["labels"]), *faults] if faults else list(_faults(description))
    if faults:
        raise ValueError(f"{path} does not describe a dataset:\n{shortened_list(faults)}")
    return description


def labels_of(description: dict[str, Any]) -> dict[int, str]:
    """Label names by voxel value, in ascending order of the values.

    Example:
        >>> labels_of({"labels": {"0": "background", "2": "posterior", "1": "anterior"}})
        {0: 'background', 1: 'anterior', 2: 'posterior'}
    """
    return dict(sorted((int(value), name) for value, name in description["labels"].items()))


def check_label_names(dataset_dir: str | Path, label_names: Sequence[str], ignore_label: int | None = None) -> None:
    """Refuse a dataset with other labels than those of a bundle, which would be trained and reported under their names.

    Capitals and unicode forms make no difference, and MONAI writes ``::`` for ``#``. A folder without dataset.json is
    not refused here.

    Args:
        dataset_dir: the folder that holds dataset.json.
        label_names: names of the foreground labels 1, 2, ... of the bundle.
        ignore_label: value of voxels without annotation; None: there are none.

    Raises:
        ValueError: names the labels of both.
    """
    path = as_path(dataset_dir) / "dataset.json"
    if not path.is_file():
        return
    there = {value: name for value, name in labels_of(read_dataset_json(dataset_dir)).items() if value}
    there.pop(ignore_label, None)
    here = dict(enumerate(label_names, start=1))
    if {value: _bare(name) for value, name in there.items()} != {value: _bare(name) for value, name in here.items()}:
        raise ValueError(
            f"{path} has the labels {', '.join(there.values())}, this bundle has {', '.join(here.values())}: make a "
            "bundle for this dataset with lunet new-bundle, or name its labels with --label_names"
        )


def _bare(name: str) -> str:
    return nfc(name).casefold().replace("#", "::")


def _faults(description: Any) -> Iterable[str]:
    """The faults in the structure of a dataset.json, and how to correct them."""
    if not isinstance(description, dict):
        yield "it has to be an object with labels and training"
        return
    yield from _label_faults(description.get("labels"))
    if not description.get("training"):
        yield 'training has to be a list of cases, each {"image": ..., "label": ...}'
    for section in SECTIONS:
        cases = description.get(section, [])
        if not isinstance(cases, list):
            yield f"{section} has to be a list, not {shown(cases)}"
            continue
        if section == "validation" and "validation" in description and not cases:
            yield "validation is empty: remove it to use folds"
        for number, case in enumerate(cases):
            fault = _case_fault(case, needs_label=section != "test")
            if fault:
                yield f"{section}[{number}] {fault}"
    images = Counter(image for section in SECTIONS for image in _images(description.get(section)))
    for image, count in images.items():
        if count > 1:
            yield f"{image} is listed {count} times: list every case once, in one section"
    test = description.get("test")
    labelled = {"label" in case for case in (test if isinstance(test, list) else []) if isinstance(case, (dict, str))}
    if len(labelled) > 1:
        yield "test has cases with and without a label: give a label to all of them or to none"


def _label_faults(labels: Any) -> Iterable[str]:
    right = 'labels have to be names by voxel value from 0 on, such as {"0": "background", "1": "anterior"}'
    values = labels.values() if isinstance(labels, dict) else []
    regions = [name for name in labels if isinstance(labels[name], list)] if isinstance(labels, dict) else []
    if regions:
        yield (
            f"the labels {', '.join(regions[:6])} are regions, which are not supported yet: give every label a value "
            'of its own, as the label files have them, such as {"background": 0, "edema": 1, "core": 2}'
        )
    elif not values or not all(_is_text(name) for name in values):
        yield f"{right}, not {shown(labels)}"
    elif sorted(labels) != sorted(str(value) for value in range(len(labels))) or len(labels) < 2:
        yield f"{right}, without gaps, not {', '.join(labels):.60}"


def _case_fault(case: Any, needs_label: bool) -> str | None:
    if isinstance(case, str) and not needs_label:
        return None if _is_path(case) else f"needs an image: a path, not {shown(case)}"
    if not isinstance(case, dict):
        return f'has to be {{"image": ..., "label": ...}}, not {shown(case)}'
    image = case.get("image")
    if not (_is_path(image) or (isinstance(image, list) and image and all(map(_is_path, image)))):
        return f"needs an image: a path, or a list of paths for several channels, not {shown(image)}"
    if (needs_label or "label" in case) and not _is_path(case.get("label")):
        return f"needs a label: a path, not {shown(case.get('label'))}"
    return None


def _is_path(path: Any) -> bool:
    return _is_text(path, errors="surrogateescape") and "\0" not in path


def _is_text(text: Any, errors: str = "strict") -> bool:
    """Whether it is a text that can be written into a file; JSON can also hold half of a character."""
    try:
        return isinstance(text, str) and bool(text.strip()) and bool(text.encode(errors=errors))
    except UnicodeEncodeError:
        return False


def _images(cases: Any) -> Iterable[str]:
    for case in cases if isinstance(cases, list) else []:
        image = case.get("image") if isinstance(case, dict) else case
        for path in image if isinstance(image, list) else [image]:
            if isinstance(path, str):
                yield nfc(str(Path(path)))


def _labelled_test(description: dict[str, Any]) -> list[dict[str, Any]]:
    return [case for case in description.get("test", []) if isinstance(case, dict) and "label" in case]


def _existing(cases: list[dict[str, Any]], dataset_dir: str | Path) -> list[dict[str, Any]]:
    """The cases with absolute paths; raises an error if a file is missing."""
    root, finder = Path(dataset_dir).resolve(), FileFinder()
    missing: list[str] = []

    def found(path: ImagePath, find: Callable[[Path], ImagePath | None]) -> ImagePath:
        if isinstance(path, list):
            return [str(found(channel, finder.find)) for channel in path]
        file = find(root / path)
        if file is None:
            missing.append(str(root / path))
        return str(root / path) if file is None else file

    with_paths = [
        {"image": found(case["image"], finder.find_image), "label": found(case["label"], finder.find)} for case in cases
    ]
    if missing:
        number = sum(1 if isinstance(path, str) else len(path) for case in with_paths for path in case.values())
        raise FileNotFoundError(
            f"{root / 'dataset.json'}: {len(missing)} of {number} files are missing:\n{shortened_list(missing)}"
        )
    return with_paths
