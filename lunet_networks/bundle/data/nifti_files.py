"""NIfTI files: read to their last byte, placed as nibabel and ITK-SNAP place them, and written like an image."""

from __future__ import annotations

import gzip
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO

import nibabel as nib
import numpy as np
from monai.config import PathLike
from monai.data import image_reader
from monai.data.utils import to_affine_nd
from monai.utils import MetaKeys, SpaceKeys, ensure_tuple
from nibabel.volumeutils import apply_read_scaling

from lunet_networks.bundle.data.grids import join_channels

__all__ = ["NiftiImage", "NiftiReader", "is_nifti", "nifti_content", "read_nifti"]

GZIP = b"\x1f\x8b"
HEADER_BYTES = 540  # of NIfTI-2, more than those of NIfTI-1
CHUNK = 2**20
MM = {1: 1000.0, 3: 0.001}  # a unit of length in mm by its code: metre, micrometre; all others count as mm
IMAGES = {nib.Nifti1Header: nib.Nifti1Image, nib.Nifti2Header: nib.Nifti2Image}


@dataclass(frozen=True)
class NiftiImage:
    """A NIfTI file.

    Args:
        header: as it is in the file, without extensions.
        voxels: values with the header's scaling, ``(W, H[, D][, C])``.
    """

    header: nib.Nifti1Header
    voxels: np.ndarray

    @property
    def affine(self) -> np.ndarray:
        """From voxels to mm: the sform where its code is set, otherwise the qform, otherwise the spacing alone."""
        affine = np.array(self.header.get_best_affine(), float)
        affine[:3] *= MM.get(int(self.header["xyzt_units"]) & 7, 1.0)
        return affine


def is_nifti(path: PathLike) -> bool:
    """Whether a file is NIfTI according to its ending.

    Example:
        >>> is_nifti("CT.NII.GZ"), is_nifti("ct.nrrd")
        (True, False)
    """
    return str(path).lower().endswith((".nii", ".nii.gz"))


def read_nifti(path: PathLike) -> NiftiImage:
    """Read a NIfTI file, compressed or not, whatever its ending says.

    nibabel stops at the last voxel, but the checksum of a compressed file comes after it.

    Raises:
        OSError, EOFError, zlib.error: if the file cannot be read, or is damaged or cut off.
        ValueError: if it is not NIfTI or holds no numbers.

    Example::

        read_nifti("imagesTr/hippocampus_001.nii.gz").voxels.shape
    """
    with _opened(path) as file:
        header = _read_header(file)
        return NiftiImage(header, _read_voxels(file, header))


class NiftiReader(image_reader.NibabelReader):
    """MONAI's NIfTI reader, except for what ``read_nifti`` and ``NiftiImage`` do otherwise.

    MONAI changes headers whose forms differ (``rectify_header_sform_qform``), which moves the voxels. Colours are read
    as channels; three equal ones are read as grey. Several files are the channels of one image.
    """

    def verify_suffix(self, filename: Sequence[PathLike] | PathLike) -> bool:
        return all(is_nifti(name) for name in ensure_tuple(filename))

    def read(self, data: Sequence[PathLike] | PathLike, **kwargs: Any) -> list[NiftiImage]:
        return [read_nifti(path) for path in ensure_tuple(data)]

    def get_data(self, img: Sequence[NiftiImage]) -> tuple[np.ndarray, dict[str, Any]]:
        return join_channels([(image.voxels, self._describe(image)) for image in img])

    def _describe(self, image: NiftiImage) -> dict[str, Any]:
        rank = min(len(image.header.get_data_shape()), 3)
        header = self._get_meta_dict(image)
        return {
            **{name: value for name, value in header.items() if value.dtype.kind != "S"},  # batches have no texts
            MetaKeys.AFFINE: image.affine,
            MetaKeys.ORIGINAL_AFFINE: image.affine,
            MetaKeys.SPATIAL_SHAPE: np.asarray(image.voxels.shape[:rank]),
            MetaKeys.SPACE: SpaceKeys.RAS,
            MetaKeys.ORIGINAL_CHANNEL_DIM: -1 if image.voxels.ndim > rank else math.nan,
        }


def nifti_content(voxels: np.ndarray, source: PathLike, affine: np.ndarray, extension: bytes = b"") -> bytes:
    """The content of a .nii.gz file whose voxels are those of an image.

    Args:
        voxels: ``(1, W, H[, D])``, or ``(C, W, H[, D])``, which is written as ``(W, H, D, C)``.
        source: the image. If it is a NIfTI file, its forms and their codes, its units and its dimensions are kept, so
            that every viewer shows both at the same place, whichever form it reads.
        affine: from voxels to mm, used if the image is in another format.
        extension: content of a header extension, such as the names of labels.

    Raises:
        ValueError: if the image has other sizes.
    """
    header = _header_like(source) if is_nifti(source) else _header_at(affine)
    shape = _written_shape(header.get_data_shape(), voxels.shape)
    if math.prod(shape) != voxels.size:
        raise ValueError(f"{source} has other sizes than its label map, {voxels.shape[1:]}")
    header.set_data_dtype(voxels.dtype)
    header.set_data_shape(shape)
    if extension:
        header.extensions.append(nib.nifti1.Nifti1Extension(0, extension))
    written = np.moveaxis(voxels, 0, -1).reshape(shape)
    return gzip.compress(IMAGES[type(header)](written, None, header).to_bytes(), compresslevel=1, mtime=0)


