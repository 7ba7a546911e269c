"""Label maps and probabilities in files, on the voxels of the image and whole or not at all.

MONAI Deploy leaves out transforms whose name holds "SaveImage" and writes files in its own way.
"""

from __future__ import annotations

import io
from collections.abc import Hashable, Mapping, Sequence

import numpy as np
from monai import transforms
from monai.config import KeysCollection, PathLike
from monai.data import MetaTensor
from monai.utils import ImageMetaKey

from lunet_networks.bundle.data.dicom_series import series_at
from lunet_networks.bundle.data.nifti_files import nifti_content
from lunet_networks.bundle.data.picture_files import WHITE, is_picture
from lunet_networks.bundle.data.readers import CASE_NAME
from lunet_networks.bundle.inference.dicom_seg import DICOM_SEG, dicom_seg_content
from lunet_networks.bundle.inference.seg_nrrd import seg_nrrd_content
from lunet_networks.bundle.inference.segments import nifti_labels, read_segments
from lunet_networks.bundle.runtime.checks import choose
from lunet_networks.bundle.runtime.files import as_path, write_atomically

NIFTI, SEG_NRRD = "nifti", "seg.nrrd"
OUTPUT_FORMATS = {name: name for name in (NIFTI, SEG_NRRD, DICOM_SEG)}

__all__ = ["OUTPUT_FORMATS", "SaveImageLabelsd", "SaveImageMasksd", "SaveImageProbabilitiesd"]


class SaveImageProbabilitiesd(transforms.SaveImaged):
    """Save arrays as ``OUTPUT_DIR/NAME_POSTFIX.nii.gz`` in the place of their image, whose name is NAME.

    The file has the forms and codes, the units and the dimensions of a NIfTI image, so that every viewer shows both at
    the same place, whichever form it reads. MONAI's ``SaveImaged`` writes one form of its own, drops axes of length
    one, and leaves half a file on a full disk.

    Args:
        keys: items to save, ``(C, [D,] H, W)``, which carry the metadata of their image.
        output_dir: folder; it is made.
        output_postfix: ends the name of the file.

    Raises:
        OSError: if the file cannot be written; the message gives the reason, and an older file is unchanged.

    Example::

        SaveImageProbabilitiesd("pred", output_dir="labels", output_postfix="prob")
    """

    def __init__(self, keys: KeysCollection, output_dir: PathLike, output_postfix: str) -> None:
        super().__init__(keys, output_dir=str(output_dir), output_postfix=output_postfix)
        self.output_dir = as_path(output_dir)
        self.output_postfix = output_postfix

    def __call__(self, data: Mapping[Hashable, MetaTensor]) -> dict[Hashable, MetaTensor]:
        for key in self.key_iterator(data):
            image = data[key]
            source = image.meta[ImageMetaKey.FILENAME_OR_OBJ]
            ending, content = self.file_of(image.cpu().numpy(), source, image.affine.numpy())
            write_atomically(self.output_dir / f"{image.meta[CASE_NAME]}{ending}", content)
        return dict(data)

    def file_of(self, voxels: np.ndarray, source: str, affine: np.ndarray) -> tuple[str, bytes]:
        """What follows the name of the case in that of the file, and the content of the file.

        Args:
            voxels: ``(C, [D,] H, W)``.
            source: path of the image that they belong to.
            affine: from voxels to mm.
        """
        return f"_{self.output_postfix}.nii.gz", nifti_content(voxels, source, affine)


class SaveImageLabelsd(SaveImageProbabilitiesd):
    """Save label maps in the place of their image, see ``SaveImageProbabilitiesd``; those of pictures as PNG.

    Values are saved in 8 bits, or in 16 bits if there are more than 255 labels. The files hold the names and colours of
    the labels, see :py:mod:`lunet_networks.bundle.inference.segments`.

    Args:
        keys: label maps, ``(1, [D,] H, W)``.
        output_dir: see ``SaveImageProbabilitiesd``.
        output_postfix: see ``SaveImageProbabilitiesd``.
        label_names: names of the labels 1, 2, ...; none: the files hold no names.
        bundle_root: folder of the bundle, whose metadata.json describes the labels.
        output_format: one of ``OUTPUT_FORMATS``.

    Example::

        SaveImageLabelsd("pred", output_dir="labels", output_postfix="seg", label_names=["tumour"])
    """

    white = 1  # the value of label 1 in a PNG

    def __init__(
        self,
        keys: KeysCollection,
        output_dir: PathLike,
        output_postfix: str,
        label_names: Sequence[str] = (),
        bundle_root: PathLike | None = None,
        output_format: str = NIFTI,
    ) -> None:
        super().__init__(keys, output_dir, output_postfix)
        self.label_names = list(label_names)
        self.bundle_root = bundle_root
        self.output_format = output_format

    def file_of(self, voxels: np.ndarray, source: str, affine: np.ndarray) -> tuple[str, bytes]:
        labels = voxels.astype(np.uint8 if voxels.dtype == np.uint8 else np.uint16, copy=False)
        if is_picture(source):
            return f"_{self.output_postfix}.png", _png(labels[0] * labels.dtype.type(self.white))
        segments = read_segments(self.bundle_root, self.label_names)
        if self.output_format == DICOM_SEG:
            return f"_{self.output_postfix}.dcm", dicom_seg_content(labels[0], series_at(source), segments)
        if choose("output_format", self.output_format, OUTPUT_FORMATS) == SEG_NRRD:
            space = labels[0] if labels.ndim == 4 else labels[0][..., None]
            return f".{SEG_NRRD}", seg_nrrd_content(space, affine, segments)
        extension = nifti_labels(segments) if segments else b""
        return f"_{self.output_postfix}.nii.gz", nifti_content(labels, source, affine, extension)


class SaveImageMasksd(SaveImageLabelsd):
    """``SaveImageLabelsd`` for a single label: the PNG has the values 0 and 255, so any viewer shows it."""

    white = WHITE


def _png(labels: np.ndarray) -> bytes:
    """Labels ``(W, H)`` as a PNG."""
    from PIL import Image

    content = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(labels.T)).save(content, "PNG")
    return content.getvalue()
