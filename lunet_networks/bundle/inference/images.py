"""The images to label: found in a folder, a file or a list, and read one by one while the run goes on."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from ignite.engine import Engine, Events
from torch.utils.data import IterableDataset

from lunet_networks.bundle.data.case_files import ImagePath, case_names
from lunet_networks.bundle.data.dicom_series import is_series, series_at, series_table
from lunet_networks.bundle.data.readable import UnreadableFileError, name_of
from lunet_networks.bundle.data.readers import CASE_NAME
from lunet_networks.bundle.inference.dicom_seg import DICOM_SEG, require_highdicom
from lunet_networks.bundle.inference.found_images import find_images
from lunet_networks.bundle.inference.segments import read_segments, slicer_table, snap_table
from lunet_networks.bundle.inference.volumes import VolumeTable
from lunet_networks.bundle.runtime.errors import shortened_list, tell_if_stopped
from lunet_networks.bundle.runtime.files import as_path, write_atomically

__all__ = ["InferenceImages", "ReadableImages"]

logger = logging.getLogger(__name__)


class InferenceImages:
    """The images of an inference: those to label, and those that turned out to be unreadable.

    Files are only looked for by :py:meth:`open`, because MONAI constructs all objects of a config to check it.

    Args:
        dataset_dir: see :py:func:`~lunet_networks.bundle.inference.found_images.find_images`.
        output_dir: where the label maps will be written. It must not be a folder of the images.
        in_channels: channels that the network takes.
        spatial_dims: 2 or 3.
        label_names: names of the labels 1, 2, ...; with them ``volumes.csv``, a colour table of 3D Slicer and one of
            ITK-SNAP are written beside the label maps.
        bundle_root: folder of the bundle, whose metadata.json has the colours.
        output_format: of the label maps.

    Attributes:
        data: ``{"image": path, "case_name": name}`` for each image, in the order in which they are labelled.
        count: number of images, the refused ones included.
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
        label_names: Sequence[str] = (),
        bundle_root: str | Path | None = None,
        output_format: str = "nifti",
    ) -> None:
        self.dataset_dir = dataset_dir
        self.output_dir = as_path(output_dir)
        self.bundle_root = bundle_root
        self.output_format = output_format
        self.volumes = VolumeTable(output_dir, label_names)
        self.in_channels = in_channels
        self.spatial_dims = spatial_dims
        self.data: list[dict[str, ImagePath]] = []
        self.refused: list[tuple[str, str]] = []
        self.count = 0

    def open(self) -> None:
        """Find the images.

        Raises:
            FileNotFoundError: if ``dataset_dir`` does not exist.
            ValueError: if there are no images, or two label maps would have the same name, or ``output_dir`` holds
                images of this run: the next run would take the label maps for images; or if metadata.json describes the
                labels wrongly.
        """
        read_segments(self.bundle_root, self.volumes.label_names)  # a fault in metadata.json is found before the work
        images, incomplete = find_images(self.dataset_dir, self.spatial_dims, self.in_channels)
        _check_names(images, self.output_dir)
        _check_format(images, self.output_format)
        names = case_names(images)
        self.data[:] = [{"image": image, CASE_NAME: name} for image, name in zip(images, names, strict=True)]
        self.refused[:] = incomplete
        self.count = len(images) + len(incomplete)
        if not images:
            raise ValueError(f"there is no image that can be labelled:\n{self._reasons()}")

    def attach(self, engine: Engine) -> None:
        """End the run with the last image that can be read; the evaluator expects as many as there are files."""
        engine.add_event_handler(Events.DATALOADER_STOP_ITERATION, engine.terminate)
        engine.add_event_handler(Events.STARTED, lambda: tell_if_stopped(lambda: self._stopped(engine)))
        if self.volumes.label_names:
            engine.add_event_handler(Events.ITERATION_COMPLETED, self._measure)

    def _measure(self, engine: Engine) -> None:
        for item in engine.state.output:
            self.volumes.add(item["pred"].meta[CASE_NAME], item["pred"])

    def refuse(self, image: ImagePath, error: Exception) -> None:
        """Note an image that cannot be labelled."""
        self.refused.append((name_of(image), _reason(error)))
        logger.warning("%s %s", *self.refused[-1])

    def finish(self) -> None:
        """Log how many label maps are where. End the process with status 1 if images could not be labelled."""
        if segments := read_segments(self.bundle_root, self.volumes.label_names):
            write_atomically(self.output_dir / "labels.ctbl", slicer_table(segments).encode())
            write_atomically(self.output_dir / "labels.txt", snap_table(segments).encode())
        if series := [series_at(case["image"]) for case in self.data if is_series(case["image"])]:
            write_atomically(self.output_dir / "series.csv", series_table(series).encode())
        more = f", the size of each label in {self.volumes.path.name}" if self.volumes.rows else ""
        logger.info("%d label maps are in %s%s", self.count - len(self.refused), self.output_dir.resolve(), more)
        if self.refused:
            sys.exit(f"error: {len(self.refused)} of {self.count} images could not be labelled:\n{self._reasons()}")

    def _stopped(self, engine: Engine) -> str:
        return f"stopped: {engine.state.iteration} of {self.count} label maps are in {self.output_dir}"

    def _reasons(self) -> str:
        return shortened_list(f"{path} {reason}" for path, reason in self.refused)


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


def _check_format(images: Sequence[ImagePath], output_format: str) -> None:
    """DICOM SEG refers to the images, which have to be DICOM; it is said before the first is labelled."""
    if output_format == DICOM_SEG:
        require_highdicom()
        other = next((image for image in images if not is_series(image)), None)
        if other is not None:
            raise ValueError(
                f"output_format {DICOM_SEG} needs DICOM images, as it refers to them: {name_of(other)} is none; use "
                "nifti or seg.nrrd"
            )


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