@contextmanager
def _opened(path: PathLike) -> Iterator[BinaryIO]:
    with open(path, "rb") as file:
        if file.peek(2)[:2] != GZIP:
            yield file
        else:
            with gzip.GzipFile(fileobj=file) as decompressed:
                yield decompressed


def _read_header(file: BinaryIO) -> nib.Nifti1Header:
    block = file.read(HEADER_BYTES)
    for kind in IMAGES:
        if kind.may_contain_header(block):
            return kind(block[: kind.sizeof_hdr])
    raise ValueError("it has no NIfTI header")


def _read_voxels(file: BinaryIO, header: nib.Nifti1Header) -> np.ndarray:
    shape, dtype = header.get_data_shape(), header.get_data_dtype()
    if not shape or min(shape) < 1:
        raise ValueError(f"it holds no voxels, its shape is {shape}")
    if dtype.kind == "c":
        raise ValueError("its voxels are complex numbers: save their magnitude")
    content = _read(file, header.get_data_offset(), math.prod(map(int, shape)) * dtype.itemsize)
    if dtype.names:
        return _with_colours(np.frombuffer(content, np.uint8).reshape(-1, *shape, order="F"))
    voxels = np.frombuffer(content, dtype).reshape(_read_shape(shape), order="F")
    slope, inter = header.get_slope_inter()
    return apply_read_scaling(voxels, 1.0 if slope is None else slope, 0.0 if inter is None else inter)


def _read(file: BinaryIO, start: int, count: int) -> bytearray:
    """Read some bytes, and go on to the end of a compressed stream, where its checksum is compared."""
    file.seek(start)
    content = bytearray()  # grows with what is there: a damaged header may announce any number of bytes
    while len(content) < count and (part := file.read(min(CHUNK, count - len(content)))):
        content += part
    if len(content) < count:
        raise ValueError(f"it is cut off: its header announces {count} bytes of voxels, {len(content)} are there")
    if isinstance(file, gzip.GzipFile):
        while file.read(CHUNK):
            pass
    return content


def _read_shape(shape: Sequence[int]) -> tuple[int, ...]:
    """Axes of space and at most one of channels; ITK puts channels behind an axis of time."""
    space, others = tuple(shape[:3]), [side for side in shape[3:] if side > 1]
    if len(others) > 1:
        raise ValueError(f"its shape is {tuple(shape)}: it may have one axis of channels behind three of space")
    return (*space, *others)


def _with_colours(colours: np.ndarray) -> np.ndarray:
    """``(W, H, D)`` of a grey image, ``(W, H, D, 3)`` of others, from ``(3 or 4, W, H, D)``."""
    shape = _read_shape(colours.shape[1:])
    if len(shape) > 3:
        raise ValueError(f"its shape is {shape}: a file in colour may have no axis of channels")
    red, green, blue, *alpha = (channel.reshape(shape) for channel in colours)
    if alpha and alpha[0].min() < 255:
        raise ValueError("parts of it are transparent: save it without an alpha channel")
    grey = np.array_equal(red, green) and np.array_equal(red, blue)
    return red if grey else np.stack([red, green, blue], axis=-1)


def _header_like(source: PathLike) -> nib.Nifti1Header:
    """The header of an image, without what describes its values."""
    with _opened(source) as file:
        header = _read_header(file).as_byteswapped("<")
    header.set_slope_inter(1, 0)
    header.set_intent("none")
    for name in ("cal_min", "cal_max", "descrip", "aux_file"):  # the window of a viewer; texts that may name a patient
        header[name] = np.zeros_like(header[name])
    return header


def _header_at(affine: np.ndarray) -> nib.Nifti1Header:
    header = nib.Nifti1Header()
    header.set_xyzt_units("mm")
    affine = to_affine_nd(3, np.asarray(affine, float))
    header.set_sform(affine, code="scanner")
    header.set_qform(affine, code="scanner")
    if not np.allclose(header.get_qform(), affine, atol=1e-4 * np.abs(affine[:3, :3]).max()):
        header["qform_code"] = 0  # a qform cannot express shears
    return header


def _written_shape(source: Sequence[int], voxels: Sequence[int]) -> tuple[int, ...]:
    channels, *space = voxels
    if channels > 1:
        return (*space, *[1] * (3 - len(space)), channels)
    return tuple(source) if math.prod(source) == math.prod(space) else tuple(space)
