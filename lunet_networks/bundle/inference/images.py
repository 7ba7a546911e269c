"""The images to label: found in a folder, a file or a list, and read one by one while the run goes on."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from ignite.engine import Engine, Events
from torch.utils.data import IterableDataset

from lunet_networks.bundle.data.picture_files import PICTURE_SUFFIXES
from lunet_networks.bundle.data.readable import ImagePath, UnreadableFileError, name_of
from lunet_networks.bundle.runtime.errors import shortened_list

__all__ = ["InferenceImages", "ReadableImages", "find_images", "image_name"]

IMAGE_SUFFIXES = (".nii.gz", ".nii", ".nrrd")
logger = logging.getLogger(__name__)


class InferenceImages:
    """The images of an inference: those to label, and those that turned out to be unreadable.

    Files are only looked for by :py:meth:`open`, because MONAI constructs all objects of a config to check it.

    Args:
        dataset_dir: see :py:func:`find_images`.
        output_dir: where the label maps will be written. It must not be a folder of the images.
        in_channels: channels that the network takes.
        spatial_dims: 2 or 3.

    Attributes:
        data: ``{"image": path}`` for each image, in the order in which they are labelled.
        refused: path and reason for each image that could not be read.

    Example::

        images = InferenceImages("imagesTs", "labels", in_channels=1)
        loader = DataLoader(ReadableImages(images, preprocessing), batch_size=1)
        images.open()
        SupervisedEvaluator(..., val_data_loader=loader, val_handlers=[images]).run()
        images.finish()
    """

    def __init__(
        self,
        dataset_dir: str | Path | Sequence[ImagePath],
        output_dir: str | Path,
        in_channels: int = 1,
        spatial_dims: int = 3,
    ) -> None:
        self.dataset_dir = dataset_dir
        self.output_dir = Path(output_dir)
        self.in_channels = in_channels
        self.spatial_dims = spatial_dims
        self.data: list[dict[str, ImagePath]] = []
        self.refused: list[tuple[str, str]] = []

    def open(self) -> None:
        """Find the images.

        Raises:
            FileNotFoundError: if ``dataset_dir`` does not exist.
            ValueError: if there are no images, or two label maps would have the same name, or ``output_dir`` holds
                images of this run: the next run would take the label maps for images.
        """
        images = find_images(self.dataset_dir, self.spatial_dims)
        _check_names(images, self.output_dir)
        self.data[:] = [{"image": image} for image in images]
        self.refused.clear()

    def attach(self, engine: Engine) -> None:
        """End the run with the last image that can be read; the evaluator expects as many as there are files."""
        engine.add_event_handler(Events.DATALOADER_STOP_ITERATION, engine.terminate)

    def refuse(self, image: ImagePath, error: Exception) -> None:
        """Note an image that cannot be labelled."""
        self.refused.append((name_of(image), _reason(error)))
        logger.warning("%s %s", *self.refused[-1])

    def finish(self) -> None:
        """Log how many label maps are where. End the process with status 1 if images could not be labelled."""
        logger.info("%d label maps are in %s", len(self.data) - len(self.refused), self.output_dir.resolve())
        if self.refused:
            reasons = shortened_list(f"{path} {reason}" for path, reason in self.refused)
            sys.exit(f"error: {len(self.refused)} of {len(self.data)} images could not be labelled:\n{reasons}")


class ReadableImages(IterableDataset):
    """The images of an inference after preprocessing, without those that cannot be read. Each file is read once.

    Args:
        images: they are opened before the first image is requested.
        transform: preprocessing of ``{"image": path}``.
    """

    def __init__(self, images: InferenceImages, transform: Callable) -> None:
        self.images = images
        self.transform = transform

    def __len__(self) -> int:
        return len(self.images.data)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for case in self.images.data:
            try:
                prepared = self.transform(dict(case))
            except Exception as error:  # whatever is wrong with one image, the others are labelled
                self.images.refuse(case["image"], error)
                continue
            yield prepared


def _reason(error: BaseException) -> str:
    """What is wrong with an image; MONAI reports the error of a transform as the cause of another one."""
    while error.__cause__ is not None:
        error = error.__cause__
    if isinstance(error, UnreadableFileError):
        return "; ".join(error.faults)
    return f"cannot be prepared: {str(error) or type(error).__name__}"


def find_images(dataset_dir: str | Path | Sequence[ImagePath], spatial_dims: int = 3) -> list[ImagePath]:
    """The paths of the images to label.

    Args:
        dataset_dir: a folder, a file or a list of files. From a folder all NIfTI and NRRD files are taken, sorted, or
            those in its ``imagesTs`` if it has none itself. An item of a list may itself be a list with one file per
            channel.
        spatial_dims: with 2, PNG, JPG and TIFF files in a folder are taken, too.

    Raises:
        FileNotFoundError: if it is a path that does not exist.
        ValueError: if it is a folder without images, or an empty list.

    Example:
        >>> find_images(["a.nii.gz", "b.nrrd"])
        ['a.nii.gz', 'b.nrrd']
    """
    if not isinstance(dataset_dir, (str, Path)):
        if not dataset_dir:
            raise ValueError("dataset_dir is an empty list: name at least one image")
        return [str(item) if isinstance(item, (str, Path)) else [str(path) for path in item] for item in dataset_dir]
    path = Path(dataset_dir)
    if not path.exists():
        raise FileNotFoundError(f"dataset_dir {path} does not exist: name a folder of images, an image, or a list")
    if path.is_file():
        return [str(path)]
    suffixes = (*IMAGE_SUFFIXES, *PICTURE_SUFFIXES) if spatial_dims == 2 else IMAGE_SUFFIXES
    images = _images_in(path, suffixes) or _images_in(path / "imagesTs", suffixes)
    if not images:
        raise ValueError(f"there are no images in {path} or in its imagesTs ({', '.join(suffixes)})")
    return images


def image_name(path: str | Path) -> str:
    """The name of an image file without its suffixes.

    Example:
        >>> image_name("imagesTr/hippocampus_001.nii.gz")
        'hippocampus_001'
    """
    return Path(str(path).removesuffix(".gz")).stem


def _images_in(folder: Path, suffixes: tuple[str, ...]) -> list[str]:
    if not folder.is_dir():
        return []
    # the Decathlon's archives hold a hidden ._NAME.nii.gz for each file, which is not an image
    return sorted(
        str(path) for path in folder.iterdir() if path.name.lower().endswith(suffixes) and not path.name.startswith(".")
    )


def _check_names(images: Iterable[ImagePath], output_dir: Path) -> None:
    first_of_name: dict[str, str] = {}
    for image in images:
        path = image if isinstance(image, str) else image[0]
        if Path(path).resolve().parent == output_dir.resolve():
            raise ValueError(f"output_dir {output_dir} holds the image {path}: choose another folder for label maps")
        name = image_name(path)
        if name in first_of_name:
            raise ValueError(
                f"the label maps of {first_of_name[name]} and {path} would have the same name: label them one by one, "
                "each with its own output_dir"
            )
        first_of_name[name] = path
