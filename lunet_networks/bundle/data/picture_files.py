"""PNG, JPG and TIFF pictures, read as a viewer shows them, and masks in these formats."""

from __future__ import annotations

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
    "mask_values",
]

WHITE = 255
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
    Pixels are 1 mm wide, columns run to the right and rows downwards (posterior).

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

    def _get_meta_dict(self, img: Image) -> dict[str, Any]:
        return {MetaKeys.AFFINE: DOWNWARDS, MetaKeys.ORIGINAL_AFFINE: DOWNWARDS}


def _as_seen(picture: Image) -> Image:
    """Grey or RGB, upright."""
    from PIL import ImageOps

    if picture.format == "TIFF" and picture.n_frames > 1:
        raise ValueError(f"it holds {picture.n_frames} pages, but only files with one page can be read")
    picture = ImageOps.exif_transpose(picture)
    if picture.mode in ("1", "L", "F") or picture.mode.startswith("I"):
        return picture.convert("L") if picture.mode == "1" else picture
    picture = picture.convert("RGBA")  # also from a palette, CMYK, or grey with alpha
    *colours, alpha = picture.split()
    if alpha.getextrema() != (WHITE, WHITE):
        raise ValueError("parts of it are transparent: save it without an alpha channel")
    values = [np.asarray(colour) for colour in colours]
    grey = all(np.array_equal(values[0], others) for others in values[1:])
    return colours[0] if grey else picture.convert("RGB")


def mask_values(mask: MetaTensor) -> MetaTensor:
    """The label values of a mask: in a mask of black and white only, 255 becomes 1.

    Args:
        mask: mask read from a picture, of any shape.

    Example:
        >>> mask_values(MetaTensor(torch.tensor([0.0, 255.0]))).tolist()
        [0.0, 1.0]
    """
    white = mask == WHITE
    return white.to(mask.dtype) if white.any() and bool((white | (mask == 0)).all()) else mask


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
