"""Place names beside the points of a chart so that they cover neither each other nor the drawing."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes

Place = tuple[float, float]

POINT, LINE = 5, 1  # half the edge of the squares that points and parts of lines take, in points of a figure
PARTS = 24  # of a line, each of which a name may cover
GAP = 2  # between names
DISTANCES = (7, 13, 20, 28, 38)  # from a point to its name; a line joins them from the second on
DIRECTIONS = np.radians([0, 45, -45, 180, 135, -135, 90, -90, 22, -22, 158, -158])
JOINED = {"arrowstyle": "-", "color": "#999999", "linewidth": 0.6, "shrinkA": 0, "shrinkB": 3}


def label_points(axes: Axes, labels: Mapping[str, Place], font_size: float = 9) -> None:
    """Write names beside points, each where it covers least: other names, any point or line, the edge of the axes.

    Call it when all else is drawn: it fixes the layout of the figure.

    Args:
        axes: whose limits and scales are final.
        labels: the point of every name, in data.
        font_size: of the names, in points.
    """
    figure = axes.figure
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # a later layout would move the axes under the names
    scale, taken = figure.dpi / 72, np.concatenate(_drawn(axes))
    edge = axes.get_window_extent().extents
    for name, place in labels.items():
        point, (width, height) = axes.transData.transform(place), _size(axes, name, font_size)
        distances = np.repeat(DISTANCES, len(DIRECTIONS)) * scale
        towards = np.tile([np.cos(DIRECTIONS), np.sin(DIRECTIONS)], len(DISTANCES)).T
        offsets = towards * (distances[:, None] + [width / 2, height / 2])
        boxes = _squares(point + offsets, [width / 2 + GAP, height / 2])
        covered = _overlap(boxes, taken).sum(axis=1) - _overlap(boxes, edge[None]).sum(axis=1)
        best = int(covered.argmin())
        axes.annotate(
            name,
            place,
            xytext=offsets[best] / scale,
            textcoords="offset points",
            fontsize=font_size,
            ha="center",
            va="center",
            arrowprops=JOINED if best >= len(DIRECTIONS) else None,
        )
        taken = np.concatenate([taken, boxes[best : best + 1]])


def _drawn(axes: Axes) -> list[np.ndarray]:
    """Squares around the points and along the lines of a chart."""
    scale, squares = axes.figure.dpi / 72, [np.empty((0, 4))]
    for line in axes.lines:
        path = line.get_path().transformed(line.get_transform())
        if line.get_linestyle() != "None":
            squares.append(_squares(path.interpolated(PARTS).vertices, LINE * scale))
        if line.get_marker() != "None":
            squares.append(_squares(path.vertices, POINT * scale))
    return squares


def _size(axes: Axes, name: str, font_size: float) -> tuple[float, float]:
    text = axes.text(0, 0, name, fontsize=font_size)
    size = text.get_window_extent().size
    text.remove()
    return size


def _squares(centres: np.ndarray, half: float | Sequence[float]) -> np.ndarray:
    """Left, lower, right and upper edges, one row per box."""
    return np.concatenate([centres - half, centres + half], axis=1)


def _overlap(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """The area that each of some boxes has in common with each of others."""
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    return (high - low).clip(min=0).prod(axis=-1)
