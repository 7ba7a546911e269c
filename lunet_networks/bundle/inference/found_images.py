"""Which images an inference labels: those of a folder, with the files of a case's channels joined, a file or a list."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from monai.utils import optional_import

from lunet_networks.bundle.data.case_files import (
    COLOURS,
    ENDINGS,
    FIRST_CHANNEL,
    IMAGE_SUFFIXES,
    PICTURE_SUFFIXES,
    Fault,
    ImagePath,
    channel_fault,
    file_ending,
    files_by_case,
    image_files,
    image_name,
    in_order,
)
from lunet_networks.bundle.data.dicom_series import find_series, holds_dicom
from lunet_networks.bundle.runtime.files import as_path

__all__ = ["find_images"]


def find_images(
    dataset_dir: str | Path | Sequence[ImagePath], spatial_dims: int = 3, in_channels: int = 1
) -> tuple[list[ImagePath], list[Fault]]:
    """The images to label, and files that cannot be one.

    Args:
        dataset_dir: a folder, a file or a list of files. From a folder all NIfTI and NRRD files are taken, sorted, or
            those in its ``imagesTs`` if it has none itself. If there are none, the DICOM series in the folder and below
            it are the images; a file or a zip may hold DICOM, too. An item of a list may itself be a list with one file
            per channel.
        spatial_dims: with 2, PNG, JPG and TIFF files in a folder are taken, too.
        in_channels: channels that the network takes. If it takes several, the files ``NAME_0000``, ``NAME_0001`` ... of
            a folder are the channels of one image, unless each of them holds several channels itself.

    Returns:
        The paths, a list of paths where every channel has a file; and a pair (files, reason) for each folder that is
        named like an image, for each image with missing channels or too many, and where channels cannot be told from
        grey pictures.

    Raises:
        FileNotFoundError: if it is a path that does not exist.
        ValueError: if it is a folder without images, or an empty list.

    Example:
        >>> find_images(["a.nii.gz", "b.nrrd"])
        (['a.nii.gz', 'b.nrrd'], [])
    """
    if isinstance(dataset_dir, (list, tuple)):
        if not dataset_dir:
            raise ValueError("dataset_dir is an empty list: name at least one image")
        return _listed(dataset_dir)
    path = as_path(dataset_dir)
    if not path.exists():
        raise FileNotFoundError(f"dataset_dir {path} does not exist: name a folder of images, an image, or a list")
    if path.is_file():
        return _series_in(path) if not file_ending(path) and holds_dicom(path) else ([str(path)], [])
    endings = ENDINGS if spatial_dims == 2 else IMAGE_SUFFIXES
    found = image_files(path, endings) or image_files(path / "imagesTs", endings)
    if not found and holds_dicom(path):
        return _series_in(path)
    if not found:
        raise ValueError(f"there are no images in {path} or in its imagesTs ({', '.join(endings)}), and no DICOM files")
    folders = [(str(file), "is a folder, not an image") for file in found if file.is_dir()]
    images, refused = _join_in_folder([str(file) for file in found if not file.is_dir()], spatial_dims, in_channels)
    return images, folders + refused


def _listed(items: Sequence[ImagePath]) -> tuple[list[ImagePath], list[Fault]]:
    images: list[ImagePath] = []
    refused: list[Fault] = []
    for item in items:
        path = None if isinstance(item, (list, tuple)) else as_path(item)
        if path is None:
            images.append([str(as_path(part)) for part in item])
        elif not file_ending(path) and path.exists() and holds_dicom(path):
            found, faults = _series_in(path)
            images += found
            refused += faults
        else:
            images.append(str(path))
    return images, refused


def _series_in(path: Path) -> tuple[list[ImagePath], list[Fault]]:
    series = find_series(path)
    if not series:
        raise ValueError(f"the DICOM files of {path} hold no images, only other objects such as segmentations")
    refused = [(f"series {each.name} in {path}", each.fault) for each in series if each.fault]
    return [each.path for each in series if not each.fault], refused


def _join_in_folder(paths: Sequence[str], spatial_dims: int, in_channels: int) -> tuple[list[ImagePath], list[Fault]]:
    names = [image_name(path) for path in paths]
    if in_channels == 1 or len(set(names)) < len(names) or all(name.endswith(FIRST_CHANNEL) for name in names):
        return list(paths), []
    images: list[ImagePath] = []
    refused: list[Fault] = []
    for case, channels in files_by_case(dict(zip(names, paths, strict=True))).items():
        files = list(channels.values())
        if None not in channels and _holds_channels(files[0], spatial_dims):
            images += files
            continue
        grey = in_channels == COLOURS and all(file_ending(file).lower() in PICTURE_SUFFIXES for file in files)
        if fault := _grey_fault(channels) if grey else channel_fault(case, channels, in_channels):
            refused.append((", ".join(files), fault))
        else:
            images += files if grey else [in_order(channels)]
    return images, refused


def _grey_fault(channels: dict[int | None, str]) -> str | None:
    """A network for colours reads a grey picture as three equal channels, so numbers may count pictures or channels."""
    if len(channels) == 1 or any(number is None or number >= COLOURS for number in channels):
        return None
    return (
        "may be grey pictures or the channels of one: name them in a list, pictures as ['a_0000.png', 'a_0001.png'], "
        "channels as [['a_0000.png', 'a_0001.png', 'a_0002.png']]"
    )


def _holds_channels(path: str, spatial_dims: int) -> bool:
    """Whether a file holds several channels, by its header. A file that cannot be read is named where it is read."""
    with suppress(Exception):  # nibabel, pynrrd and PIL raise many kinds of errors for a broken file
        ending = file_ending(path).lower()
        if ending in PICTURE_SUFFIXES:
            from PIL import Image

            with Image.open(path) as picture:
                return picture.mode not in ("1", "L", "F") and not picture.mode.startswith("I")
        if ending == ".nrrd":
            import nrrd

            return int(nrrd.read_header(path)["dimension"]) > spatial_dims
        if ending in (".mha", ".mhd"):
            reader = optional_import("SimpleITK")[0].ImageFileReader()
            reader.SetFileName(path)
            reader.ReadImageInformation()
            return reader.GetNumberOfComponents() > 1
        import nibabel

        return math.prod(nibabel.load(path).shape[3:]) > 1
    return False
