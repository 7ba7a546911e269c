"""Planes through a case: where they are cut, and how truth and prediction are drawn on them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from monai.data import MetaTensor
from monai.transforms import Orientation
from monai.transforms.utils import generate_spatial_bounding_box

from lunet_networks.bundle.data.labels import LABEL_COLOURS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "Plane",
    "cut_planes",
    "draw_plane",
    "in_ras_order",
    "label_styles",
    "share_outside",
]

MARGIN = 12.0  # mm of image around the structure
# Each plane of a volume in RAS order: its name, the axis across it, and the letters at its left, right, bottom and top
# edge. Shown as radiologists see it: from the feet, from the front, and with the front at the left.
PLANES_3D = (("sagittal", 0, "APIS"), ("coronal", 1, "RLIS"), ("axial", 2, "RLPA"))
PLANES_2D = (("", None, ""),)
PREDICTION_OF_ONE = "#f5a623"  # if there is a single label; its truth has the first of LABEL_COLOURS
MOST_PIXELS = 1000  # drawn along an axis
NOT_ANNOTATED = 0.45  # factor for the brightness of voxels without annotation
SCALE_BARS = [step * 10.0**power for power in range(-6, 4) for step in (1, 2, 5)]


@dataclass(frozen=True)
class Plane:
    """A plane through a case, cropped to the surroundings of the structure.

    Args:
        title: name of the plane; "" for a 2D image.
        edges: letters of the directions at its left, right, bottom and top edge; "" for a 2D image.
        index: cuts it out of an image ``([D,] H, W)`` in RAS order.
        spacing: of its pixels along its two axes, in mm.
        frame: start and end of the picture along its two axes in mm, counted from the volume's first voxel. It may be
            larger than the volume.
        truth: label values ``(H, W)``.
        prediction: label values ``(H, W)``.
    """

    title: str
    edges: str
    index: tuple[int | slice, ...]
    spacing: tuple[float, float]
    frame: tuple[tuple[float, float], tuple[float, float]]
    truth: np.ndarray
    prediction: np.ndarray


def cut_planes(truth: MetaTensor, prediction: MetaTensor) -> list[Plane]:
    """The planes in which a structure is largest, cropped to its surroundings.

    Args:
        truth: label map, ``(1, [D,] H, W)``; if it is empty, the structure is that of the prediction.
        prediction: label map of the same grid.

    Returns:
        The sagittal, coronal and axial plane of a volume, in square frames of the same size, or the one plane of a 2D
        image.
    """
    truth, prediction = in_ras_order(truth), in_ras_order(prediction)
    spacing = truth.pixdim[: truth.ndim - 1].tolist()
    structure = (truth if truth.any() else prediction)[0].numpy() > 0
    if not structure.any():
        structure = np.ones_like(structure)
    frames = _frames(structure, spacing)
    around = [
        slice(max(0, math.floor(round(low / step, 3))), min(side, math.ceil(round(high / step, 3))))
        for (low, high), step, side in zip(frames, spacing, structure.shape, strict=True)
    ]
    planes = []
    for title, across, edges in PLANES_2D if structure.ndim == 2 else PLANES_3D:
        index = tuple(
            _largest_slice(structure, axis) if axis == across else around[axis] for axis in range(structure.ndim)
        )
        maps = (label_map[0][index].numpy().astype(np.uint16) for label_map in (truth, prediction))
        planes.append(Plane(title, edges, index, *(_without(values, across) for values in (spacing, frames)), *maps))
    return planes


def share_outside(planes: Sequence[Plane], prediction: MetaTensor) -> float:
    """The share of a prediction, from 0 to 1, that no plane shows because it is too far from the structure.

    Args:
        planes: cut through the case.
        prediction: label map, ``(1, [D,] H, W)``.
    """
    found = in_ras_order(prediction)[0].numpy() > 0
    parts = zip(*(plane.index for plane in planes), strict=True)
    around = tuple(next(part for part in of_axis if isinstance(part, slice)) for of_axis in parts)
    return 1 - float(found[around].sum() / found.sum()) if found.any() else 0.0


def in_ras_order(image: MetaTensor) -> MetaTensor:
    """Turn the axes to the patient's right, front and top; those of a 2D image to the right and upwards."""
    return Orientation(axcodes="RAS"[: image.ndim - 1], labels=None)(image)


