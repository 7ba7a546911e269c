"""A label map measured against its truth, as an evaluation measures it, and the labels of two folders."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from monai.data import MetaTensor

from lunet_networks.authoring.planning.measuring import label_names_of
from lunet_networks.bundle.data.grids import by_axis, grid_fault, grid_of
from lunet_networks.bundle.data.nnunet_dataset import names_by_value
from lunet_networks.bundle.data.readable import UnreadableFileError, values_in
from lunet_networks.bundle.data.readers import LoadImaged
from lunet_networks.bundle.evaluation.metrics import CaseMetrics, measure_case
from lunet_networks.bundle.runtime.strict_json import read_json

KEY = "label"


@dataclass(frozen=True)
class Labels:
    """The labels that are measured.

    Args:
        values: in the files, in ascending order.
        names: as many.
        ignored: value of voxels without annotation in the truth, or None.
    """

    values: Sequence[int]
    names: Sequence[str]
    ignored: int | None = None

    @classmethod
    def named(cls, names: Sequence[str], ignored: int | None = None) -> "Labels":
        """The labels 1, 2, ..."""
        return cls(range(1, len(names) + 1), names, ignored)

    @classmethod
    def in_files(cls, paths: Iterable[Path]) -> "Labels":
        """The values that files hold, as label_1, label_2 ...; a file that cannot be read is left for later.

        Raises:
            ValueError: if there are none.
        """
        found: set[int] = set()
        for path in paths:
            try:
                found.update(values_in(read_label_map(path)))
            except UnreadableFileError:
                continue
        values = sorted(found - {0})
        if not values:
            raise ValueError("none of the label maps that can be read holds a label: there is nothing to measure")
        return cls(values, [f"label_{value}" for value in values])

    @classmethod
    def beside(cls, truth: Path) -> "Labels | None":
        """Those of dataset.json in the folder of the truth or in the one around it; None if there is none.

        Raises:
            ValueError: if it does not name the labels 1, 2, ...
        """
        truth = truth.resolve()
        path = next((path for path in (truth / "dataset.json", truth.parent / "dataset.json") if path.is_file()), None)
        if path is None:
            return None
        description = read_json(path)
        labels = names_by_value(description.get("labels")) if isinstance(description, dict) else None
        if not isinstance(labels, dict) or sorted(labels) != sorted(str(value) for value in range(len(labels))):
            raise ValueError(f"{path} does not name the labels 0, 1, 2 ...: give --label_names for 1, 2 ...")
        in_order = {value: str(labels[str(value)]) for value in range(len(labels))}
        return cls.named(*label_names_of(path, in_order))


def measure_files(
    prediction: Path, truth: Path, labels: Labels, change: Callable[[torch.Tensor], torch.Tensor] | None = None
) -> dict[str, CaseMetrics]:
    """Measure a label map against its truth, on the truth's voxels and with its spacing.

    Args:
        prediction: path of the label map.
        truth: path of the true one.
        labels: that are measured.
        change: of the label map ``(1, W, H[, D])`` before it is measured.

    Raises:
        UnreadableFileError: if one of them cannot be read or holds other values, or if they differ in their grid.
    """
    ignored = [] if labels.ignored is None else [labels.ignored]
    true = read_label_map(truth, [0, *labels.values, *ignored])
    found = read_label_map(prediction, [0, *labels.values])
    if fault := _grid_fault(found, true):
        raise UnreadableFileError(str(prediction), [fault])
    found = found if change is None else change(found)
    spacing = true.pixdim[: true.ndim - 1].tolist()
    if labels.ignored is not None:
        found = torch.where(true == labels.ignored, torch.zeros_like(found), found)
    return measure_case(_numbered(found[0], labels), _numbered(true[0], labels), spacing, labels.names)


def read_label_map(path: Path, values: Sequence[int] | None = None) -> MetaTensor:
    """A label map ``(1, W, H[, D])``. One of (W, H, 1) voxels is an image in 2D.

    Args:
        path: of the file.
        values: that it may hold; None: any.

    Raises:
        UnreadableFileError: if it cannot be read, or holds other values.
    """
    label = LoadImaged([KEY], label_values=values)({KEY: str(path)})[KEY]
    if label.ndim == 4 and label.shape[-1] == 1:
        label = LoadImaged([KEY], spatial_dims=2, label_values=values)({KEY: str(path)})[KEY]
    return label


def _grid_fault(found: MetaTensor, true: MetaTensor) -> str:
    if found.shape != true.shape:
        return f"is {by_axis(found.shape[1:])} voxels, the truth {by_axis(true.shape[1:])}: they have to be equal"
    apart = grid_fault(true.shape[1:], grid_of(true), grid_of(found))
    return f"lies {apart} away from the truth, both need the same affine" if apart else ""


def _numbered(label: torch.Tensor, labels: Labels) -> torch.Tensor:
    """The label map with the numbers 1, 2, ... in place of the values; ignored voxels are background."""
    numbers = np.zeros(max([*labels.values, labels.ignored or 0]) + 1, np.int64)
    numbers[list(labels.values)] = range(1, len(labels.values) + 1)
    return torch.from_numpy(numbers[label.numpy().astype(np.int64)])
