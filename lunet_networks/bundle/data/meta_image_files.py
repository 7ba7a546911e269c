"""MetaImage files (.mha, and .mhd with its voxels in another file), read by SimpleITK."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from monai.config import PathLike
from monai.data import image_reader
from monai.data.utils import orientation_ras_lps
from monai.utils import MetaKeys, SpaceKeys, ensure_tuple, optional_import

from lunet_networks.bundle.data.grids import join_channels

__all__ = ["MetaImageReader"]


class MetaImageReader(image_reader.ImageReader):
    """Reads MetaImage files. Several files are the channels of one image."""

    def verify_suffix(self, filename: Sequence[PathLike] | PathLike) -> bool:
        return all(str(name).lower().endswith((".mha", ".mhd")) for name in ensure_tuple(filename))

    def read(self, data: Sequence[PathLike] | PathLike, **kwargs: Any) -> list[Any]:
        sitk, _ = optional_import("SimpleITK")  # not for other files: it takes 90 MiB
        images = []
        for path in ensure_tuple(data):
            with open(path, "rb"):  # a file that is not there is said to be so
                images.append(sitk.ReadImage(str(path)))
        return images

    def get_data(self, img: Sequence[Any]) -> tuple[np.ndarray, dict[str, Any]]:
        return join_channels([_volume(image) for image in img])


def _volume(image: Any) -> tuple[np.ndarray, dict[str, Any]]:
    rank = image.GetDimension()
    sitk, _ = optional_import("SimpleITK")
    stored = sitk.GetArrayFromImage(image)  # (D, H, W[, C])
    axes = tuple(reversed(range(rank)))
    voxels = stored.transpose(*axes, rank) if stored.ndim > rank else stored.transpose(axes)
    affine = np.eye(rank + 1)
    affine[:rank, :rank] = np.reshape(image.GetDirection(), (rank, rank)) * image.GetSpacing()
    affine[:rank, rank] = image.GetOrigin()
    affine = orientation_ras_lps(affine)
    meta = {
        MetaKeys.AFFINE: affine,
        MetaKeys.ORIGINAL_AFFINE: affine.copy(),
        MetaKeys.SPATIAL_SHAPE: np.asarray(voxels.shape[:rank]),
        MetaKeys.SPACE: SpaceKeys.RAS,
        MetaKeys.ORIGINAL_CHANNEL_DIM: -1 if voxels.ndim > rank else math.nan,
    }
    return voxels, meta