def _frames(structure: np.ndarray, spacing: Sequence[float]) -> list[tuple[float, float]]:
    """Start and end of the surroundings along each axis, in mm. For a volume it is a cube around the middle of the
    structure; for a 2D image it never exceeds the image."""
    starts, ends = generate_spatial_bounding_box(structure[None])
    lengths = [side * step for side, step in zip(structure.shape, spacing, strict=True)]
    wanted = max((end - start) * step for start, end, step in zip(starts, ends, spacing, strict=True)) + 2 * MARGIN
    wanted = min(wanted, max(lengths))
    frames = []
    for start, end, step, length in zip(starts, ends, spacing, lengths, strict=True):
        side = min(wanted, length) if structure.ndim == 2 else wanted
        room = length - side  # below 0 if the frame is larger than the volume, which is then centred in it
        low = room / 2 if room < 0 else min(max(0.0, (start + end) / 2 * step - side / 2), room)
        frames.append((low, low + side))
    return frames


def _largest_slice(structure: np.ndarray, axis: int) -> int:
    """The slice that shows most of the structure; the middle one if several are equal."""
    areas = structure.sum(axis=tuple(other for other in range(structure.ndim) if other != axis))
    largest = np.flatnonzero(areas == areas.max())
    return int(largest[len(largest) // 2])


def _without(values: Sequence, axis: int | None) -> tuple:
    return tuple(value for other, value in enumerate(values) if other != axis)


def label_styles(label_names: Sequence[str]) -> list[tuple[str, str, str]]:
    """Name, colour of the truth and colour of the prediction of each label.

    A single label has two colours. With several labels each has one colour, and truth and prediction differ only in
    their line style.

    Example:
        >>> label_styles(["anterior", "posterior"])
        [('anterior', '#56b4e9', '#56b4e9'), ('posterior', '#f5a623', '#f5a623')]
    """
    if len(label_names) == 1:
        return [(label_names[0], LABEL_COLOURS[0], PREDICTION_OF_ONE)]
    colours = [LABEL_COLOURS[number % len(LABEL_COLOURS)] for number in range(len(label_names))]
    return list(zip(label_names, colours, colours, strict=True))


def draw_plane(
    axes: Axes,
    pixels: np.ndarray,
    plane: Plane,
    window: tuple[float, float],
    label_names: Sequence[str],
    ignored: np.ndarray | None = None,
) -> None:
    """Draw a plane of an image, with the outline of every label in truth (solid) and prediction (dashed).

    Args:
        axes: to draw on; they get the shape of the frame in mm.
        pixels: intensities ``(H, W)`` or colours ``(H, W, 3)`` of the plane.
        plane: what to draw.
        window: intensities shown as black and white.
        label_names: of the foreground labels.
        ignored: mask ``(H, W)`` of voxels without annotation; they are shown darker.
    """
    every = math.ceil(max(plane.truth.shape) / MOST_PIXELS)
    pixels, truth, prediction = (_thinned(part, every) for part in (pixels, plane.truth, plane.prediction))
    spacing = [every * step for step in plane.spacing]
    starts = [part.start * step for part, step in zip(_slices(plane.index), plane.spacing, strict=True)]
    extent = [
        start + shift * step
        for start, side, step in zip(starts, truth.shape, spacing, strict=True)
        for shift in (0, side)
    ]
    grey = np.clip((pixels - window[0]) / (window[1] - window[0]), 0, 1)
    if ignored is not None:
        ignored = _thinned(ignored, every)
        grey = np.where(ignored[..., None] if grey.ndim == 3 else ignored, NOT_ANNOTATED * grey, grey)
    axes.imshow(
        np.swapaxes(grey, 0, 1), cmap="gray", vmin=0, vmax=1, origin="lower", extent=extent, interpolation="none"
    )
    for value, (_, solid, dashed) in enumerate(label_styles(label_names), start=1):
        _outline(axes, truth == value, extent, spacing, colors=solid, linestyles="solid")
        predicted = prediction == value, extent, spacing
        if solid == dashed:  # black gaps between the dashes, to show them on the truth's line
            _outline(axes, *predicted, colors="black", linestyles="solid")
        _outline(axes, *predicted, colors=dashed, linestyles=[(0, (3, 2))])
    (low, high), (bottom, top) = plane.frame
    flipped = bool(plane.edges)  # the axes point to the patient's right and front, which are shown at the left
    axes.set(xlim=(high, low) if flipped else (low, high), ylim=(bottom, top), aspect="equal", facecolor="black")
    axes.set(xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set_visible(False)
    _mark_edges(axes, plane)
    _scale_bar(axes, plane)


def _slices(index: Sequence[int | slice]) -> list[slice]:
    return [part for part in index if isinstance(part, slice)]


def _thinned(pixels: np.ndarray, every: int) -> np.ndarray:
    """Only every second, third ... pixel of a large plane: a screen shows no more."""
    return pixels[every // 2 :: every, every // 2 :: every]


def _outline(axes: Axes, mask: np.ndarray, extent: Sequence[float], spacing: Sequence[float], **line: object) -> None:
    """Draw the outline of a mask. It is closed at the edge of the picture, too."""
    if mask.any():
        left, right, bottom, top = extent
        across, up = spacing
        padded = (left - across, right + across, bottom - up, top + up)
        mask = np.pad(mask, 1).T.astype(float)
        axes.contour(mask, levels=[0.5], origin="lower", extent=padded, linewidths=1.6, **line)


def _mark_edges(axes: Axes, plane: Plane) -> None:
    places = (
        {"x": 0.02, "y": 0.5, "ha": "left", "va": "center"},
        {"x": 0.98, "y": 0.5, "ha": "right", "va": "center"},
        {"x": 0.5, "y": 0.02, "ha": "center", "va": "bottom"},
        {"x": 0.5, "y": 0.98, "ha": "center", "va": "top"},
    )
    for letter, place in zip(plane.edges, places, strict=False):
        axes.text(**place, s=letter, transform=axes.transAxes, **_white())


def _scale_bar(axes: Axes, plane: Plane) -> None:
    """Draw a scale bar of a round length at the lower right, in pixels if a 2D file has no spacing."""
    (low, high), (bottom, top) = plane.frame
    width, height = high - low, top - bottom
    length = max((bar for bar in SCALE_BARS if bar <= width / 4), default=width / 4)
    unit = "mm" if plane.edges or plane.spacing != (1.0, 1.0) else "px"
    right, level = 0.97, 0.03 * width / height
    left = right - length / width
    axes.plot(
        [left, right],
        [level, level],
        transform=axes.transAxes,
        color="white",
        linewidth=2.5,
        solid_capstyle="butt",
        path_effects=_dark_rim(4.5),
    )
    place = {"x": (left + right) / 2, "y": level + 0.012, "ha": "center", "va": "bottom"}
    axes.text(**place, s=f"{length:g} {unit}", transform=axes.transAxes, **_white())


def _white() -> dict[str, object]:
    return {"color": "white", "fontsize": 10, "path_effects": _dark_rim(2.0)}


def _dark_rim(width: float) -> list:
    """A dark rim, so that white text and lines show on a white image."""
    from matplotlib.patheffects import withStroke

    return [withStroke(linewidth=width, foreground="black")]
