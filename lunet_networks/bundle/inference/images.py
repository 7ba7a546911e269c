"""The images to label: found in a folder, a file or a list, and read once before the run starts."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from lunet_networks.bundle.data.case_files import ImagePath, case_names
from lunet_networks.bundle.data.checks import readable_only
from lunet_networks.bundle.inference.found_images import find_images
from lunet_networks.bundle.runtime.errors import shortened_list

__all__ = ["InferenceImages"]

logger = logging.getLogger(__name__)


class InferenceImages:
    """The images that can be labelled, and those that cannot.

    Files are only read by :py:meth:`open`, because MONAI constructs all objects of a config to check it, without data.

    Args:
        dataset_dir: see :py:func:`~lunet_networks.bundle.inference.found_images.find_images`.
        output_dir: where the label maps will be written. It must not be a folder of the images.
        in_channels: channels that the network takes.
        spatial_dims: 2 or 3.

    Attributes:
        data: ``{"image": path}`` for each image that can be labelled, as a ``Dataset`` takes it.
        refused: path and reason for each of the others.

    Example::

        images = InferenceImages("imagesTs", "labels", in_channels=1)
        dataset = Dataset(images.data, preprocessing)
        images.open()
        evaluator.run()
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
        """Find the images, read each one once and log those that cannot be labelled.

        Raises:
            FileNotFoundError: if ``dataset_dir`` does not exist.
            ValueError: if no image can be labelled, or two label maps would have the same name, or ``output_dir`` holds
                images of this run: the next run would take the label maps for images.
        """
        images, incomplete = find_images(self.dataset_dir, self.spatial_dims, self.in_channels)
        _check_names(images, self.output_dir)
        usable, unreadable = readable_only(images, self.in_channels, self.spatial_dims)
        self.refused = incomplete + unreadable
        self.data[:] = [{"image": image} for image in usable]
        if not usable:
            raise ValueError(f"there is no image that can be labelled:\n{self._reasons()}")
        if self.refused:
            logger.warning(
                "%d of %d images are left out:\n%s", len(self.refused), len(usable) + len(self.refused), self._reasons()
            )

    def finish(self) -> None:
        """Log how many label maps are where. End the process with status 1 if images were left out."""
        logger.info("%d label maps are in %s", len(self.data), self.output_dir.resolve())
        if self.refused:
            sys.exit(f"error: {len(self.refused)} images could not be labelled:\n{self._reasons()}")

    def _reasons(self) -> str:
        return shortened_list(f"{path} {reason}" for path, reason in self.refused)


def _check_names(images: Sequence[ImagePath], output_dir: Path) -> None:
    first_of_name: dict[str, str] = {}
    for image, name in zip(images, case_names(images), strict=True):
        path = image if isinstance(image, str) else image[0]
        if Path(path).resolve().parent == output_dir.resolve():
            raise ValueError(f"output_dir {output_dir} holds the image {path}: choose another folder for label maps")
        if name in first_of_name:
            raise ValueError(
                f"the label maps of {first_of_name[name]} and {path} would have the same name: label them one by one, "
                "each with its own output_dir"
            )
        first_of_name[name] = path
