"""Measure a dataset: read every case once, check it and describe it."""

from __future__ import annotations

import os
import unicodedata
import zlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from monai.data import MetaTensor
from monai.data.utils import to_affine_nd
from nibabel import aff2axcodes, io_orientation

from lunet_networks.authoring.planning.fingerprint import CaseFingerprint, Fingerprint, summarise, write_fingerprint
from lunet_networks.authoring.planning.fingerprint_picture import draw_fingerprint
from lunet_networks.authoring.planning.intensities import (
    Sample,
    describe_channel,
    plain,
    sample_channel,
)
from lunet_networks.bundle.data.case_files import ImagePath, case_names, nfc
from lunet_networks.bundle.data.checks import check_data
from lunet_networks.bundle.data.datalist import labels_of, load_datalist, read_dataset_json
from lunet_networks.bundle.data.picture_files import is_picture
from lunet_networks.bundle.evaluation.metrics import WHOLE
from lunet_networks.bundle.runtime.strict_json import shown
from lunet_networks.bundle.training.history import KEY_METRIC

IGNORE = "ignore"  # nnU-Net's name for voxels that are not labelled
TAKEN_NAMES = {  # as labels they would get into the same row or column
    WHOLE: "all labels as one",
    KEY_METRIC.removeprefix("val_"): "the mean of all labels",
    "mean": "the mean of all labels",
}
INVISIBLE = ("Cc", "Cs", "Zl", "Zp")  # control characters, halves of characters, ends of lines and paragraphs


def fingerprint_dataset(dataset_dir: str | Path, spatial_dims: int | None = None, seed: int = 0) -> Fingerprint:
    """Read every training and validation case of a dataset once and measure it.

    Args:
        dataset_dir: the folder that holds dataset.json.
        spatial_dims: 2 or 3; None: what most images have.
        seed: of the sampling of voxels; the random numbers of a case do not depend on the other cases.

    Returns:
        The fingerprint.

    Raises:
        FileNotFoundError: if the folder, its dataset.json or files that it lists are absent.
        ValueError: if dataset.json is malformed or at odds with the files, or the cases cannot be trained on together
            (``check_data`` lists them), or none of them holds a label.

    Example::

        fingerprint = fingerprint_dataset("data/phantom")
        fingerprint.median_shape, fingerprint.intensities[0].percentile_99_5
    """
    path = Path(dataset_dir, "dataset.json")
    description = read_dataset_json(dataset_dir)
    names, ignore_label = label_names_of(path, labels_of(description))
    modalities = _modalities(path, description.get("modality"))
    cases = _all_cases(dataset_dir)
    measured = _Measured([case["image"] for case in cases], names, ignore_label, seed)
    facts = check_data(
        cases,
        label_values=labels_of(description),
        spatial_dims=spatial_dims,
        visit=measured.add,
    )
    if modalities and len(modalities) != facts.in_channels:
        raise ValueError(
            f"{path} names {len(modalities)} channels in modality ({', '.join(modalities)}), "
            f"but every image has {facts.in_channels}: name each channel"
        )
    samples = [found * facts.in_channels if len(found) == 1 else found for found in measured.samples]  # of grey ones
    if not any(volume for case in measured.cases for volume in case.label_volumes.values()):
        raise ValueError(f"no case of {path} holds any of its labels ({', '.join(names)}): there is nothing to learn")
    return Fingerprint(
        name=one_line(description.get("name")) or one_line(Path(dataset_dir).resolve().name),
        description=one_line(description.get("description")),
        reference=one_line(description.get("reference")),
        licence=one_line(description.get("licence") or description.get("license")),
        spatial_dims=len(facts.shapes[0]),
        modalities=modalities or ("unknown",) * facts.in_channels,
        label_names=names,
        ignore_label=ignore_label,
        num_training=len(description["training"]),
        num_validation=len(description.get("validation", [])),
        num_test=len(description.get("test", [])),
        cases=tuple(measured.cases),
        intensities=tuple(describe_channel(channel) for channel in zip(*samples, strict=True)),
    )


def label_names_of(path: Path, labels: Mapping[int, str]) -> tuple[tuple[str, ...], int | None]:
    """Names of the foreground labels, and the value of the ignore label.

    Args:
        path: of the dataset.json, for messages.
        labels: names by value, in ascending order, the background's too.

    Raises:
        ValueError: if it names no label, several by one name, or ignores another one than the last.
    """
    names = [name for value, name in labels.items() if value > 0]
    ignored = [value for value, name in labels.items() if name == IGNORE]
    if ignored and ignored != [max(labels)]:
        raise ValueError(f"{path} gives {IGNORE} the value {ignored[0]}, it has to be the highest label value")
    if ignored:
        names.pop()
    if not names:
        raise ValueError(f"{path} names no label but the background and {IGNORE}: there is nothing to learn")
    check_names(path, "label", names)
    lowered = [name.lower() for name in ("background", *names)]
    if len(set(lowered)) < len(lowered):
        raise ValueError(
            f"{path} gives several labels the same name: {', '.join(names)}; capitals make no difference to MONAI Label"
        )
    if taken := [name for name in names if name in TAKEN_NAMES]:
        what = TAKEN_NAMES[taken[0]]
        raise ValueError(f"{path} calls a label {taken[0]}, as tables call {what}: name it otherwise")
    return tuple(names), ignored[0] if ignored else None


