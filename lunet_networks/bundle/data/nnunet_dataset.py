"""nnU-Net's dataset.json (version 2) in the form of the Decathlon.

nnU-Net names channels and labels, and lists no cases: these are the files ``imagesTr/CASE_0000.nii.gz``,
``CASE_0001.nii.gz`` ..., one per channel, and ``labelsTr/CASE.nii.gz``, see
https://github.com/MIC-DKFZ/nnUNet/blob/master/documentation/dataset_format.md
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from lunet_networks.bundle.data.case_files import ENDINGS, FIRST_CHANNEL, files_by_name, join_channels, pair_files
from lunet_networks.bundle.runtime.strict_json import shown

__all__ = ["from_nnunet", "is_nnunet", "names_by_value"]

logger = logging.getLogger(__name__)


def is_nnunet(description: Any) -> bool:
    """Whether the content of a dataset.json is nnU-Net's: it names channels or a file ending, and lists no cases.

    Example:
        >>> is_nnunet({"channel_names": {"0": "CT"}, "labels": {"background": 0, "liver": 1}, "file_ending": ".nii.gz"})
        True
    """
    if not isinstance(description, dict) or description.get("training"):
        return False
    return "channel_names" in description or "file_ending" in description


def names_by_value(labels: Any) -> Any:
    """Label names by voxel value, also where they are values by name, as nnU-Net has them; anything else is returned as
    it is.

    Example:
        >>> names_by_value({"background": 0, "liver": 1})
        {'0': 'background', '1': 'liver'}
    """
    if not isinstance(labels, dict) or not all(type(value) is int for value in labels.values()):
        return labels
    if len(set(labels.values())) < len(labels) or any(name.strip().isdecimal() for name in labels):
        return labels  # which is the value?
    return {str(value): name for name, value in sorted(labels.items(), key=lambda label: label[1])}


def from_nnunet(description: Mapping[str, Any], folder: Path) -> tuple[dict[str, Any], list[str]]:
    """A description of nnU-Net's in the form of the Decathlon.

    Args:
        description: the content of dataset.json.
        folder: the dataset's folder.

    Returns:
        The description with ``modality``, ``training`` and ``test`` of the Decathlon, and what is wrong with channels
        and files.

    Example::

        description, faults = from_nnunet(read_json(folder / "dataset.json"), folder)
        description["training"][0]  # {"image": ["./imagesTr/a_0000.nii.gz", ...], "label": "./labelsTr/a.nii.gz"}
    """
    channels = description.get("channel_names", description.get("modality"))
    ending, named = description.get("file_ending"), description.get("dataset")
    faults = [*_channel_faults(channels), *([] if named and ending is None else _ending_faults(ending))]
    if faults:
        return dict(description), faults
    endings = () if ending is None else (_normal(ending),)
    training, faults = _named(named, len(channels)) if named else _found(folder, "Tr", endings, len(channels))
    test, faults_of_test = _found(folder, "Ts", endings, len(channels))
    if not training and not faults:
        faults = [f"there are no images in {folder / 'imagesTr'} that end in {ending}"]
    number = description.get("numTraining")
    if type(number) is int and number != len(training) and not faults:
        _tell_of_number(folder / "dataset.json", number, len(training))
    return {**description, "modality": channels, "training": training, "test": test}, faults + faults_of_test


def _channel_faults(channels: Any) -> Iterable[str]:
    if (
        not isinstance(channels, dict)
        or not channels
        or sorted(channels) != sorted(str(number) for number in range(len(channels)))
        or not all(isinstance(name, str) for name in channels.values())
    ):
        right = 'channel_names has to name the channels, numbered from 0, such as {"0": "T1", "1": "T2"}'
        yield f"{right}, not {shown(channels)}"


def _ending_faults(ending: Any) -> Iterable[str]:
    if not isinstance(ending, str) or _normal(ending) not in ENDINGS:
        yield f"file_ending is {shown(ending)}: files can be read that end in {', '.join(ENDINGS)}"


def _normal(ending: str) -> str:
    return f".{ending.lstrip('.')}".lower()


def _found(folder: Path, suffix: str, endings: tuple[str, ...], count: int) -> tuple[list[dict[str, Any]], list[str]]:
    """The cases of imagesTr and labelsTr, or of imagesTs, which may be without labels; and what is wrong with files."""
    images, faults = files_by_name(folder, f"images{suffix}", endings)
    labels, faults_of_labels = files_by_name(folder, f"labels{suffix}", endings)
    if all(name.endswith(FIRST_CHANNEL) for name in images):
        count = 1  # a picture holds its colours in one file
    joined, incomplete = join_channels(images, count)
    faults += [*faults_of_labels, *incomplete.values()]
    if suffix == "Ts" and not labels:
        return [{"image": image} for image in joined.values()], faults
    cases, unpaired = pair_files(joined, {name: path for name, path in labels.items() if name not in incomplete})
    return cases, faults + unpaired


def _named(cases: Any, count: int) -> tuple[list[dict[str, Any]], list[str]]:
    """The cases of the optional dictionary ``dataset``, which names the files of each case."""
    right = '{"CASE": {"images": [...], "label": ...}}'
    if not isinstance(cases, dict):
        return [], [f"dataset has to be {right}, not {shown(cases)}"]
    training, faults = [], []
    for name, case in cases.items():
        images, label = (case.get("images"), case.get("label")) if isinstance(case, dict) else (None, None)
        paths = [*images, label] if isinstance(images, list) else [None]
        if len(paths) < 2 or not all(isinstance(path, str) and path for path in paths):
            faults.append(f"dataset has to be {right}, but {shown(name)} is {shown(case)}")
        elif len(images) not in (1, count):
            faults.append(f"dataset names {len(images)} images of {shown(name)}, channel_names {count} channels")
        else:
            training.append({"image": images[0] if len(images) == 1 else images, "label": label})
    return training, faults


@cache  # a run reads dataset.json several times
def _tell_of_number(path: Path, told: int, found: int) -> None:
    logger.warning("%s: numTraining is %d, but there are %d cases: all of them are used", path, told, found)
