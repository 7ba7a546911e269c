"""How sure the difference of two networks is, over the cases and over the seeds of their trainings."""

from collections.abc import Sequence

import numpy as np

from lunet_networks.authoring.comparing.intervals import LEAST_CASES, PERCENTILES, RESAMPLES, Difference


def paired_difference(one: np.ndarray, other: np.ndarray, seed: int = 0) -> Difference:
    """The mean difference of two networks over the same cases, with its 95 % percentile interval.

    A resample draws cases with replacement, the same for both networks, and of each network as many of its seeds as it
    has, with replacement: a seed of one network has nothing to do with the same seed of another. With one seed each the
    interval is over cases only; with three it is still rather narrow.

    Args:
        one: a figure a seed and case, ``(seeds, cases)``; nan where it could not be measured, which is left out of the
            mean that it belongs to.
        other: the same of the other network; it may have another number of seeds.
        seed: of the resamples.

    Example:
        >>> one = np.array([[0.8, 0.6, 0.9, 0.7, 0.8, 0.9], [0.9, 0.7, 1.0, 0.8, 0.9, 1.0]])
        >>> paired_difference(one, one[:1] - 0.1)
        Difference(mean=0.15, low=0.1, high=0.2)
    """
    return _signed_sum(((1, one), (-1, other)), seed)


def difference_of_gains(gain: Sequence[np.ndarray], other: Sequence[np.ndarray], seed: int = 0) -> Difference:
    """How much more one network gains over a second one than a third over a fourth, with its 95 % percentile interval.

    Args:
        gain: of two networks, as ``paired_difference`` takes them.
        other: of two others, over the same cases.
        seed: of the resamples.

    Example:
        >>> one = np.array([[0.8, 0.6, 0.9, 0.7, 0.8, 0.9]])
        >>> difference_of_gains((one, one - 0.3), (one, one - 0.1))
        Difference(mean=0.2, low=0.2, high=0.2)
    """
    return _signed_sum(((1, gain[0]), (-1, gain[1]), (-1, other[0]), (1, other[1])), seed)


def _signed_sum(signed: Sequence[tuple[int, np.ndarray]], seed: int) -> Difference:
    """The sum of the means of networks, each with its sign, and its interval."""
    random = np.random.default_rng(seed)
    cases = signed[0][1].shape[1]
    drawn = random.multinomial(cases, [1 / cases] * cases, size=RESAMPLES)
    found = sum(sign * _means(values, drawn, _drawn_seeds(len(values), random)) for sign, values in signed)
    found = found[~np.isnan(found)]
    low, high = np.percentile(found, PERCENTILES) if cases >= LEAST_CASES and len(found) else (np.nan, np.nan)
    mean = sum(sign * np.nanmean(values) for sign, values in signed)
    return Difference(*(round(float(each), 6) for each in (mean, low, high)))


def _drawn_seeds(seeds: int, random: np.random.Generator) -> np.ndarray:
    return random.multinomial(seeds, [1 / seeds] * seeds, size=RESAMPLES)


def _means(values: np.ndarray, cases: np.ndarray, seeds: np.ndarray) -> np.ndarray:
    """The mean of each resample, given how often each case and each seed is in it."""
    present = (~np.isnan(values)).astype(float)
    sums, counts = (
        np.einsum("rs,sc,rc->r", seeds, each, cases, optimize=True) for each in (np.nan_to_num(values), present)
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        return sums / counts


def over_seeds(values: Sequence[float]) -> tuple[float, float]:
    """Mean and standard deviation; nan for the latter if there is one value.

    Example:
        >>> over_seeds([0.5, 1.0])[0], over_seeds([0.8])
        (0.75, (0.8, nan))
    """
    return float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else float("nan")
