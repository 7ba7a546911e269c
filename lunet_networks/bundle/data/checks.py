"""The check of all cases before a run starts: every file is read once, and every fault is reported."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ignite.distributed as idist
from monai.data import MetaTensor
from tqdm import tqdm

from lunet_networks.bundle.data.grids import by_axis, spacing_of
from lunet_networks.bundle.data.picture_files import COLOURS, is_picture
from lunet_networks.bundle.data.readable import WHITE_AS_ONE, name_of, pair_faults, some_values, values_in
from lunet_networks.bundle.data.readers import IMAGE, LoadImaged
from lunet_networks.bundle.runtime.errors import shortened_list

__all__ = ["DataFacts", "check_data"]

FAULTS_SHOWN = 20
logger = logging.getLogger(__name__)

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
    """Read every image and label once, as ``LoadImaged`` does, and report everything that a training cannot use.

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
        ValueError: lists every faulty file, what is wrong with it and what it should be, see ``LoadImaged``.

    Example::

        check_data(load_datalist("data/phantom", "training"), in_channels=1, label_values=range(3))
    """
    images = LoadImaged(IMAGE, in_channels, spatial_dims)
    labels = LoadImaged("label", None, spatial_dims, None if label_values is None else sorted(set(label_values)))
    faults: list[str] = []
    found = _Found()
    silent = None if idist.get_rank() == 0 else True  # None: no bar if stderr is not a terminal
    for case in tqdm(datalist, desc="checking data", unit="case", leave=False, disable=silent):
        image, of_image = images.examine(IMAGE, case[IMAGE])
        label, of_label = labels.examine("label", case["label"])
        both = image is not None and label is not None
        apart = list(pair_faults(image, label)) if both else []
        faults += [f"{name_of(case[IMAGE])} {fault}" for fault in of_image]
        faults += [f"{case['label']} {fault}" for fault in [*of_label, *apart]]
        found.add(case, image, None if of_label else label)
        if both and visit is not None and not faults:
            visit(case, image, label)
    channels, dims = found.wanted(in_channels, spatial_dims)
    if faults := [*found.odd_ones(channels, dims), *found.doubtful_masks(), *faults]:
        listed = shortened_list(faults, FAULTS_SHOWN)
        raise ValueError(f"the data cannot be used (cases: {len(datalist)}, faults: {len(faults)}):\n{listed}")
    found.tell_of_grey(channels)
    shapes = tuple(layout.shape for layout in found.layouts)
    return DataFacts(channels, tuple(sorted(found.values)), shapes, tuple(found.spacings))


@dataclass(frozen=True)
class _Layout:
    name: str
    channels: int
    shape: tuple[int, ...]
    is_picture: bool


class _Found:
    """What was found in the cases that could be read."""

    def __init__(self) -> None:
        self.layouts: list[_Layout] = []
        self.spacings: list[tuple[float, ...]] = []
        self.values: set[int] = set()
        self.white_masks: list[str] = []  # 255 was read as 1 in them

    def add(self, case: Mapping[str, Any], image: MetaTensor | None, label: MetaTensor | None) -> None:
        if image is not None:
            shape = tuple(image.shape[1:])
            self.layouts.append(_Layout(name_of(case[IMAGE]), len(image), shape, is_picture(case[IMAGE])))
            self.spacings.append(spacing_of(image))
        if label is not None:
            self.values.update(values_in(label))
            if label.meta.get(WHITE_AS_ONE):
                self.white_masks.append(case["label"])

    def wanted(self, in_channels: int | None, spatial_dims: int | None) -> tuple[int, int]:
        """The given numbers of channels and dimensions, otherwise those of most images."""
        return (
            in_channels or _most([layout.channels for layout in self.layouts]),
            spatial_dims or _most([len(layout.shape) for layout in self.layouts]),
        )

    def odd_ones(self, channels: int, dims: int) -> Iterator[str]:
        """The images that differ from most of the others. Where numbers are given, ``LoadImaged`` names them."""
        for layout in self.layouts:
            if len(layout.shape) != dims:
                counted = self._share(dims, [len(other.shape) for other in self.layouts])
                yield f"{layout.name} has {len(layout.shape)} spatial dimensions ({by_axis(layout.shape)}), {counted}"
            if layout.channels != channels and not _becomes_colour(layout, channels):
                counted = self._share(channels, [other.channels for other in self.layouts])
                yield f"{layout.name} has {layout.channels} channels, {counted}"

    @staticmethod
    def _share(number: int, found: list[int]) -> str:
        return f"{found.count(number)} of {len(found)} images have {number}"

    def doubtful_masks(self) -> Iterator[str]:
        """Label maps of 0 and 255 only, in a dataset whose other label maps hold other labels."""
        others = sorted(self.values - {0, 1})
        if others:
            for path in self.white_masks:
                yield f"{path} holds 0 and 255 only, others hold {some_values(others)}: give it the value of its label"

    def tell_of_grey(self, channels: int) -> None:
        grey = sum(_becomes_colour(layout, channels) for layout in self.layouts)
        if grey:
            logger.warning("%d of %d pictures are grey: they are read as three equal channels", grey, len(self.layouts))


def _most(found: list[int]) -> int:
    return Counter(found).most_common(1)[0][0] if found else 0


def _becomes_colour(layout: _Layout, channels: int) -> bool:
    """Whether ``GreyToColourd`` turns the grey picture into the three channels that the network takes."""
    return layout.is_picture and layout.channels == 1 and channels == COLOURS
