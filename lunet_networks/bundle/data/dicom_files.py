"""Reading of DICOM series: voxels with slope and intercept applied, and the affine of their positions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from monai.config import PathLike
from monai.data import image_reader
from monai.data.utils import orientation_ras_lps
from monai.utils import MetaKeys, SpaceKeys, ensure_tuple, optional_import

from lunet_networks.bundle.data.dicom_series import DicomSeries, is_series, series_at
from lunet_networks.bundle.data.grids import join_channels

__all__ = ["DicomReader"]


class DicomReader(image_reader.ImageReader):
    """Reads DICOM series by their names, see :py:mod:`lunet_networks.bundle.data.dicom_series`.

    MONAI's reader takes a folder for one series, orders its files by another rule, and notices no gaps.
    """

    def verify_suffix(self, filename: Sequence[PathLike] | PathLike) -> bool:
        return all(is_series(name) for name in ensure_tuple(filename))

    def read(self, data: Sequence[PathLike] | PathLike, **kwargs: Any) -> list[DicomSeries]:
        found = [series_at(path) for path in ensure_tuple(data)]
        for series in found:
            if series.fault:
                raise ValueError(series.fault)
        return found

    def get_data(self, img: Sequence[DicomSeries]) -> tuple[np.ndarray, dict[str, Any]]:
        return join_channels([_volume(series) for series in img])


def _volume(series: DicomSeries) -> tuple[np.ndarray, dict[str, Any]]:
    if series.affine is None:
        voxels, affine = _frames(series)
    else:
        slices = [_values(series, number) for number in range(len(series.files))]
        voxels, affine = np.stack(slices, axis=-1), series.affine
    meta = {
        MetaKeys.AFFINE: affine.copy(),
        MetaKeys.ORIGINAL_AFFINE: affine.copy(),
        MetaKeys.SPATIAL_SHAPE: np.asarray(voxels.shape),
        MetaKeys.SPACE: SpaceKeys.RAS,
        MetaKeys.ORIGINAL_CHANNEL_DIM: math.nan,
    }
    return voxels, meta


def _values(series: DicomSeries, number: int) -> np.ndarray:
    """The values of a slice ``(columns, rows)``; each slice may have a slope of its own, as in PET."""
    file = series.read(number)
    slope, intercept = (file.get(name, None) for name in ("RescaleSlope", "RescaleIntercept"))
    slope, intercept = (1.0 if slope is None else float(slope)), (0.0 if intercept is None else float(intercept))
    return (file.pixel_array.T * slope + intercept).astype(np.float32)


def _frames(series: DicomSeries) -> tuple[np.ndarray, np.ndarray]:
    """A file of several frames, as highdicom orders and scales them."""
    highdicom, _ = optional_import("highdicom")
    volume = highdicom.Image.from_dataset(series.read(0)).get_volume(apply_voi_transform=False)
    return volume.array.transpose(2, 1, 0), orientation_ras_lps(volume.affine[:, [2, 1, 0, 3]])
