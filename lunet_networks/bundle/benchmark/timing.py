"""How long a step takes, run after run."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

__all__ = ["WARM_UP", "Timing", "time_runs"]

WARM_UP = 3  # runs before those that count: the first ones compile kernels and fetch memory


@dataclass(frozen=True)
class Timing:
    """The spread of the runs of a step.

    Args:
        median: seconds.
        iqr: from the first to the third quartile, seconds.
        p95: that 95 of 100 runs do not exceed, seconds.
        runs: how many there were.
    """

    median: float
    iqr: float
    p95: float
    runs: int

    @classmethod
    def of(cls, seconds: Sequence[float]) -> Timing:
        """The spread of runs.

        Example:
            >>> Timing.of([3.0, 1.0, 2.0, 5.0, 4.0])
            Timing(median=3.0, iqr=2.0, p95=4.8, runs=5)
        """
        low, median, high, p95 = (float(np.percentile(seconds, share)) for share in (25, 50, 75, 95))
        return cls(median, high - low, p95, len(seconds))


def time_runs(
    step: Callable[[], object],
    runs: int,
    device: torch.device | str = "cpu",
    warm_up: int = WARM_UP,
    done: Callable[[], object] = lambda: None,
) -> list[float]:
    """Seconds of each run of a step.

    Args:
        step: what is timed.
        runs: how often it is timed.
        device: on which it computes; a GPU is waited for.
        warm_up: runs before that, which are not timed.
        done: called after every run, for a progress bar.

    Example:
        >>> len(time_runs(lambda: sum(range(10)), runs=5))
        5
    """
    wait = torch.cuda.synchronize if torch.device(device).type == "cuda" else lambda: None
    seconds = []
    for _ in range(warm_up + runs):
        wait()
        start = time.perf_counter()
        step()
        wait()
        seconds.append(time.perf_counter() - start)
        done()
    return seconds[warm_up:]
