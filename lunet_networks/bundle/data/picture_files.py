"""PNG, JPG and TIFF pictures, read as a viewer shows them, and masks in these formats."""

from __future__ import annotations

import zlib
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from monai import transforms
from monai.config import PathLike
from monai.data import MetaTensor, image_reader
from monai.utils import MetaKeys, ensure_tuple

from lunet_networks.bundle.data.case_files import COLOURS, PICTURE_SUFFIXES

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = [
    "COLOURS",
    "PICTURE_SUFFIXES",
    "GreyToColourd",
    "PictureReader",
    "is_picture",
    "take_indices",
]

WHITE = 255
INDICES = "palette_indices"
COMPRESSION, STRIPS, TILES = 259, (273, 279), (324, 325)  # tags of TIFF: compression, offsets and sizes of the pixels
DEFLATE = (8, 32946)
# Rows run downwards, so that Orientationd orients a picture in the same way as a slice: to the right and upwards.
DOWNWARDS = np.diag([1.0, -1.0, 1.0])


def is_picture(path: PathLike | Sequence[PathLike]) -> bool:
    """Whether a file, or every file of a sequence, is a picture according to its suffix.

    Example:
        >>> is_picture("images/cell.PNG"), is_picture(["t1.nii.gz", "t2.nii.gz"])
        (True, False)
    """
    return all(Path(name).suffix.lower() in PICTURE_SUFFIXES for name in ensure_tuple(path))


class PictureReader(image_reader.PILReader):
    """MONAI's reader for pictures, extended to TIFF; it reads what a viewer shows.

    A picture is returned as ``(W, H)`` or ``(W, H, 3)``, rotated according to its EXIF data; values of 16 bits are
    kept. Three equal channels are read as grey, a palette as its colours, and an opaque alpha channel is left out.
    Pixels are 1 mm wide, columns run to the right and rows downwards (posterior). The metadata of a picture with a
    palette also hold its indices, which are the labels of a mask, see :py:func:`take_indices`.

    Raises:
        ValueError: if parts of a picture are transparent, or a TIFF holds several pages.
        OSError: if a file is not a picture or is damaged.

    Example::

        image, meta = PictureReader().get_data(PictureReader().read("images/cell.png"))
    """

    def __init__(self) -> None:
        super().__init__(converter=_as_seen)

    def verify_suffix(self, filename: Sequence[PathLike] | PathLike) -> bool:
        return is_picture(filename)

    def read(self, data: Sequence[PathLike] | PathLike, **kwargs: Any) -> Image | list[Image]:
        for path in ensure_tuple(data):
            _check_streams(path)
        return super().read(data, **kwargs)

    def _get_meta_dict(self, img: Image) -> dict[str, Any]:
        indices = {INDICES: img.info[INDICES]} if INDICES in img.info else {}
        return {MetaKeys.AFFINE: DOWNWARDS, MetaKeys.ORIGINAL_AFFINE: DOWNWARDS, **indices}


def _check_streams(path: PathLike) -> None:
    """Compare the checksums of compressed pixels, which PIL does not do when it decodes them."""
    from PIL import Image

    with Image.open(path) as picture:
        if picture.format == "PNG":
            picture.verify()
        elif picture.format == "TIFF" and picture.tag_v2.get(COMPRESSION) in DEFLATE:
            tags = TILES if TILES[0] in picture.tag_v2 else STRIPS
            with open(path, "rb") as file:
                for start, count in zip(*(ensure_tuple(picture.tag_v2[tag]) for tag in tags), strict=True):
                    file.seek(start)
                    zlib.decompress(file.read(count))


def _as_seen(picture: Image) -> Image:
    """Grey or RGB, upright."""
    from PIL import ImageOps

    if picture.format == "TIFF" and picture.n_frames > 1:
        raise ValueError(f"it holds {picture.n_frames} pages, but only files with one page can be read")
    picture = ImageOps.exif_transpose(picture)
    if picture.mode in ("1", "L", "F") or picture.mode.startswith("I"):
        return picture.convert("L") if picture.mode == "1" else picture
    indices = {INDICES: _indices(picture)} if picture.mode == "P" else {}
    picture = picture.convert("RGBA")  # also from a palette, CMYK, or grey with alpha
    *colours, alpha = picture.split()
    if alpha.getextrema() != (WHITE, WHITE):
        raise ValueError("parts of it are transparent: save it without an alpha channel")
    values = [np.asarray(colour) for colour in colours]
    grey = all(np.array_equal(values[0], others) for others in values[1:])
    seen = colours[0] if grey else picture.convert("RGB")
    seen.info = indices
    return seen


def _indices(picture: Image) -> np.ndarray:
    """The indices ``(W, H)`` of a palette as labels; in black and white, white is the label."""
    indices = np.asarray(picture).T
    palette = np.reshape(picture.getpalette("RGB"), (-1, COLOURS))
    used = np.unique(indices)
    shown = palette[used]
    if len(used) == 2 and (shown[0] == WHITE).all() and (shown[1] == 0).all():
        return np.where(indices == used[0], WHITE, 0)
    return indices


def take_indices(picture: MetaTensor, as_label: bool) -> MetaTensor:
    """The labels of a mask with a palette, which are its indices, or the picture without them.

    Args:
        picture: ``(C, W, H)`` as ``PictureReader`` reads it; other images are returned as they are.
        as_label: whether it is a mask.
    """
    indices = picture.meta.pop(INDICES, None)
    if not as_label or indices is None:
        return picture
    return MetaTensor(torch.as_tensor(np.array(indices))[None].to(picture.dtype)).copy_meta_from(picture)


class GreyToColourd(transforms.MapTransform):
    """Repeats the channel of a grey image for a network that takes three channels.

    Colour images stay as they are; MONAI's ``RepeatChanneld`` would repeat their channels too.

    Args:
        keys: images ``(1, H, W)`` or ``(3, H, W)``.

    Example:
        >>> GreyToColourd("image")({"image": torch.zeros(1, 4, 4)})["image"].shape
        torch.Size([3, 4, 4])
    """

    def __call__(self, data: Mapping[Hashable, torch.Tensor]) -> dict[Hashable, torch.Tensor]:
        coloured = dict(data)
        for key in self.key_iterator(coloured):
            image = coloured[key]
            coloured[key] = image.repeat(COLOURS, 1, 1) if len(image) == 1 else image
        return coloured
