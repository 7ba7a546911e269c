"""Names in charts cover neither each other nor points."""

import itertools

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Annotation
from matplotlib.transforms import Bbox

from tools.tables.labels import label_points


@pytest.mark.parametrize("scale", ["linear", "log"])
def test_names_cover_nothing(scale: str) -> None:
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    points = np.random.default_rng(0).uniform(1, 10, (14, 2))
    for x, y in points:
        axes.plot(x, y, "o", markersize=6)
    axes.plot(*points[:2].T)
    axes.set(xscale=scale, yscale=scale)
    axes.margins(0.15)
    label_points(axes, {f"network_{number}": tuple(place) for number, place in enumerate(points)})
    figure.draw_without_rendering()
    names = [child for child in axes.get_children() if isinstance(child, Annotation)]
    boxes = [matplotlib.text.Text.get_window_extent(name) for name in names]
    assert len(boxes) == len(points)
    assert not any(one.overlaps(other) for one, other in itertools.combinations(boxes, 2))
    dots = [Bbox.from_bounds(x - 3, y - 3, 6, 6) for x, y in axes.transData.transform(points)]
    assert not any(box.overlaps(dot) for box, dot in itertools.product(boxes, dots))
    edge = axes.get_window_extent()
    assert all(edge.x0 <= box.x0 and box.x1 <= edge.x1 and edge.y0 <= box.y0 and box.y1 <= edge.y1 for box in boxes)
