"""Names beside the points of a chart that cover neither each other nor what is drawn."""

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping

from matplotlib.axes import Axes
from matplotlib.transforms import Bbox

Place = tuple[float, float]

POINT, LINE = 5, 1  # half the edge of the squares that points and parts of lines take, in points of a figure
PARTS = 24  # of a line, each of which a name may cover
GAP = 2  # between names
DISTANCES = (7, 13, 20, 28, 38)  # from a point to its name; a line joins them from the second on
DIRECTIONS = [math.radians(degrees) for degrees in (0, 45, -45, 180, 135, -135, 90, -90, 22, -22, 158, -158)]
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
    scale, edge, taken = figure.dpi / 72, axes.get_window_extent(), [*_drawn(axes)]
    for name, place in labels.items():
        (x, y), size = axes.transData.transform(place), _size(axes, name, font_size)
        offsets = [_offset(size, *each) for each in itertools.product((each * scale for each in DISTANCES), DIRECTIONS)]
        boxes = [_box(x + dx, y + dy, size.width / 2 + GAP, size.height / 2) for dx, dy in offsets]
        covered = [_covered(box, taken, edge) for box in boxes]
        best = covered.index(min(covered))
        axes.annotate(
            name,
            place,
            xytext=(offsets[best][0] / scale, offsets[best][1] / scale),
            textcoords="offset points",
            fontsize=font_size,
            ha="center",
            va="center",
            arrowprops=JOINED if best >= len(DIRECTIONS) else None,
        )
        taken.append(boxes[best])


def _drawn(axes: Axes) -> Iterator[Bbox]:
    """Squares around the points and along the lines of a chart."""
    scale = axes.figure.dpi / 72
    for line in axes.lines:
        path = line.get_path().transformed(line.get_transform())
        if line.get_linestyle() != "None":
            yield from (_box(x, y, LINE * scale, LINE * scale) for x, y in path.interpolated(PARTS).vertices)
        if line.get_marker() != "None":
            yield from (_box(x, y, POINT * scale, POINT * scale) for x, y in path.vertices)


def _size(axes: Axes, name: str, font_size: float) -> Bbox:
    text = axes.text(0, 0, name, fontsize=font_size)
    size = text.get_window_extent()
    text.remove()
    return size


def _offset(size: Bbox, distance: float, direction: float) -> Place:
    """From a point to the middle of a name that is so far away."""
    along_x, along_y = math.cos(direction), math.sin(direction)
    return along_x * (distance + size.width / 2), along_y * (distance + size.height / 2)


def _box(x: float, y: float, half_width: float, half_height: float) -> Bbox:
    return Bbox([[x - half_width, y - half_height], [x + half_width, y + half_height]])


def _covered(box: Bbox, taken: Iterable[Bbox], edge: Bbox) -> float:
    """The area of a box that covers something, or lies beyond the edge."""
    inside = _overlap(box, edge)
    return box.width * box.height - inside + sum(_overlap(box, other) for other in taken)


def _overlap(box: Bbox, other: Bbox) -> float:
    common = Bbox.intersection(box, other)
    return 0.0 if common is None else common.width * common.height
