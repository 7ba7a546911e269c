"""Choose the patch size and the batch size of a training: by nnU-Net's rules, within the available memory."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from lunet_networks.authoring.planning.fingerprint import by_axis

GIB = 2**30
LARGEST_PATCH = {2: 512**2, 3: 128**3}  # voxels; more context is seldom worth its time
LEAST_BATCH = 2  # nnU-Net: rather a smaller patch than a smaller batch
WHOLE_VOLUMES = 1.5  # times the voxels are worth it if patches then hold every volume, not 95 % of them along each axis
STEP_SHARE = 0.75  # of the memory is for the training step, the rest for cached cases

Memory = Callable[[int, tuple[int, ...]], int]  # bytes that a training takes, of batch size and patch


@dataclass(frozen=True)
class Patch:
    """What was chosen, and the bytes that a training with it takes."""

    roi_size: tuple[int, ...]
    batch_size: int
    memory: int


def choose_patch(
    shapes: Sequence[Sequence[int]], multiple: int, batch_size: int, memory_needed: Memory, memory: int
) -> Patch:
    """Choose the largest useful patch, then the largest batch up to the published one.

    Args:
        shapes: of the volumes at the spacing of the training, in voxels.
        multiple: every side of a patch has to be a multiple of it.
        batch_size: the published one, which is never exceeded.
        memory_needed: gives the bytes that a training takes without cached cases.
        memory: bytes that are available.

    Raises:
        ValueError: if the volumes are too small for the network, or even the smallest patch does not fit.

    Example:
        >>> choose_patch([(100, 100, 40)], 16, 16, lambda batch, roi: batch * math.prod(roi), memory=2 * 10**6)
        Patch(roi_size=(112, 112, 48), batch_size=2, memory=1204224)
    """
    extent = np.percentile(shapes, 95, axis=0)
    _check_extent(extent, multiple)
    roi, largest = (_enough(_rounded_up(sides, multiple), multiple) for sides in (extent, np.max(shapes, axis=0)))
    if math.prod(largest) <= WHOLE_VOLUMES * math.prod(roi):
        roi = largest
    least_batch = min(LEAST_BATCH, batch_size)
    while math.prod(roi) > LARGEST_PATCH[len(roi)] or memory_needed(least_batch, roi) > STEP_SHARE * memory:
        smaller = _shrunk(roi, extent, multiple)
        if smaller == roi:
            raise ValueError(_too_little(memory_needed(least_batch, roi), memory, least_batch, roi))
        roi = smaller
    return Patch(roi, *_largest_batch(roi, least_batch, batch_size, memory_needed, memory))


def keep_patch(roi_size: Sequence[int], multiple: int, batch_size: int, memory_needed: Memory, memory: int) -> Patch:
    """A patch that the user has chosen, with the largest batch that fits.

    Raises:
        ValueError: if the network cannot take it, or it does not fit into the memory.
    """
    roi = tuple(roi_size)
    right = all(isinstance(side, int) and side > 0 and side % multiple == 0 for side in roi)
    if not right or _enough(roi, multiple) != roi:
        raise ValueError(
            f"--roi_size {by_axis(roi)}: every side has to be a multiple of {multiple}, one at least {2 * multiple}"
        )
    least_batch = min(LEAST_BATCH, batch_size)
    if memory_needed(least_batch, roi) > STEP_SHARE * memory:
        raise ValueError(_too_little(memory_needed(least_batch, roi), memory, least_batch, roi))
    return Patch(roi, *_largest_batch(roi, least_batch, batch_size, memory_needed, memory))


def _check_extent(extent: np.ndarray, multiple: int) -> None:
    """Refuse volumes that would be mostly padding after padding to a multiple of what the network needs."""
    if (extent < multiple / 2).any():
        raise ValueError(
            f"the volumes have {by_axis(round(side) for side in extent)} voxels at the spacing of the training, too "
            f"few for this network, which needs multiples of {multiple}: choose a finer --pixdim, or a large family, "
            "which needs smaller multiples than a small one"
        )


def _rounded_up(sides: np.ndarray, multiple: int) -> list[int]:
    return [math.ceil(side / multiple) * multiple for side in sides]


def _enough(roi: Sequence[int], multiple: int) -> tuple[int, ...]:
    """The patch, made twice as long if the coarsest level would be a single voxel, which norms cannot take."""
    if math.prod(roi) == multiple ** len(roi):
        return (2 * roi[0], *roi[1:])
    return tuple(roi)


def _shrunk(roi: tuple[int, ...], extent: np.ndarray, multiple: int) -> tuple[int, ...]:
    """The patch made shorter along the axis of which it covers most; unchanged if it cannot be smaller."""
    by_share = sorted(range(len(roi)), key=lambda axis: (roi[axis] / extent[axis], roi[axis]), reverse=True)
    for axis in by_share:
        smaller = (*roi[:axis], roi[axis] - multiple, *roi[axis + 1 :])
        if smaller[axis] > 0 and _enough(smaller, multiple) == smaller:
            return smaller
    return roi


def _largest_batch(
    roi: tuple[int, ...], least_batch: int, batch_size: int, memory_needed: Memory, memory: int
) -> tuple[int, int]:
    """The batch size and the bytes that it takes."""
    sizes = range(batch_size, least_batch, -1)
    largest = next((size for size in sizes if memory_needed(size, roi) <= STEP_SHARE * memory), least_batch)
    return largest, memory_needed(largest, roi)


def _too_little(needed: int, memory: int, batch_size: int, roi: Sequence[int]) -> str:
    least = math.ceil(needed / STEP_SHARE / GIB * 10) / 10
    return (
        f"--memory_gib {memory / GIB:g} is too little: a training on patches of {by_axis(roi)} voxels with batch "
        f"size {batch_size} needs {least:g}. Give more, or choose a narrower --preset"
    )
