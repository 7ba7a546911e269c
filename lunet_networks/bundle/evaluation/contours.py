"""Pictures of single cases of an evaluation: truth and prediction as outlines on planes of the image."""

from __future__ import annotations

import logging
import math
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ignite.distributed as idist
import numpy as np
import torch
from ignite.engine import Engine, Events
from monai.data import MetaTensor
from monai.utils import ensure_tuple

from lunet_networks.bundle.data.readers import LoadImaged
from lunet_networks.bundle.evaluation.metrics import WHOLE, CaseMetrics
from lunet_networks.bundle.evaluation.planes import (
    Plane,
    cut_planes,
    draw_plane,
    in_ras_order,
    label_styles,
    share_outside,
)
from lunet_networks.bundle.evaluation.ranking import chosen_cases, mean_dice
from lunet_networks.bundle.evaluation.tables import EvaluationReport, case_names, image_path
from lunet_networks.bundle.evaluation.windows import clip_range, intensity_window
from lunet_networks.bundle.runtime.files import as_path, write_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["RANKS", "CasePicture", "CasePictures", "case_title", "label_figures", "legend_entries"]

RANKS = {"best": "Best case", "median": "Median case", "worst": "Worst case", "only": "The only case with a label"}
PANEL = 4.0  # inches
LEGEND_COLUMNS = 4
NO_BREAK = "\N{NO-BREAK SPACE}"
LINE = 44  # characters of a title above a panel
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class CasePicture:
    """What a picture of a case shows.

    Args:
        name: of the case.
        planes: through it.
        pixels: of the image on each plane, ``(H, W)`` or ``(H, W, 3)``.
        ignored: mask of each plane, of voxels without annotation; None if there are none.
        label_names: of the foreground labels.
        found: metrics by label.
        share_outside: share of the prediction that is too far away to be on any of the planes.
        window: intensities shown as black and white.
    """

    name: str
    planes: list[Plane]
    pixels: list[np.ndarray]
    ignored: list[np.ndarray] | None
    label_names: list[str]
    found: Mapping[str, CaseMetrics]
    share_outside: float
    window: tuple[float, float]

    def draw_on(self, panels: Sequence[Axes]) -> None:
        """Draw each plane on its own axes."""
        masks = self.ignored or [None] * len(self.planes)
        for axes, plane, pixels, ignored in zip(panels, self.planes, self.pixels, masks, strict=True):
            draw_plane(axes, pixels, plane, self.window, self.label_names, ignored)

    def panels(self, encode: Callable[[Figure], bytes]) -> list[bytes]:
        """Each plane as a separate picture, without margins.

        Args:
            encode: turns a figure into the content of a picture file.
        """
        from matplotlib.figure import Figure

        panels = []
        figures = []
        for plane in self.planes:
            (left, right), (bottom, top) = plane.frame
            width = PANEL if len(self.planes) > 1 else 2 * PANEL
            figures.append(Figure(figsize=(width, width * (top - bottom) / (right - left)), facecolor="black"))
            panels.append(figures[-1].add_axes((0, 0, 1, 1)))
        self.draw_on(panels)
        return [encode(figure) for figure in figures]

    def figure(self, title: str) -> Figure:
        """All planes beside each other, with a title above and the legend below."""
        from matplotlib.figure import Figure

        size = PANEL if len(self.planes) > 1 else 1.6 * PANEL
        (left, right), (bottom, top) = self.planes[0].frame
        height = size * (top - bottom) / (right - left)
        text = "\n".join(
            textwrap.fill(line, round(LINE * size / PANEL) * len(self.planes)) for line in title.split("\n")
        )
        above = 0.25 + 0.22 * (text.count("\n") + 1)
        below = 0.4 + 0.22 * math.ceil(2 * len(self.label_names) / LEGEND_COLUMNS)
        figure = Figure(
            figsize=(size * len(self.planes), height + above + below), facecolor="white", layout="constrained"
        )
        figure.suptitle(text, fontsize=11)
        panels = figure.subplots(1, len(self.planes), squeeze=False)[0]
        self.draw_on(panels)
        for axes, plane in zip(panels, self.planes, strict=True):
            axes.set_title(plane.title, fontsize=10)
        _add_legend(figure, self.label_names)
        return figure

    def write(self, path: str | Path, title: str) -> None:
        """Write the figure as PNG."""
        write_figure(path, self.figure(title))


def legend_entries(label_names: Sequence[str]) -> list[tuple[str, str, str]]:
    """Text, colour and line style of every line that a picture can have."""
    styles = label_styles(label_names)
    several = len(styles) > 1
    return [
        (f"{name}, {kind}" if several else kind, colour, line)
        for name, *colours in styles
        for kind, colour, line in zip(("truth", "prediction"), colours, ("solid", "dashed"), strict=True)
    ]


def _add_legend(figure: Figure, label_names: Sequence[str]) -> None:
    """The legend has a dark background like the images, so the colours of the lines look the same."""
    from matplotlib.lines import Line2D

    lines = [
        Line2D([], [], color=colour, linestyle=style, linewidth=2, label=text)
        for text, colour, style in legend_entries(label_names)
    ]
    style = {"facecolor": "#26292e", "edgecolor": "none", "labelcolor": "white", "framealpha": 1}
    figure.legend(
        handles=lines, loc="outside lower center", ncols=LEGEND_COLUMNS, handlelength=2.6, fontsize=10, **style
    )