def _modalities(path: Path, modality: Any) -> tuple[str, ...]:
    """The modality of each channel; none if dataset.json does not name them."""
    if modality is None:
        return ()
    numbered = isinstance(modality, dict) and sorted(modality) == sorted(str(number) for number in range(len(modality)))
    if not numbered or not all(isinstance(name, str) for name in modality.values()):
        raise ValueError(
            f'{path}: modality has to name the channels, numbered from 0, such as {{"0": "MRI"}}, not {shown(modality)}'
        )
    names = tuple(modality[str(channel)] for channel in range(len(modality)))
    check_names(path, "channel", names)
    return names


def check_names(source: object, kind: str, names: Iterable[str]) -> None:
    """Check that names can stand in tables, pictures and configs. Signs of all kinds can, ends of lines cannot.

    Args:
        source: of the names, for the message.
        kind: "label" or "channel".
        names: to check.

    Raises:
        ValueError: for the first character that cannot be shown.
    """
    for name in names:
        if wrong := [character for character in name if unicodedata.category(character) in INVISIBLE]:
            raise ValueError(f"{source}: the {kind} {name!r} holds {wrong[0]!r}, which cannot be shown: rename it")


def one_line(text: object) -> str:
    """What dataset.json or the command line says, for a sentence: without line breaks; "" for None.

    Example:
        >>> one_line("Livers,\\n  in CT"), one_line(None), one_line(2026)
        ('Livers, in CT', '', '2026')
    """
    return "" if text is None else " ".join(str(text).split()).encode(errors="replace").decode()


def _all_cases(dataset_dir: str | Path) -> list[dict[str, Any]]:
    """The training cases, sorted by image, and those of a validation list; without one the folds contain all cases."""
    sections = [load_datalist(dataset_dir, section, num_folds=2) for section in ("training", "validation")]
    if "validation" not in read_dataset_json(dataset_dir):
        sections = [[case for section in sections for case in section]]
    return [case for cases in sections for case in sorted(cases, key=lambda case: nfc(str(case["image"])))]


class _Measured:
    """Collects the cases as ``check_data`` hands them over, and samples of their voxels."""

    def __init__(
        self, images: Sequence[ImagePath], label_names: tuple[str, ...], ignore_label: int | None, seed: int
    ) -> None:
        self.names = dict(zip(map(str, images), case_names(images), strict=True))
        self.label_names = label_names
        self.ignore_label = ignore_label
        self.seed = seed
        self.cases: list[CaseFingerprint] = []
        self.samples: list[list[Sample]] = []  # of each case and channel

    def add(self, case: Mapping[str, Any], image: MetaTensor, label: MetaTensor) -> None:
        name = self.names[str(case["image"])]
        values = label[0].numpy()
        self.cases.append(self._describe(name, is_picture(case["image"]), image, values))
        foreground = values > 0
        if self.ignore_label is not None:
            foreground &= values != self.ignore_label
        random = np.random.default_rng([self.seed, zlib.crc32(name.encode())])
        self.samples.append([sample_channel(channel, foreground, random) for channel in image.numpy()])

    def _describe(self, name: str, picture: bool, image: MetaTensor, values: np.ndarray) -> CaseFingerprint:
        dims = values.ndim
        affine = to_affine_nd(dims, image.affine.numpy())
        order = np.argsort(io_orientation(affine)[:, 0])  # which of the file's axes becomes R, A, S
        voxel = abs(np.linalg.det(affine[:dims, :dims]))
        return CaseFingerprint(
            name=name,
            shape=tuple(values.shape[axis] for axis in order),
            spacing=tuple(plain(image.pixdim[axis]) for axis in order),
            orientation="" if picture else "".join(aff2axcodes(affine)),
            label_volumes={
                label: plain(voxel * np.count_nonzero(values == value))
                for value, label in enumerate(self.label_names, start=1)
            },
        )


def fingerprint(dataset_dir: str, output_dir: str | None = None, spatial_dims: int | None = None) -> None:
    """Measure a dataset, write fingerprint.json and fingerprint.png, and print a summary.

    Args:
        dataset_dir: the folder that holds dataset.json.
        output_dir: folder to write to; without it the dataset's folder.
        spatial_dims: 2 or 3, the dimensions that the images should have; without it those of most images.
    """
    folder = Path(str(dataset_dir if output_dir is None else output_dir))
    if folder.exists() and not os.access(folder, os.W_OK):  # before minutes of reading
        raise PermissionError(f"cannot write into {folder}: name another folder with --output_dir")
    measured = fingerprint_dataset(str(dataset_dir), spatial_dims)
    write_fingerprint(measured, folder / "fingerprint.json")
    draw_fingerprint(measured, folder / "fingerprint.png")
    print(summarise(measured))
    print(f"{folder / 'fingerprint.json'} and {folder / 'fingerprint.png'} written")
