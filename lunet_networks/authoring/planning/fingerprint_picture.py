"""A fingerprint on one page: histograms of shape, spacing, intensity and label volume."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from lunet_networks.authoring.planning.fingerprint import Fingerprint, orientations
from lunet_networks.authoring.planning.intensities import ChannelIntensities
from lunet_networks.bundle.runtime.files import write_figure

AXES = ("left to right", "back to front", "bottom to top")  # R, A, S
PAGE_WIDTH = 8.3  # inches, as all heights here
ROW, LABEL_ROW, TITLE = 2.0, 0.28, 0.7
CHANNELS_IN_A_ROW = 2
MOST_BINS = 24
CASES, FOREGROUND, WHOLE = "#4c72b0", "#dd8452", "#8c8c8c"
PEAKED = 10  # where one bin is that much fuller than most, the others need a logarithmic scale
WIDE = 20  # where the largest label volume is that many times the least, volumes need one


def draw_fingerprint(fingerprint: Fingerprint, path: str | Path) -> None:
    """Draw a fingerprint as PNG.

    Args:
        fingerprint: what to draw.
        path: of the picture; missing folders are made.

    Raises:
        OSError: if it cannot be written.

    Example::

        draw_fingerprint(read_fingerprint("fingerprint.json"), "fingerprint.png")
    """
    write_figure(path, fingerprint_figure(fingerprint))


def fingerprint_figure(fingerprint: Fingerprint) -> Figure:
    """The page: a row each of shapes and spacings, the channels' intensities, the volumes of all labels."""
    dims, channels = fingerprint.spatial_dims, fingerprint.in_channels
    columns = min(channels, CHANNELS_IN_A_ROW)
    channel_rows = -(-channels // columns)
    heights = [ROW, ROW, ROW * channel_rows, 1.0 + LABEL_ROW * max(3, len(fingerprint.label_names))]
    figure = Figure(figsize=(PAGE_WIDTH, TITLE + sum(heights)), layout="constrained", facecolor="white")
    figure.suptitle(_title(fingerprint))
    shapes, spacings, intensities, volumes = figure.subfigures(4, 1, height_ratios=heights)

    for kind, part, unit, sides in (
        ("shape", shapes, "voxels", [case.shape for case in fingerprint.cases]),
        ("spacing", spacings, "mm", [case.spacing for case in fingerprint.cases]),
    ):
        panels = part.subplots(1, dims, sharey=True, squeeze=False)[0]
        for axes, along, values in zip(panels, AXES, zip(*sides, strict=True), strict=False):
            _draw_cases(axes, np.array(values, float), unit)
            axes.set_title(f"{kind}, {along}")
        panels[0].set_ylabel("cases")
    panels = intensities.subplots(channel_rows, columns, squeeze=False).ravel()
    for number, (axes, channel) in enumerate(zip(panels, fingerprint.intensities, strict=False)):
        _draw_intensities(axes, channel)
        axes.set_title(f"intensity in channel {number}, {fingerprint.modalities[number]}")
    for axes in panels[channels:]:
        axes.remove()
    panels[0].legend(frameon=False, fontsize="small")
    _draw_volumes(volumes.subplots(), fingerprint)
    return figure


def _title(fingerprint: Fingerprint) -> str:
    labels = len(fingerprint.label_names)
    counts = [
        f"{len(fingerprint.cases)} case{'s' * (len(fingerprint.cases) > 1)} in {fingerprint.spatial_dims}D",
        f"{fingerprint.in_channels} channel{'s' * (fingerprint.in_channels > 1)}",
        f"{labels} label{'s' * (labels > 1)}",
        f"orientation {orientations(fingerprint)}",
    ]
    return f"{fingerprint.name}\n{', '.join(counts)}"


def _draw_cases(axes: Axes, values: np.ndarray, unit: str) -> None:
    """A histogram over the cases; a single bar where all are equal."""
    least, most = values.min(), values.max()
    if least == most:
        axes.bar(least, len(values), width=0.06 * least, color=CASES)
        axes.set(xlim=(0.5 * least, 1.5 * least), xticks=[])
        axes.set_xlabel(f"{least:.4g} {unit} in all cases")
    else:
        axes.hist(values, _case_edges(values), color=CASES)
        axes.set_xlabel(unit)
        axes.axvline(np.median(values), color="black", linestyle=":", label=f"median {np.median(values):.4g}")
        axes.legend(frameon=False, fontsize="small", handlelength=1.2)
    axes.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=5))
    axes.grid(axis="y", alpha=0.3)
    axes.set_axisbelow(True)


