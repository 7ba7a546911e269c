"""How sure a difference of means over the same cases is: a bootstrap over the cases."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

RESAMPLES = 5000
PERCENTILES = (2.5, 97.5)
LEAST_CASES = 6  # with fewer, even if all agree, a sign test gives no 5 %


@dataclass(frozen=True)
class Difference:
    """A difference of two means.

    Args:
        mean: of the first, minus that of the second.
        low: lower end of the 95 % interval; nan if there are fewer than ``LEAST_CASES`` cases.
        high: upper end.
    """

    mean: float
    low: float
    high: float

    @property
    def is_sure(self) -> bool:
        """Whether the interval leaves out 0."""
        return self.low > 0 or self.high < 0

    def __str__(self) -> str:
        if np.isnan(self.low):
            return f"{self.mean:+.3f}"
        return f"{self.mean:+.3f} [{self.low:+.3f}, {self.high:+.3f}]"


def difference(one: Sequence[float], other: Sequence[float], seed: int = 0) -> Difference:
    """The difference of two means over the same cases, with its 95 % percentile interval.

    A resample draws as many cases as there are, with replacement, and takes both means over these cases. A case without
    a figure, nan, is left out of the mean that it belongs to: so a label that is found where there is none lowers the
    mean of the one that found it.

    Args:
        one: a figure of each case.
        other: of the same cases in the same order.
        seed: of the resamples.

    Example:
        >>> difference([0.8, 0.6, 0.9, 0.7, 0.8, 0.9], [0.7, 0.5, 0.8, 0.6, 0.7, 0.8])
        Difference(mean=0.1, low=0.1, high=0.1)
    """
    values = np.array([one, other], float)
    cases = values.shape[1]
    counts = np.random.default_rng(seed).multinomial(cases, [1 / cases] * cases, size=RESAMPLES)
    present = ~np.isnan(values)
    with np.errstate(invalid="ignore", divide="ignore"):
        means = counts @ np.nan_to_num(values).T / (counts @ present.T)
        all_cases = np.nan_to_num(values).sum(axis=1) / present.sum(axis=1)
    found = means[:, 0] - means[:, 1]
    found = found[~np.isnan(found)]
    low, high = np.percentile(found, PERCENTILES) if cases >= LEAST_CASES and len(found) else (np.nan, np.nan)
    return Difference(*(round(float(each), 6) for each in (all_cases[0] - all_cases[1], low, high)))
