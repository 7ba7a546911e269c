"""A picture of one case of an evaluation: truth and prediction as contours on three planes of the image."""

from __future__ import annotations

import logging
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import ignite.distributed as idist
import numpy as np
import torch
from ignite.engine import Engine, Events
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from monai.data import MetaTensor
from monai.transforms import Orientation
from monai.transforms.utils import generate_spatial_bounding_box

from lunet_networks.bundle.case_metrics import WHOLE
from lunet_networks.bundle.evaluation_report import EvaluationReport, image_path
from lunet_networks.bundle.inference_images import image_name
from lunet_networks.bundle.readers import LoadImaged

__all__ = ["MedianCasePicture", "Plane", "cut_planes", "draw_planes"]

MARGIN = 12.0  # mm of image around the structure
TITLE_WIDTH = 42  # characters above each plane
TRUTH, PREDICTION = ("truth", "#35d07f", "solid"), ("prediction", "#ff6b35", "dashed")
PLANES_3D = ("sagittal", "coronal", "axial")  # across the first, second and third axis of an image in RAS order
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Plane:
    """A plane through a case.

    Args:
        title: what the plane is called.
        index: cuts it out of an image ``([D,] H, W)`` in RAS order.
        spacing: of its pixels along its two axes, in mm.
        truth: label values.
        prediction: label values.
    """

    title: str
    index: tuple[int | slice, ...]
    spacing: tuple[float, float]
    truth: np.ndarray
    prediction: np.ndarray


class MedianCasePicture:
    """Handler of an evaluator: draws the case of median Dice (of all labels taken as one) when all cases are done.

    Each item of ``engine.state.output`` holds "pred" and "label", label maps ``(1, [D,] H, W)`` on the voxels of the
    image file, and "image", whose metadata name that file. With several processes it is the median of the first one's
    cases.

    Args:
        path: of the picture, its suffix tells the format; missing folders are made.
        report: measures the same cases; it stands before this one among the handlers.

    Example::

        report = EvaluationReport("eval", ["anterior", "posterior"], section="test")
        handlers = [report, MedianCasePicture("eval/overlay.png", report)]
    """

    def __init__(self, path: str | Path, report: EvaluationReport) -> None:
        self.path = Path(path)
        self.report = report
        # Which case is the median one is known at the end. Three small planes of every label map are kept until then.
        self.planes: dict[str, list[Plane]] = {}

    def attach(self, engine: Engine) -> None:
        """Called by the evaluator that this is a handler of."""
        if idist.get_rank() != 0:
            return
        engine.add_event_handler(Events.STARTED, lambda: self.planes.clear())
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.keep)
        engine.add_event_handler(Events.COMPLETED, self.draw)

    def keep(self, engine: Engine) -> None:
        """Cut the planes of an iteration's cases."""
        for item in engine.state.output:
            prediction = item["pred"].cpu()
            truth = MetaTensor(item["label"].cpu().as_subclass(torch.Tensor), affine=prediction.affine)
            self.planes[image_path(item)] = cut_planes(truth, prediction)

    def median_case(self) -> str:
        """Path of its image; the better one of the two in the middle."""
        in_order = sorted(self.planes, key=lambda path: self.report.measured[path][WHOLE].dice)
        return in_order[len(in_order) // 2]

    def draw(self) -> None:
        """Draw the median case; its image is read again for that."""
        if not self.planes:
            return
        path = self.median_case()
        image = LoadImaged("image", ensure_channel_first=True)({"image": path})["image"]
        dice = (f"{label} {metrics.dice:.3f}" for label, metrics in self.report.measured[path].items())
        title = f"{image_name(path)}, the median case: Dice {', '.join(dice)}"
        self.path.parent.mkdir(parents=True, exist_ok=True)
        draw_planes(_in_ras_order(image)[0].numpy(), self.planes[path], title, self.path)
        logger.info("%s shows the median case", self.path)


def cut_planes(truth: MetaTensor, prediction: MetaTensor) -> list[Plane]:
    """The planes through the middle of a structure, cropped to its surroundings.

    Args:
        truth: label map, ``(1, [D,] H, W)``; where it is empty, the prediction tells where the structure is.
        prediction: label map of the same grid.

    Returns:
        The sagittal, coronal and axial plane of a volume, or the one plane of a 2D image.
    """
    truth, prediction = _in_ras_order(truth), _in_ras_order(prediction)
    spacing = truth.pixdim[: truth.ndim - 1].tolist()
    structure = truth if truth.any() else prediction
    starts, ends = generate_spatial_bounding_box(structure)
    if not structure.any():
        starts, ends = [0] * len(spacing), list(structure.shape[1:])
    middle = [(start + end) // 2 for start, end in zip(starts, ends, strict=True)]
    around = [
        slice(max(0, start - round(MARGIN / step)), end + round(MARGIN / step))
        for start, end, step in zip(starts, ends, spacing, strict=True)
    ]
    planes = []
    for title, across in _orientations(len(spacing)):
        index = tuple(middle[axis] if axis == across else around[axis] for axis in range(len(spacing)))
        within = [step for axis, step in enumerate(spacing) if axis != across]
        maps = (label_map[0][index].to(torch.uint8).numpy() for label_map in (truth, prediction))
        planes.append(Plane(title, index, tuple(within), *maps))
    return planes


def draw_planes(image: np.ndarray, planes: Sequence[Plane], title: str, path: str | Path) -> None:
    """Draw planes of an image beside each other, the outlines of every label in truth and prediction on them.

    Args:
        image: intensities in RAS order, ``([D,] H, W)``.
        planes: what to draw.
        title: stands above.
        path: of the picture, its suffix tells the format.
    """
    figure = Figure(figsize=(4 * len(planes), 4.6), facecolor="white", layout="constrained")
    figure.suptitle(textwrap.fill(title, TITLE_WIDTH * len(planes)))
    for axes, plane in zip(figure.subplots(1, len(planes), squeeze=False)[0], planes, strict=True):
        pixels = image[plane.index]
        across, up = (step * length for step, length in zip(plane.spacing, pixels.shape, strict=True))
        shown = {"origin": "lower", "extent": (0, across, 0, up)}
        axes.imshow(pixels.T, cmap="gray", vmin=np.percentile(pixels, 1), vmax=np.percentile(pixels, 99), **shown)
        for labels, (_, colour, line) in ((plane.truth, TRUTH), (plane.prediction, PREDICTION)):
            for value in np.unique(labels[labels > 0]):
                axes.contour((labels == value).T, levels=[0.5], colors=colour, linestyles=line, linewidths=1.5, **shown)
        axes.set(title=plane.title, xlabel="mm", aspect="equal")
    lines = [Line2D([], [], color=colour, linestyle=line, label=name) for name, colour, line in (TRUTH, PREDICTION)]
    figure.legend(handles=lines, loc="outside lower center", ncols=2, frameon=False)
    figure.savefig(path, dpi=120)


def _in_ras_order(image: MetaTensor) -> MetaTensor:
    """Axes to the patient's right, front and top; a 2D image has no such axes and stays as it is."""
    return Orientation(axcodes="RAS", labels=None)(image) if image.ndim == 4 else image


def _orientations(spatial_dims: int) -> Iterable[tuple[str, int | None]]:
    """Title of each plane and the axis that it lies across."""
    if spatial_dims == 2:
        return [("", None)]
    return [(title, axis) for axis, title in enumerate(PLANES_3D)]