def label_figures(found: Mapping[str, CaseMetrics]) -> list[str]:
    """Dice and HD95 of each label of a case as text; the union is left out if there is a single label.

    Example:
        >>> missed, hit = CaseMetrics(0.0, math.nan, 0.0, 40.0, 0.0), CaseMetrics(0.91, 1.41, 1.0, 50.0, 48.0)
        >>> label_figures({"cyst": missed, "liver": hit, "whole": hit})[:2]
        ['cyst: not in the prediction', 'liver: Dice 0.910, HD95 1.4 mm']
    """
    labels = [label for label in found if label != WHOLE or len(found) > 2]
    return [f"{label}: {_figures(found[label])}" for label in labels]


def _figures(metrics: CaseMetrics) -> str:
    if not metrics.volume_truth and not metrics.volume_prediction:
        return "in neither"
    if not metrics.volume_truth:
        return "not in the truth"
    if not metrics.volume_prediction:
        return "not in the prediction"
    return f"Dice {metrics.dice:.3f}, HD95 {metrics.hd95:.1f} mm"


def case_title(name: str, rank: str, found: Mapping[str, CaseMetrics]) -> str:
    """The title of a case in two lines: which case it is and how well it was labelled.

    Args:
        name: of the case.
        rank: a key of ``chosen_cases``.
        found: metrics by label.
    """
    dice = mean_dice(found)
    mean = f", mean Dice {dice:.3f}" if len(found) > 2 and not math.isnan(dice) else ""
    return f"{RANKS[rank]}: {name}{mean}\n{'   '.join(text.replace(' ', NO_BREAK) for text in label_figures(found))}"


class CasePictures:
    """Handler of an evaluation: draws the case of median Dice when all cases are done, and others on request.

    Each item of ``engine.state.output`` holds "pred" and "label", label maps ``(1, [D,] H, W)`` on the voxels of the
    image file, and "image", whose metadata name that file. With several processes the median is taken over the cases of
    the first one. If the truth of no case has a label, nothing is drawn.

    Args:
        path: of the picture of the median case, a PNG; missing folders are created.
        report: measures the same cases; put it before this one in the list of handlers.
        data: the cases, ``{"image": path or paths, "label": path}``.
        preprocessing: of the bundle. If it clips intensities to a fixed range, as for CT, the pictures show this range.

    Example::

        report = EvaluationReport("eval", ["anterior", "posterior"], section="test")
        handlers = [report, CasePictures("eval/overlay.png", report, data)]
    """

    def __init__(
        self,
        path: str | Path,
        report: EvaluationReport,
        data: Sequence[Mapping[str, Any]],
        preprocessing: Callable | None = None,
    ) -> None:
        self.path = as_path(path)
        self.report = report
        self.preprocessing = preprocessing
        self.files = {str(ensure_tuple(case["image"])[0]): case for case in data}
        # Which cases to draw is only known at the end. Until then three small planes of every label map are kept.
        self.planes: dict[str, list[Plane]] = {}
        self.outside: dict[str, float] = {}

    def attach(self, engine: Engine) -> None:
        """Add the event handlers; the evaluator calls this."""
        if idist.get_rank() != 0:
            return
        engine.add_event_handler(Events.STARTED, self.clear)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.keep)
        engine.add_event_handler(Events.COMPLETED, self.draw_median)

    def clear(self) -> None:
        """Forget the cases of another evaluation."""
        self.planes.clear()
        self.outside.clear()

    def keep(self, engine: Engine) -> None:
        """Cut the planes of an iteration's cases."""
        for item in engine.state.output:
            prediction = item["pred"].cpu()
            truth = MetaTensor(item["label"].cpu().as_subclass(torch.Tensor), affine=prediction.affine)
            planes = cut_planes(truth, prediction)
            self.planes[image_path(item)] = planes
            self.outside[image_path(item)] = share_outside(planes, prediction)

    def draw_median(self) -> None:
        """Draw the median case."""
        if find_spec("matplotlib") is None:
            logger.info("%s is not drawn: matplotlib is not installed", self.path.name)
            return
        measured = {path: self.report.measured[path] for path in self.planes}
        chosen = chosen_cases(measured)
        for rank in ("median", "best", "only"):
            if rank in chosen:
                picture = self.picture(chosen[rank])
                picture.write(self.path, case_title(picture.name, rank, picture.found))
                logger.info("%s shows the %s case", self.path, rank)
                return
        logger.info("there is no picture of a case, because the truth of no case has a label")

    def picture(self, path: str, channel: int | None = None) -> CasePicture:
        """The picture of a case. Its image and label are read again.

        Args:
            path: of the image, or of the file of its first channel.
            channel: which one to show; None: the first one, or the colours of a 2D image with three channels.
        """
        case, planes, label_names = self.files[path], self.planes[path], self.report.label_names
        loaded = LoadImaged(["image", "label"], spatial_dims=len(planes[0].index))(case)
        image, label = (in_ras_order(loaded[key]).numpy() for key in ("image", "label"))
        window = None
        if channel is None and len(image) == 3 and image.ndim == 3:
            pixels = [np.moveaxis(image[:, *plane.index], 0, -1) for plane in planes]
        else:
            pixels = [image[channel or 0][plane.index] for plane in planes]
            window = clip_range(self.preprocessing, channel or 0) if self.preprocessing else None
        masks = [label[0][plane.index] > len(label_names) for plane in planes]
        ignored = masks if any(mask.any() for mask in masks) else None
        measured = self.report.measured
        name = case_names(measured)[path]
        window = window or intensity_window(pixels)
        return CasePicture(name, planes, pixels, ignored, label_names, measured[path], self.outside[path], window)
