"""Loading of images: MONAI's transform, extended to NRRD files that MONAI cannot read and to pictures."""

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
IMAGE = "image"  # the key of images; a picture under any other key is a mask
SPACES = {LPS: LPS, "LPS": LPS, "right-anterior-superior": "RAS", "RAS": "RAS"}  # as MONAI knows them


class PlainNrrdReader(image_reader.NrrdReader):
    """MONAI's NRRD reader, which also reads headers without orientation, as ``nrrd.write(path, array)`` writes them.

    The axes of such a file are taken to run along those of the patient, with the first voxel at the origin and the
    spacing of the header, otherwise 1 mm. Files in the space RAS are read too, by its long or its short name.
    """

    def get_data(self, img: Any) -> tuple[np.ndarray, dict]:
        for image in ensure_tuple(img):
            space = image.header.get("space", LPS)
            if space not in SPACES:
                raise ValueError(f"its space is {space!r}: it has to be one of {', '.join(SPACES)}")
            image.header["space"] = SPACES[space]
            spacings = image.header.get("spacings", np.full(image.array.ndim, np.nan))
            image.header.setdefault("space directions", np.diag(np.nan_to_num(spacings, nan=1.0)))
            image.header.setdefault("space origin", np.zeros(image.array.ndim))
        return super().get_data(img)


class SharedNibabelReader(image_reader.NibabelReader):
    """MONAI's NIfTI reader, safe for several threads at once, such as those that fill a ``CacheDataset``.

    MONAI's reader stores the file names in ``read`` for the later call of ``get_data``. If another thread reads in
    between, an image with one file for each channel ends up with too few channels.
    """

    @property
    def filenames(self) -> list[str]:
        return self._filenames[get_ident()]

    @filenames.setter
    def filenames(self, names: list[str]) -> None:
        self.__dict__.setdefault("_filenames", {})[get_ident()] = names


class LoadImaged(transforms.LoadImaged):
    """MONAI's ``LoadImaged``, which also uses ``SharedNibabelReader``, ``PlainNrrdReader`` and ``PictureReader``.

    It takes the same arguments. A picture under any key other than "image" is a mask, and its value 255 is read as 1.

    Example::

        case = LoadImaged(keys=["image", "label"], ensure_channel_first=True)(load_datalist(folder, "training")[0])
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.register(SharedNibabelReader())
        with suppress(OptionalImportError):  # NIfTI can be read without pynrrd
            self.register(PlainNrrdReader())
        with suppress(OptionalImportError):  # and without Pillow
            self.register(PictureReader())

    def __call__(
        self, data: Mapping[Hashable, Any], reader: image_reader.ImageReader | None = None
    ) -> dict[Hashable, Any]:
        loaded = super().__call__(data, reader)
        for key in self.key_iterator(loaded):
            if key != IMAGE and is_picture(data[key]):
                loaded[key] = mask_values(loaded[key])
        return loaded
