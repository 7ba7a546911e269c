"""What a readable image and a readable label map are: the one place that decides, for every run and every tool."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from monai.data import MetaTensor
from nibabel import aff2axcodes

from lunet_networks.bundle.data.case_files import COLOURS, ImagePath
from lunet_networks.bundle.data.grids import by_axis, grid_fault, grid_of
from lunet_networks.bundle.data.picture_files import WHITE, is_picture

__all__ = [
    "WHITE_AS_ONE",
    "UnreadableFileError",
    "image_faults",
    "label_faults",
    "layout_faults",
    "name_of",
    "pair_faults",
    "some_values",
    "values_in",
    "whole_values",
]

# Means and variances are computed in float32: squares of larger and of smaller numbers do not fit into it.
LARGEST = 1e14
LEAST_CONTRAST = 1e-15
HIGHEST_LABEL = 65535
WHITE_AS_ONE = "white_as_one"
ROUNDING = 1e-3  # labels that were scaled or interpolated by whole numbers, such as 0.99999994, are this near to one


class UnreadableFileError(ValueError):
    """A file that cannot be used.

    Args:
        path: of the file, or of all files of an image.
        faults: what is wrong with it.

    Example:
        >>> str(UnreadableFileError("a.nii.gz", ["does not exist"]))
        'a.nii.gz does not exist'
    """

    def __init__(self, path: ImagePath, faults: Iterable[str]) -> None:
        self.name = name_of(path)
        self.faults = list(faults)
        super().__init__(f"{self.name} {'; '.join(self.faults)}")

    def __reduce__(self) -> tuple:
        return type(self), (self.name, self.faults)  # workers of a data loader hand it on


def name_of(path: ImagePath) -> str:
    """The path of an image in words; an image may have a file for each channel."""
    return str(path) if isinstance(path, str | Path) else ", ".join(map(str, path))


def layout_faults(
    image: MetaTensor, path: ImagePath, in_channels: int | None, spatial_dims: int | None
) -> Iterator[str]:
    """Whether a network takes this number of channels and dimensions; a grey picture can become one in colour.

    Args:
        image: ``(C, [D,] H, W)``.
        path: of the image.
        in_channels: of the network; None: any number.
        spatial_dims: of the network; None: any number.
    """
    shape = image.shape[1:]
    if spatial_dims is not None and len(shape) != spatial_dims:
        yield f"has {len(shape)} spatial dimensions ({by_axis(shape)}), {spatial_dims} are needed"
    coloured = is_picture(path) and len(image) == 1 and in_channels == COLOURS
    if in_channels is not None and len(image) != in_channels and not coloured:
        yield f"has {len(image)} channels, {in_channels} are needed"


def image_faults(image: MetaTensor, path: ImagePath) -> Iterator[str]:
    """What is wrong with the affine and the values of an image.

    Args:
        image: ``(C, [D,] H, W)``.
        path: of the image.
    """
    yield from _affine_faults(image)
    voxels = image.numpy()
    for number, channel in enumerate([voxels] if is_picture(path) else voxels):  # a colour of a picture may be constant
        low, high = channel.min(), channel.max()
        if not np.isfinite([low, high]).all():
            count = channel.size - np.isfinite(channel).sum()
            yield (
                f"holds nan or infinite values, {count} of them in channel {number}: "
                "only finite ones can be used, such as 0 outside the field of view"
            )
        elif low == high:
            yield f"has a channel with the value {low:g} only (channel {number}), so there is nothing to segment"
        elif max(-low, high) > LARGEST:
            extreme = high if high > -low else low
            yield (
                f"holds the value {extreme:g} in channel {number}, too large for means in float32: "
                "give voxels outside the field of view a value of the image's own range, such as 0"
            )
        elif float(high) - float(low) < LEAST_CONTRAST:
            yield (
                f"holds values from {low:g} to {high:g} in channel {number}, too close together for float32: scale them"
            )


def label_faults(label: MetaTensor, path: str, label_values: Sequence[int] | None) -> Iterator[str]:
    """What is wrong with the channels and values of a label map.

    Args:
        label: ``(C, [D,] H, W)``.
        path: of the label map.
        label_values: values that it may hold; None: any whole numbers.
    """
    if len(label) != 1:
        yield f"has {len(label)} channels, a label has one"
        return
    values = label.as_tensor()
    broken = ~((values - values.round()).abs() <= ROUNDING) | (values < -ROUNDING) | (values > HIGHEST_LABEL)
    if broken.any():
        found = some_values(torch.unique(values[broken]).tolist())
        yield f"holds the values {found}, labels have to be integers from 0 to {HIGHEST_LABEL}"
        values = values[~broken]
    found = values_in(values.round())
    if label_values is None or (sorted(label_values) == [0, 1] and _only_white(found)):
        return
    strange = [value for value in found if value not in set(label_values)]
    if strange:
        allowed = some_values(sorted(label_values))
        yield f"holds the values {some_values(strange)}, the labels are {allowed}{_of_masks(path, label_values)}"


def whole_values(label: MetaTensor, label_values: Sequence[int] | None) -> MetaTensor:
    """The values of a label map without faults as whole numbers.

    Values within a thousandth of a whole number are rounded. If a label map holds 0 and 255 only, 255 is read as 1,
    unless ``label_values`` say that there are other labels; the metadata then hold ``WHITE_AS_ONE``.

    Args:
        label: ``(1, [D,] H, W)``.
        label_values: values that the labels of the dataset may hold; None: unknown.

    Example:
        >>> whole_values(MetaTensor(torch.tensor([[[0.0, 255.0]]])), label_values=[0, 1]).flatten().tolist()
        [0.0, 1.0]
    """
    label = label.round()
    if (label_values is None or sorted(label_values) == [0, 1]) and _only_white(values_in(label)):
        label = (label > 0).to(label.dtype)
        label.meta[WHITE_AS_ONE] = True
    return label


def pair_faults(image: MetaTensor, label: MetaTensor) -> Iterator[str]:
    """Whether a label map lies on the voxels of its image.

    Args:
        image: ``(C, [D,] H, W)``.
        label: ``(1, [D,] H, W)``.
    """
    if image.shape[1:] != label.shape[1:]:
        hint = " (a 2D image of several channels needs a file for each)" if image.shape[1:-1] == label.shape[1:] else ""
        there, here = by_axis(label.shape[1:]), by_axis(image.shape[1:])
        yield f"is {there} voxels, its image {here}: they have to be equal{hint}"
    elif fault := grid_fault(image.shape[1:], grid_of(image), grid_of(label)):
        yield f"lies {fault} away from its image, both need the same affine"


def values_in(label: torch.Tensor) -> list[int]:
    """The values that occur in a label map of whole numbers, in ascending order.

    Example:
        >>> values_in(MetaTensor(torch.tensor([3.0, 0.0, 3.0])))
        [0, 3]
    """
    return np.bincount(label.numpy().ravel().astype(np.int64)).nonzero()[0].tolist()


def some_values(values: Sequence[float]) -> str:
    """Values in words, the first six if there are more.

    Example:
        >>> some_values([0.5, 1.0])
        '0.5, 1'
    """
    return ", ".join(f"{value:g}" for value in values[:6]) + (", ..." if len(values) > 6 else "")


def _only_white(values: Sequence[int]) -> bool:
    return WHITE in values and set(values) <= {0, WHITE}


def _affine_faults(image: MetaTensor) -> Iterator[str]:
    if image.ndim not in (3, 4):
        return
    affine = grid_of(image)
    if not np.isfinite(affine).all():
        yield "has an affine that is not finite"
    elif None in aff2axcodes(affine) or np.linalg.matrix_rank(affine[:-1, :-1]) < len(affine) - 1:
        plane = " in the plane of x and y (right and front), where a 2D image has to lie" if image.ndim == 3 else ""
        yield f"has an affine in which one axis has no length{plane}"


def _of_masks(path: str, label_values: Sequence[int]) -> str:
    if not is_picture(path) or sorted(label_values) != [0, 1]:
        return ""
    altered = "; JPG alters values, PNG keeps them" if Path(path).suffix.lower() in (".jpg", ".jpeg") else ""
    return f", or 0 and 255{altered}"
