"""Loading images: MONAI's transform, NRRD files that MONAI alone refuses, and pictures."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from contextlib import suppress
from threading import get_ident
from typing import Any

import numpy as np
from monai import transforms
from monai.data import image_reader
from monai.utils import OptionalImportError, ensure_tuple

from lunet_networks.bundle.data.picture_files import PictureReader, is_picture, mask_values

__all__ = ["LoadImaged", "PlainNrrdReader", "SharedNibabelReader"]

LPS = "left-posterior-superior"
IMAGE = "image"  # the key of what is no mask
SPACES = {LPS: LPS, "LPS": LPS, "right-anterior-superior": "RAS", "RAS": "RAS"}  # as MONAI knows them


class PlainNrrdReader(image_reader.NrrdReader):
    """MONAI's NRRD reader, for headers without orientation too, which ``nrrd.write(path, array)`` writes.

    Such a file has its axes along those of the patient, its first voxel at the origin, and the spacing that its header
    gives, otherwise 1 mm. ``Orientationd`` takes files in the space RAS, too, by its long name and its short one.
    """

    def get_data(self, img: Any) -> tuple[np.ndarray, dict]:
        for image in ensure_tuple(img):
            space = image.header.get("space", LPS)
            if space not in SPACES:
                raise ValueError(f"its space is {space!r}: {' and '.join(SPACES)} are read")
            image.header["space"] = SPACES[space]
            spacings = image.header.get("spacings", np.full(image.array.ndim, np.nan))
            image.header.setdefault("space directions", np.diag(np.nan_to_num(spacings, nan=1.0)))
            image.header.setdefault("space origin", np.zeros(image.array.ndim))
        return super().get_data(img)


class SharedNibabelReader(image_reader.NibabelReader):
    """MONAI's NIfTI reader, for several threads at once, such as those that fill a ``CacheDataset``.

    MONAI's remembers in ``read`` the names of the files whose data ``get_data`` is asked for: when another thread reads
    in between, an image whose channels have a file each ends with too few of them.
    """

    @property
    def filenames(self) -> list[str]:
        return self._filenames[get_ident()]

    @filenames.setter
    def filenames(self, names: list[str]) -> None:
        self.__dict__.setdefault("_filenames", {})[get_ident()] = names


class LoadImaged(transforms.LoadImaged):
    """MONAI's ``LoadImaged`` with its arguments; it reads by ``SharedNibabelReader``, ``PlainNrrdReader`` and
    ``PictureReader``. A picture under any other key than "image" is a mask, whose 255 is read as 1.

    Example::

        case = LoadImaged(keys=["image", "label"], ensure_channel_first=True)(load_datalist(folder, "training")[0])
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.register(SharedNibabelReader())
        with suppress(OptionalImportError):  # without pynrrd, NIfTI is read all the same
            self.register(PlainNrrdReader())
        with suppress(OptionalImportError):  # nor is Pillow needed for it
            self.register(PictureReader())

    def __call__(
        self, data: Mapping[Hashable, Any], reader: image_reader.ImageReader | None = None
    ) -> dict[Hashable, Any]:
        loaded = super().__call__(data, reader)
        for key in self.key_iterator(loaded):
            if key != IMAGE and is_picture(data[key]):
                loaded[key] = mask_values(loaded[key])
        return loaded
