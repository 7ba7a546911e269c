"""Checks of the data files when a run starts: every header and every voxel. Each file is read once."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import numpy as np
from monai.data import MetaTensor
from monai.data.utils import to_affine_nd
from nibabel import aff2axcodes
from tqdm import tqdm

from lunet_networks.bundle.data.picture_files import COLOURS, is_picture
from lunet_networks.bundle.data.readers import IMAGE, LoadImaged
from lunet_networks.bundle.runtime.errors import shortened_list

__all__ = ["DataFacts", "check_data", "readable_only"]

# Programs round the affine differently: a shift of a tenth of a voxel still counts as the same grid.
GRID_TOLERANCE = 0.1
FAULTS_SHOWN = 20
logger = logging.getLogger(__name__)

ImagePath = str | Sequence[str]  # a sequence if every channel has its own file
Visit = Callable[[Mapping[str, Any], MetaTensor, MetaTensor], None]  # case, image and label, each (C, [D,] H, W)


@dataclass(frozen=True)
class DataFacts:
    """What the cases of a datalist have in common, and how their grids vary.

    Args:
        in_channels: number of channels of every image.
        label_values: the values that occur in the labels, in ascending order.
        shapes: shape of each case, in voxels.
        spacings: voxel spacing of each case, in mm.
    """

    in_channels: int
    label_values: tuple[int, ...]
    shapes: tuple[tuple[int, ...], ...]
    spacings: tuple[tuple[float, ...], ...]


def check_data(
    datalist: Sequence[Mapping[str, Any]],
    in_channels: int | None = None,
    label_values: Iterable[int] | None = None,
    spatial_dims: int | None = None,
    visit: Visit | None = None,
) -> DataFacts:
    """Read every image and label once and report everything that a training cannot use.

    Args:
        datalist: cases, ``{"image": path or paths, "label": path}``, as returned by ``load_datalist``.
        in_channels: number of input channels of the network; None: the number that most images have.
        label_values: values that the labels may hold; None: any integers of at least 0.
        spatial_dims: 2 or 3; None: the number that most images have.
        visit: called for each case with its image and label while they are in memory, until the first fault. If
            ``in_channels`` or ``spatial_dims`` is None, it may be called for a case that later turns out to have an
            unusual number of channels or dimensions.

    Returns:
        What the cases have in common, and their shapes and spacings.

    Raises:
        ValueError: lists every faulty file, what is wrong with it and what it should be: a file that cannot be read,
            a wrong number of channels or dimensions, an affine in which an axis has no length, a label whose shape or
            grid differs from that of its image (a corner more than a tenth of a voxel away), a label value that is not
            an integer or not among the labels, nan or infinite values, a channel with one value only.

    Example::

        check_data(load_datalist("data/phantom", "training"), in_channels=1, label_values=range(3))
    """
    allowed = None if label_values is None else sorted(set(label_values))
    faults: list[str] = []
    values: set[int] = set()
    layouts, spacings = [], []
    for case in tqdm(datalist, desc="checking data", unit="case", leave=False, disable=idist.get_rank() != 0):
        image, fault = _read(case["image"])
        if image is None:
            faults.append(f"{_name(case['image'])} {fault}")
        else:
            layouts.append(_layout(case["image"], image))
            faults += [f"{layouts[-1].name} {fault}" for fault in _image_faults(image, layouts[-1])]
            spacings.append(_spacing(image))
        label, fault = _read(case["label"], key="label")
        if label is None:
            faults.append(f"{case['label']} {fault}")
            continue
        found = _values(label)
        values.update(int(value) for value in found if value.is_integer())
        faults += [f"{case['label']} {fault}" for fault in _label_faults(case["label"], found, allowed)]
        if image is not None:
            faults += [f"{case['label']} {fault}" for fault in _grid_faults(image, label)]
            if visit is not None and not faults:
                visit(case, image, label)
    wanted_channels = _wanted(in_channels, [layout.channels for layout in layouts])
    wanted_dims = _wanted(spatial_dims, [len(layout.shape) for layout in layouts])
    odd = [f"{layout.name} {fault}" for layout in layouts for fault in _odd(layout, wanted_channels, wanted_dims)]
    if faults := odd + faults:
        listed = shortened_list(faults, FAULTS_SHOWN)
        raise ValueError(f"the data cannot be used (cases: {len(datalist)}, faults: {len(faults)}):\n{listed}")
    _tell_of_grey(layouts, wanted_channels)
    shapes = tuple(layout.shape for layout in layouts)
    return DataFacts(wanted_channels.number, tuple(sorted(values)), shapes, tuple(spacings))


def readable_only(
    images: Sequence[ImagePath], in_channels: int, spatial_dims: int = 3
) -> tuple[list[ImagePath], list[tuple[str, str]]]:
    """Separate the images that a network can label from the others, before an inference starts.

    Args:
        images: paths; a list of paths if every channel has its own file.
        in_channels: number of input channels of the network.
        spatial_dims: 2 or 3.

    Returns:
        The usable images, and a pair (path, reason) for each of the others.

    Example::

        images, refused = readable_only(["a.nii.gz", "notes.txt"], in_channels=1)
    """
    usable: list[ImagePath] = []
    refused: list[tuple[str, str]] = []
    layouts = []
    for path in tqdm(images, desc="checking images", unit="image", leave=False):
        image, fault = _read(path)
        if image is not None:
            layouts.append(_layout(path, image))
            odd = _odd(layouts[-1], _wanted(in_channels), _wanted(spatial_dims))
            fault = "; ".join([*odd, *_image_faults(image, layouts[-1])])
        if fault:
            refused.append((_name(path), fault))
        else:
            usable.append(path)
    _tell_of_grey(layouts, _wanted(in_channels))
    return usable, refused


def _name(path: ImagePath) -> str:
    return path if isinstance(path, str) else ", ".join(path)


@cache
def _loader(key: str) -> LoadImaged:
    return LoadImaged(keys=key, ensure_channel_first=True)


def _read(path: ImagePath, key: str = IMAGE) -> tuple[MetaTensor | None, str]:
    """Read an image as the transforms of a run do, channels first; if that fails, return None and the reason."""
    try:
        return _loader(key)({key: path})[key], ""
    except FileNotFoundError:
        return None, "does not exist"
    except Exception as error:  # nibabel, pynrrd, gzip and PIL raise many kinds of errors for a broken file
        if "cannot find a suitable reader" in str(error):
            known = "NIfTI (.nii, .nii.gz) or NRRD (.nrrd), for 2D images also PNG, JPG or TIFF"
            return None, f"has a format that cannot be read: use {known}"
        return None, f"cannot be read: {str(error) or type(error).__name__}"


@dataclass(frozen=True)
class _Layout:
    """Channels and shape of an image, and whether it is a picture (PNG, JPG or TIFF)."""

    name: str
    channels: int
    shape: tuple[int, ...]
    is_picture: bool

    def becomes_colour(self, channels: _Wanted) -> bool:
        """Whether ``GreyToColourd`` turns the grey picture into the three channels that the network takes."""
        return self.is_picture and self.channels == 1 and channels.number == COLOURS


def _layout(path: ImagePath, image: MetaTensor) -> _Layout:
    return _Layout(_name(path), len(image), tuple(image.shape[1:]), is_picture(path))


def _tell_of_grey(layouts: Sequence[_Layout], channels: _Wanted) -> None:
    grey = sum(layout.becomes_colour(channels) for layout in layouts)
    if grey:
        logger.warning("%d of %d pictures are grey: they are read as three equal channels", grey, len(layouts))


@dataclass(frozen=True)
class _Wanted:
    """A number of channels or dimensions that every image has to have, and the reason."""

    number: int
    reason: str


def _wanted(given: int | None, found: Sequence[int] = ()) -> _Wanted:
    """The given number, otherwise the most frequent one: the message then names only the images that differ."""
    if given is not None:
        return _Wanted(given, f"{given} are needed")
    number, count = Counter(found).most_common(1)[0] if found else (0, 0)
    return _Wanted(number, f"{count} of {len(found)} images have {number}")


def _odd(layout: _Layout, channels: _Wanted, dims: _Wanted) -> Iterable[str]:
    if len(layout.shape) != dims.number:
        yield f"has {len(layout.shape)} spatial dimensions ({_by(layout.shape)}), {dims.reason}"
    if layout.channels != channels.number and not layout.becomes_colour(channels):
        yield f"has {layout.channels} channels, {channels.reason}"


def _image_faults(image: MetaTensor, layout: _Layout) -> Iterable[str]:
    if image.ndim in (3, 4) and None in aff2axcodes(_affine(image)):
        plane = " in the plane of x and y (right and front), where a 2D image has to lie" if image.ndim == 3 else ""
        yield f"has an affine in which one axis has no length{plane}"
    voxels = image.numpy()
    if not np.isfinite(voxels).all():
        yield "holds nan or infinite values, only finite ones can be used"
        return
    for channel in [voxels] if layout.is_picture else voxels:  # a colour of a picture may be constant
        if channel.min() == channel.max():
            yield f"has a channel with the value {channel.min():g} only, so there is nothing to segment"


def _label_faults(path: str, found: list[float], allowed: list[int] | None) -> Iterable[str]:
    broken = [value for value in found if not value.is_integer() or value < 0]
    strange = [value for value in found if value not in broken and allowed is not None and value not in allowed]
    if broken:
        yield f"holds the values {_some(broken)}, labels have to be integers of at least 0"
    if strange:
        yield f"holds the values {_some(strange)}, the labels are {_some(allowed)}{_of_masks(path, allowed)}"


def _of_masks(path: str, allowed: list[int]) -> str:
    if not is_picture(path) or allowed != [0, 1]:
        return ""
    altered = "; JPG alters values, PNG keeps them" if Path(path).suffix.lower() in (".jpg", ".jpeg") else ""
    return f", or 0 and 255{altered}"


def _grid_faults(image: MetaTensor, label: MetaTensor) -> Iterable[str]:
    if len(label) != 1:
        yield f"has {len(label)} channels, a label has one"
    if image.shape[1:] != label.shape[1:]:
        hint = " (a 2D image of several channels needs a file for each)" if image.shape[1:-1] == label.shape[1:] else ""
        yield f"is {_by(label.shape[1:])} voxels, its image {_by(image.shape[1:])}: they have to be equal{hint}"
        return
    corners = np.array([[*corner, 1] for corner in product(*((0, side - 1) for side in image.shape[1:]))], float)
    away = corners @ (_affine(image) - _affine(label)).T
    distance = np.linalg.norm(away, axis=1).max()
    if not distance <= GRID_TOLERANCE * min(_spacing(image)):
        yield f"lies up to {distance:.2f} mm away from its image, both need the same affine"


def _affine(image: MetaTensor) -> np.ndarray:
    """The affine from voxels to mm; for a 2D image without the row and column of the third axis."""
    return to_affine_nd(image.ndim - 1, image.affine.numpy())


def _spacing(image: MetaTensor) -> tuple[float, ...]:
    return tuple(round(float(step), 4) for step in image.pixdim)


def _values(label: MetaTensor) -> list[float]:
    return np.unique(label.numpy()).tolist()


def _by(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))


def _some(values: Sequence[float]) -> str:
    return ", ".join(f"{value:g}" for value in values[:6]) + (", ..." if len(values) > 6 else "")
