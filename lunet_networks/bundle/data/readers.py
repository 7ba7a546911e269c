"""Loading of images and label maps: MONAI's transform, which reads and checks every file in the same way."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from typing import Any

import numpy as np
from monai import transforms
from monai.config import KeysCollection
from monai.data import MetaTensor, image_reader
from monai.utils import MetaKeys, OptionalImportError

from lunet_networks.bundle.data.case_files import ImagePath, case_name
from lunet_networks.bundle.data.dicom_files import DicomReader
from lunet_networks.bundle.data.meta_image_files import MetaImageReader
from lunet_networks.bundle.data.nifti_files import NiftiReader
from lunet_networks.bundle.data.nrrd_files import NrrdReader
from lunet_networks.bundle.data.picture_files import PictureReader, take_indices
from lunet_networks.bundle.data.readable import (
    UnreadableFileError,
    image_faults,
    label_faults,
    layout_faults,
    pair_faults,
    whole_values,
)

__all__ = ["CASE_NAME", "IMAGE", "LoadImaged"]

NEWLINE = "\n"
CASE_NAME = "case_name"  # in the metadata of an image: the name of its file, or of its files without their numbers
IMAGE = "image"  # the key of images; files under any other key are label maps
FORMATS = (
    "NIfTI (.nii, .nii.gz), NRRD (.nrrd) or MetaImage (.mha, .mhd; with SimpleITK), for 2D images also PNG, JPG or "
    "TIFF; an inference also takes DICOM"
)


@contextmanager
def _without_plugin_warnings() -> Iterator[None]:
    """Keep MONAI from saying, of each transform, that a decoder for GPUs is missing where pydicom is installed."""
    plugin = logging.getLogger("monai.data.nvimgcodec_pydicom_plugin")
    level = plugin.level
    plugin.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="NvImgCodecPydicomReader")
            yield
    finally:
        plugin.setLevel(level)


class LoadImaged(transforms.LoadImaged):
    """Load images and label maps, channels first, and refuse what a network cannot use.

    MONAI's transform of this name with our readers for NIfTI, NRRD, PNG, JPG and TIFF. The item "image" is an image,
    all others are label maps. docs/data.md tells what is read and how.

    Args:
        keys: items to load, paths; an image may be a list of paths with one file for each channel.
        in_channels: number of channels that every image has to have; None: any number.
        spatial_dims: 2 or 3, which every file has to have; with 2, an image of ``(W, H, 1)`` is read as ``(W, H)``.
            None: any number.
        label_values: values that label maps may hold; None: any integers of at least 0.
        allow_missing_keys: whether an item may be absent.

    Shapes:
        Images ``(C, W, H[, D])``, label maps ``(1, W, H[, D])``, both in float32.

    Raises:
        UnreadableFileError: if a file cannot be read or used; it names the file and everything that is wrong with it. A
            label map is also refused if it does not lie on the voxels of its image, if both are loaded.

    Example::

        case = LoadImaged(keys=["image", "label"])(load_datalist(folder, "training")[0])
    """

    def __init__(
        self,
        keys: KeysCollection,
        in_channels: int | None = None,
        spatial_dims: int | None = None,
        label_values: Sequence[int] | None = None,
        allow_missing_keys: bool = False,
    ) -> None:
        with _without_plugin_warnings():
            super().__init__(keys, ensure_channel_first=True, allow_missing_keys=allow_missing_keys)
        self.in_channels = in_channels
        self.spatial_dims = spatial_dims
        self.label_values = None if label_values is None else list(label_values)
        self._loader.readers.clear()  # of MONAI; they would try files of formats that are not listed here
        self.register(NiftiReader())
        with suppress(OptionalImportError):  # NIfTI can be read without pynrrd
            self.register(NrrdReader())
        with suppress(OptionalImportError):  # and without Pillow
            self.register(PictureReader())
        if find_spec("SimpleITK"):
            self.register(MetaImageReader())
        if find_spec("pydicom"):
            self.register(DicomReader())

    def __call__(
        self, data: Mapping[Hashable, Any], reader: image_reader.ImageReader | None = None
    ) -> dict[Hashable, Any]:
        loaded = dict(data)
        for key, meta_key, postfix in self.key_iterator(loaded, self.meta_keys, self.meta_key_postfix):
            loaded[key], faults = self.examine(key, data[key], reader)
            if CASE_NAME in data and loaded[key] is not None:
                loaded[key].meta[CASE_NAME] = data[CASE_NAME]
            if key != IMAGE and not faults and IMAGE in self.keys and IMAGE in loaded:
                faults = list(pair_faults(loaded[IMAGE], loaded[key]))
                # An affine that is rounded differently would be resampled differently. MONAI's setter of affine takes
                # 2D images for volumes.
                loaded[key].meta[MetaKeys.AFFINE] = loaded[IMAGE].affine.clone()
            if faults:
                raise UnreadableFileError(data[key], faults)
            if not self._loader.image_only:  # MONAI Label switches it off
                loaded[meta_key or f"{key}_{postfix}"] = loaded[key].meta
        return loaded

    def examine(
        self, key: Hashable, path: ImagePath, reader: image_reader.ImageReader | None = None
    ) -> tuple[MetaTensor | None, list[str]]:
        """Read a file and list what is wrong with it, without raising an error.

        Args:
            key: "image" if it is an image; otherwise it is a label map.
            path: of the file, or of one file for each channel.
            reader: reads it instead of the reader for its format.

        Returns:
            The image, None if it cannot be read at all, and the faults, none if it can be used.
        """
        try:
            image = self._read(path, reader)
        except FileNotFoundError:
            return None, ["does not exist"]
        except Exception as error:  # nibabel, pynrrd, gzip and PIL raise many kinds of errors for a broken file
            if "cannot find a suitable reader" in str(error):
                return None, [f"has a format that cannot be read: use {FORMATS}"]
            return None, [f"cannot be read: {str(error).partition(NEWLINE)[0] or type(error).__name__}"]
        if key == IMAGE:
            image = take_indices(image, as_label=False)
            return image, [*layout_faults(image, path, self.in_channels, self.spatial_dims), *image_faults(image, path)]
        label = take_indices(image, as_label=True)
        faults = [*layout_faults(label, path, None, self.spatial_dims), *label_faults(label, path, self.label_values)]
        return (label if faults else whole_values(label, self.label_values)), faults

    def _read(self, path: ImagePath, reader: image_reader.ImageReader | None) -> MetaTensor:
        read = self._loader(path, reader)
        image = read if self._loader.image_only else read[0]
        image.meta[CASE_NAME] = case_name(path)
        image.meta[MetaKeys.ORIGINAL_CHANNEL_DIM] = 0  # it is first now, and EnsureChannelFirstd leaves it there
        if self.spatial_dims == 2 and image.ndim == 4 and image.shape[-1] == 1:
            image = image[..., 0]
            image.spatial_ndim = 2
            image.meta[MetaKeys.SPATIAL_SHAPE] = np.asarray(image.shape[1:])
        return image
