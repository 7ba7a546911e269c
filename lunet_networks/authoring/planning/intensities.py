"""Intensity statistics of a dataset from samples of its voxels, so that no more than one case is in memory."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

SAMPLED_VOXELS = 10_000  # of a case and channel, in the foreground and in the whole image each
HISTOGRAM_BINS = 60
HISTOGRAM_RANGE = (0.5, 99.5)  # percentiles: a few bright voxels would leave the rest in one bin
# Images of very different gain, as those of several scanners are: evenly spaced bins would hold the dim ones in one.
LOGARITHMIC_SPAN = 50


@dataclass(frozen=True)
class ChannelIntensities:
    """Intensities of one channel over all cases; each case contributes at most ``SAMPLED_VOXELS`` voxels.

    Args:
        mean: of the sampled foreground, which is all labels but the ignore label; so are the next two.
        std: standard deviation.
        median: half of the voxels lie below.
        min: of the whole foreground, not of a sample.
        max: as min.
        percentile_00_5: half a percent of the sampled foreground lies below.
        percentile_99_5: half a percent lies above.
        zero_share: share of an image's voxels that are exactly 0, the median over the cases.
        one_valued_cases: cases in which all voxels that are not 0 hold one value, as in a mask.
        histogram_edges: of the bins, one more than there are counts.
        foreground_counts: sampled voxels of the foreground in each bin.
        whole_counts: sampled voxels of the whole images in each bin.
    """

    mean: float
    std: float
    median: float
    min: float
    max: float
    percentile_00_5: float
    percentile_99_5: float
    zero_share: float
    one_valued_cases: int
    histogram_edges: tuple[float, ...]
    foreground_counts: tuple[int, ...]
    whole_counts: tuple[int, ...]


@dataclass(frozen=True)
class Sample:
    """What is kept of one channel of one case.

    Args:
        foreground: sampled intensities, all of them where there are few.
        whole: intensities sampled from the whole image.
        foreground_range: least and highest of the whole foreground; None where there is none.
        zero_share: share of the image's voxels that are exactly 0.
        one_valued: whether all its voxels that are not 0 hold one value.
    """

    foreground: np.ndarray
    whole: np.ndarray
    foreground_range: tuple[float, float] | None
    zero_share: float
    one_valued: bool


def sample_channel(voxels: np.ndarray, foreground: np.ndarray, random: np.random.Generator) -> Sample:
    """Draw voxels, none of them twice.

    Args:
        voxels: intensities of one channel, ``([D,] H, W)``.
        foreground: where there is a label, of the same shape.
        random: draws them.

    Example:
        >>> image = np.arange(12.0).reshape(3, 4)
        >>> sample_channel(image, image > 8, np.random.default_rng(0)).foreground_range
        (9.0, 11.0)
    """
    inside, not_0 = voxels[foreground], voxels[voxels != 0]
    everywhere = np.unravel_index(_some_of(voxels.size, random), voxels.shape)
    return Sample(
        foreground=inside[_some_of(inside.size, random)],
        whole=voxels[everywhere],
        foreground_range=(float(inside.min()), float(inside.max())) if inside.size else None,
        zero_share=1 - not_0.size / voxels.size,
        one_valued=bool(not_0.size and not_0.min() == not_0.max()),
    )


def describe_channel(samples: Sequence[Sample]) -> ChannelIntensities:
    """The statistics of one channel from its sample of each case; at least one of them has a foreground."""
    foreground = np.concatenate([sample.foreground for sample in samples]).astype(np.float64)
    whole = np.concatenate([sample.whole for sample in samples]).astype(np.float64)
    ranges = [sample.foreground_range for sample in samples if sample.foreground_range is not None]
    edges = _bin_edges(foreground, whole)
    low, median, high = np.percentile(foreground, (0.5, 50, 99.5))
    return ChannelIntensities(
        mean=plain(foreground.mean()),
        std=plain(foreground.std()),
        median=plain(median),
        min=plain(min(least for least, _ in ranges)),
        max=plain(max(most for _, most in ranges)),
        percentile_00_5=plain(low),
        percentile_99_5=plain(high),
        zero_share=plain(np.median([sample.zero_share for sample in samples])),
        one_valued_cases=sum(sample.one_valued for sample in samples),
        histogram_edges=_rounded(edges),
        foreground_counts=tuple(np.histogram(foreground, edges)[0].tolist()),
        whole_counts=tuple(np.histogram(whole, edges)[0].tolist()),
    )


def plain(value: float) -> float:
    """Round to seven digits, the precision of float32.

    Example:
        >>> plain(np.float32(0.7))
        0.7
    """
    return float(f"{float(value):.7g}")


def _some_of(count: int, random: np.random.Generator) -> np.ndarray:
    return random.choice(count, min(count, SAMPLED_VOXELS), replace=False)


def _bin_edges(foreground: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Common bins for both."""
    ranges = np.percentile(foreground, HISTOGRAM_RANGE), np.percentile(whole, HISTOGRAM_RANGE)
    low, high = np.min(ranges), np.max(ranges)
    if low == high:
        low, high = min(foreground.min(), whole.min()), max(foreground.max(), whole.max())
    positive = whole[whole > 0]
    if low >= 0 and positive.size and high > LOGARITHMIC_SPAN * np.median(positive):
        return np.geomspace(np.percentile(positive, HISTOGRAM_RANGE[0]), high, HISTOGRAM_BINS + 1)
    if not (whole % 1).any():  # each bin holds equally many whole numbers, or some would look empty
        step = np.ceil((high - low + 1) / HISTOGRAM_BINS)
        return np.arange(np.floor(low), high + step + 1, step) - 0.5
    if low == high:  # a single bin around it
        return np.array([low - abs(low) / 2, low + abs(low) / 2])
    return np.linspace(low, high, HISTOGRAM_BINS + 1)


def _rounded(edges: np.ndarray) -> tuple[float, ...]:
    """Edges of bins to a thousandth of the narrowest bin."""
    decimals = 3 - math.floor(math.log10(np.diff(edges).min()))
    return tuple(np.round(edges, decimals).tolist())
