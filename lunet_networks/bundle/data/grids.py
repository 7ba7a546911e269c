"""Where voxels lie: affines, spacings, how far two grids lie apart, and joining channels that share a grid."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np
from monai.data import MetaTensor
from monai.data.utils import is_no_channel, to_affine_nd
from monai.utils import MetaKeys

__all__ = ["by_axis", "grid_fault", "grid_of", "join_channels", "spacing_of"]

# Programs round the affine differently: a shift of a tenth of a voxel still counts as the same grid.
GRID_TOLERANCE = 0.1


def grid_of(image: MetaTensor) -> np.ndarray:
    """The affine from voxels to mm; for a 2D image without the row and column of the third axis.

    Args:
        image: ``(C, [D,] H, W)``.
    """
    return to_affine_nd(image.ndim - 1, image.affine.numpy())


def spacing_of(image: MetaTensor) -> tuple[float, ...]:
    """Voxel spacing in mm along each axis, rounded to six digits.

    Args:
        image: ``(C, [D,] H, W)``.
    """
    return tuple(float(f"{float(step):.6g}") for step in image.pixdim)


def grid_fault(shape: Sequence[int], affine: np.ndarray, other: np.ndarray) -> str:
    """How far two grids of the same shape lie apart, or "" if it is less than a tenth of a voxel.

    Args:
        shape: in voxels.
        affine: from voxels to mm, of the first grid.
        other: of the second grid.

    Example:
        >>> grid_fault((2, 2), np.eye(3), np.eye(3)), grid_fault((2, 2), np.eye(3), np.diag([1, 2, 1]))
        ('', 'up to 1 mm')
    """
    corners = np.array([[*corner, 1] for corner in product(*((0, side - 1) for side in shape))], float)
    distance = np.linalg.norm(corners @ (affine - other).T, axis=1).max()
    voxel = np.linalg.norm(affine[:-1, :-1], axis=0).min()
    return "" if distance <= GRID_TOLERANCE * voxel else f"up to {distance:.3g} mm"


def join_channels(parts: Sequence[tuple[np.ndarray, dict[str, Any]]]) -> tuple[np.ndarray, dict[str, Any]]:
    """Join images with one file for each channel, as a reader returns them.

    MONAI's readers do the same, but allow no rounding of the affine.

    Args:
        parts: voxels and metadata of each file.

    Raises:
        ValueError: if the files differ in shape or do not lie on the same voxels.
    """
    voxels, meta = parts[0]
    if len(parts) == 1:
        return voxels, meta
    channels = [_channels_first(*part) for part in parts]
    shape = channels[0].shape[1:]
    affine = to_affine_nd(len(shape), meta[MetaKeys.AFFINE])
    for number, (each, (_, other)) in enumerate(zip(channels, parts, strict=True)):
        if each.shape[1:] != shape:
            raise ValueError(f"file {number} is {by_axis(each.shape[1:])} voxels, file 0 {by_axis(shape)}")
        fault = grid_fault(shape, affine, to_affine_nd(len(shape), other[MetaKeys.AFFINE]))
        if fault:
            raise ValueError(f"file {number} lies {fault} away from file 0")
    return np.concatenate(channels), {**meta, MetaKeys.ORIGINAL_CHANNEL_DIM: 0}


def by_axis(shape: Sequence[int]) -> str:
    """A shape in words.

    Example:
        >>> by_axis((48, 64, 48))
        '48 x 64 x 48'
    """
    return " x ".join(map(str, shape))


def _channels_first(voxels: np.ndarray, meta: dict[str, Any]) -> np.ndarray:
    axis = meta[MetaKeys.ORIGINAL_CHANNEL_DIM]
    return voxels[None] if is_no_channel(axis) else np.moveaxis(voxels, int(axis), 0)
