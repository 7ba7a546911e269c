"""The charts of a report, as SVG pictures with colours for light and dark mode."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from lunet_networks.bundle.data.labels import LABEL_COLOURS
from lunet_networks.bundle.evaluation.metrics import CaseMetrics
from lunet_networks.bundle.runtime.files import figure_bytes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["FONTS", "POINTS_FROM", "chart", "draw_dice_of_cases", "svg"]

FONTS = "system-ui, -apple-system, Segoe UI, Roboto, Helvetica Neue, Liberation Sans, Arial, sans-serif"
# The colours that matplotlib draws with, and their replacements on a light and on a dark page. On a dark page labels
# have the same colours as on images; on white those would be too faint.
INK, PAGE, GREY = "#1f2328", "#fefefe", "#808080"
LABELS_ON_WHITE = ("#0a6fb8", "#c96a00", "#0b8a65", "#8f8200", "#b04a8c", "#c94a28", "#6a55c9", "#6b6b6b")
THEME = {
    INK: (INK, "#e4e7eb"),
    PAGE: ("#ffffff", "#15181c"),
    GREY: ("#7a828c", "#939ba5"),
    **{light: (light, dark) for light, dark in zip(LABELS_ON_WHITE, LABEL_COLOURS, strict=True)},
}
POINTS_FROM = 3  # least number of cases for a box around the middle half


def chart(draw: Callable[[Axes], None], size: tuple[float, float]) -> bytes:
    """A chart as an SVG picture.

    Args:
        draw: draws on the given axes.
        size: width and height in inches; an inch is 96 pixels of the page.
    """
    from matplotlib import cycler, rc_context
    from matplotlib.figure import Figure

    style = {
        **dict.fromkeys(("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color"), INK),
        "axes.prop_cycle": cycler(color=LABELS_ON_WHITE),
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.titlesize": 10,
        "axes.titleweight": "bold",
        "axes.titlelocation": "left",
        "font.size": 9,
        "grid.color": GREY,
        "legend.edgecolor": "none",
        "legend.facecolor": PAGE,
        "legend.fontsize": 8.5,
    }
    with rc_context(style):
        figure = Figure(figsize=size, layout="constrained")
        figure.patch.set_visible(False)
        axes = figure.subplots()
        axes.patch.set_visible(False)
        draw(axes)
        return svg(figure)


def svg(figure: Figure) -> bytes:
    """A figure as SVG with the page's fonts. Colours of the theme follow the reader's light or dark mode."""
    from matplotlib import rc_context

    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "report"}):
        content = figure_bytes(figure, format="svg", metadata={"Date": None, "Creator": None}).decode()
    text = re.sub(r"'DejaVu Sans'[^;\"]*sans-serif", FONTS, content)
    used = [colour for colour in THEME if colour in text]
    for colour in used:
        text = text.replace(colour, f"var(--c{colour[1:]})")
    style = "".join(
        f"{media}:root{{{''.join(f'--c{colour[1:]}:{THEME[colour][dark]};' for colour in used)}}}{end}"
        for dark, media, end in ((0, "", ""), (1, "@media (prefers-color-scheme: dark){", "}"))
    )
    return re.sub(r"(<svg [^>]*>)", rf"\1<style>{style}</style>", text, count=1).encode()


def draw_dice_of_cases(axes: Axes, measured: Mapping[str, Mapping[str, CaseMetrics]]) -> None:
    """Dice of every case as a point, one row per label, with a box around the middle half and a line at the median.

    Labels in neither truth nor prediction are left out.

    Args:
        axes: to draw on.
        measured: metrics by case, then by label; every case has the same labels.
    """
    from matplotlib.ticker import MaxNLocator

    labels = list(next(iter(measured.values())))
    if len(labels) == 2:
        labels = labels[:1]  # with a single label the union is the same
    for row, label in enumerate(labels):
        found = [of_case[label] for of_case in measured.values()]
        dice = np.array([one.dice for one in found if not math.isnan(one.dice)])
        colour = LABELS_ON_WHITE[row % len(LABELS_ON_WHITE)] if row < len(labels) - 1 or row == 0 else GREY
        axes.plot(dice, row + _spread(dice), "o", color=colour, markersize=4.5, alpha=0.75, markeredgewidth=0)
        if len(dice) >= POINTS_FROM:
            low, middle, high = np.percentile(dice, [25, 50, 75])
            axes.fill_between([low, high], row - 0.3, row + 0.3, color=colour, alpha=0.18, linewidth=0)
            axes.plot([middle, middle], [row - 0.3, row + 0.3], color=INK, linewidth=1.5)
    shown = [point for line in axes.lines for point in line.get_xdata()]
    least = min(shown, default=0.0)
    axes.set_xlim(max(-0.02, math.floor(least * 10 - 0.2) / 10), 1.005)
    axes.set_ylim(len(labels) - 0.5, -0.5)
    axes.set_yticks(range(len(labels)), labels)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x", alpha=0.3)
    axes.set_axisbelow(True)
    axes.xaxis.set_major_locator(MaxNLocator(7, steps=[1, 2, 5, 10]))
    axes.set(xlabel="Dice")


def _spread(values: np.ndarray, width: float = 0.24) -> np.ndarray:
    """Evenly spread offsets in an irregular order, which keep points of nearly the same value apart."""
    order = np.argsort(np.argsort(values))
    return width * (2 * ((order * 0.618034) % 1) - 1) if len(values) > 1 else np.zeros(len(values))
