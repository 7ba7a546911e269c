"""NRRD files: also without orientation, with an axis of channels, and read to the end of a compressed stream."""

from __future__ import annotations

import bz2
import gzip
import io
from collections.abc import Sequence
from typing import Any, BinaryIO

import numpy as np
from monai.config import PathLike
from monai.data import image_reader
from monai.utils import ensure_tuple, optional_import

from lunet_networks.bundle.data.grids import join_channels

__all__ = ["NrrdReader"]

nrrd, _ = optional_import("nrrd")

LPS = "left-posterior-superior"
SPACES = {LPS: LPS, "LPS": LPS, "right-anterior-superior": "RAS", "RAS": "RAS"}  # as MONAI knows them
DECOMPRESS = {"gzip": gzip.decompress, "gz": gzip.decompress, "bzip2": bz2.decompress, "bz2": bz2.decompress}
KINDS_OF_SPACE = ("domain", "space", "???", "none")
MM = {"m": 1000.0, "cm": 10.0, "um": 0.001, "µm": 0.001, "micron": 0.001}  # a unit of length; all others count as mm


class NrrdReader(image_reader.NrrdReader):
    """MONAI's NRRD reader, which reads more headers and compares the checksums of compressed files.

    - Without orientation, as ``nrrd.write(path, array)`` writes files, the axes are taken to run along those of the
      patient, with the first voxel at the origin and the spacing of the header, otherwise 1 mm.
    - The spaces LPS and RAS are read by their long and their short names.
    - An axis that is not one of space, such as those of the kinds list, vector or RGB-color, holds the channels.
    - Several files are the channels of one image.
    """

    def verify_suffix(self, filename: Sequence[PathLike] | PathLike) -> bool:
        return all(str(name).lower().endswith(".nrrd") for name in ensure_tuple(filename))

    def read(self, data: Sequence[PathLike] | PathLike, **kwargs: Any) -> list[image_reader.NrrdImage]:
        return [_read_nrrd(path) for path in ensure_tuple(data)]

    def get_data(self, img: Sequence[image_reader.NrrdImage]) -> tuple[np.ndarray, dict[str, Any]]:
        read_one = super().get_data
        return join_channels([read_one(image) for image in img])


def _read_nrrd(path: PathLike) -> image_reader.NrrdImage:
    with open(path, "rb") as file:
        header = nrrd.read_header(file)
        readable, source = _decompressed(file, header)
        array = nrrd.read_data(readable, source, str(path), index_order="F")
        if source.read(1):
            raise ValueError(f"it holds more than the {array.size} voxels that its header announces")
    array, header = _channels_first(array, header)
    return image_reader.NrrdImage(array, _oriented(header))


def _decompressed(file: BinaryIO, header: dict[str, Any]) -> tuple[dict[str, Any], BinaryIO]:
    """Header and voxels without compression; pynrrd does not notice a wrong checksum."""
    encoding = header.get("encoding")
    if encoding not in DECOMPRESS or "data file" in header or "datafile" in header:
        return header, file
    for _ in range(header.get("line skip", header.get("lineskip", 0))):
        file.readline()
    content = DECOMPRESS[encoding](file.read())
    return {**header, "encoding": "raw", "line skip": 0, "lineskip": 0}, io.BytesIO(content)


def _channels_first(array: np.ndarray, header: dict[str, Any]) -> tuple[np.ndarray, dict[str, Any]]:
    """Move the axis of the channels, if there is one, to the front and out of the header."""
    directions = header.get("space directions")
    kinds = header.get("kinds", ["domain"] * array.ndim)
    others = [
        axis
        for axis in range(array.ndim)
        if (directions is not None and np.isnan(directions[axis]).all()) or kinds[axis] not in KINDS_OF_SPACE
    ]
    if len(others) > 1:
        raise ValueError(f"its axes {', '.join(map(str, others))} are not of space: one may hold the channels")
    if not others:
        return array, header
    fields = ("sizes", "space directions", "spacings")
    of_space = {name: np.delete(header[name], others, axis=0) for name in fields if name in header}
    return np.moveaxis(array, others[0], 0), {**header, **of_space}


def _oriented(header: dict[str, Any]) -> dict[str, Any]:
    """A header with all that MONAI needs to make an affine."""
    rank = len(header["sizes"])
    space = header.get("space", LPS)
    if space not in SPACES:
        raise ValueError(f"its space is {space!r}: it has to be one of {', '.join(SPACES)}")
    spacings = np.nan_to_num(header.get("spacings", np.full(rank, np.nan)), nan=1.0)
    directions = header.get("space directions", np.diag(spacings))
    origin = header.get("space origin", np.zeros(rank))
    units = np.array([MM.get(unit, 1.0) for unit in header.get("space units", [])] or 1.0)
    return {**header, "space": SPACES[space], "space directions": directions * units, "space origin": origin * units}