def _case_edges(values: np.ndarray) -> np.ndarray:
    """Edges of bins. The smallest and the largest value are mid-bin, and whole numbers fill the bins evenly."""
    least, most, bins = values.min(), values.max(), _bins(len(values))
    if (values % 1).any():
        half = (most - least) / (bins - 1) / 2
        return np.linspace(least - half, most + half, bins + 1)
    step = np.ceil((most - least + 1) / bins)
    return np.arange(least, most + step + 1, step) - 0.5


def _bins(cases: int) -> int:
    """The number of bins, which rises with the number of cases."""
    return min(MOST_BINS, 4 + cases // 4)


def _draw_intensities(axes: Axes, channel: ChannelIntensities) -> None:
    """Share of the voxels in each bin, of the whole images and of the foreground."""
    edges = np.array(channel.histogram_edges)
    for name, counts, colour in (
        ("whole image", channel.whole_counts, WHOLE),
        ("foreground", channel.foreground_counts, FOREGROUND),
    ):
        shares = np.array(counts) / max(1, sum(counts))
        axes.stairs(
            shares, edges, fill=True, facecolor=to_rgba(colour, 0.35), edgecolor=colour, linewidth=1, label=name
        )
        if shares.any() and shares.max() > PEAKED * np.percentile(shares[shares > 0], 90):
            axes.set_yscale("log")
    widths = np.diff(edges)
    if widths[-1] > 2 * widths[0]:
        axes.set_xscale("log")
    axes.set(ylabel="share of voxels")
    axes.grid(alpha=0.3)


def _draw_volumes(axes: Axes, fingerprint: Fingerprint) -> None:
    """One histogram per label, each in its own row and as high as the row, all on one scale."""
    volumes = [fingerprint.volumes(label) for label in fingerprint.label_names]
    everything = [volume for row in volumes for volume in row]
    least, most = min(everything), max(everything)
    wide = most > WIDE * least
    if least == most:
        least, most = 0.8 * least, 1.2 * most
    edges = (np.geomspace if wide else np.linspace)(least, most, 2 * _bins(len(fingerprint.cases)) + 1)
    for row, values in enumerate(volumes):
        counts = np.histogram(values, edges)[0]
        axes.stairs(row - 0.85 * counts / max(1, counts.max()), edges, baseline=row, fill=True, color=CASES)
        axes.axhline(row, color="black", linewidth=0.5)
    if wide:
        axes.set_xscale("log")
    axes.set_yticks(range(len(volumes)), _rows(fingerprint, volumes), va="bottom")
    axes.tick_params(axis="y", length=0)
    axes.set(
        title="volume of each label over the cases",
        xlabel=f"mm{'²³'[fingerprint.spatial_dims - 2]}",
        ylim=(len(volumes) - 0.95, -1),
    )
    axes.grid(axis="x", alpha=0.3)


def _rows(fingerprint: Fingerprint, volumes: Sequence[Sequence[float]]) -> list[str]:
    """Names of the labels, and how many cases lack each."""
    absent = [len(fingerprint.cases) - len(values) for values in volumes]
    return [
        f"{label} (absent in {count})" if count else label
        for label, count in zip(fingerprint.label_names, absent, strict=True)
    ]
