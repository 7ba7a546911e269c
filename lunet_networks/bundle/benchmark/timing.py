"""Measure the time of each run of a step."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch.utils.benchmark import Measurement, TaskSpec, timer

__all__ = ["WARM_UP", "spread", "time_runs"]

WARM_UP = 3  # runs that do not count: the first ones compile kernels and allocate memory


def time_runs(
    step: Callable[[], object], runs: int, warm_up: int = WARM_UP, done: Callable[[], object] = lambda: None
) -> Measurement:
    """The seconds of each run of a step, measured by PyTorch's timer, which waits for a GPU.

    PyTorch's ``Timer`` chooses the number of runs itself, or returns only the sum of a given number of runs. A
    benchmark needs the spread over a given number of runs.

    Args:
        step: what to time.
        runs: number of timed runs.
        warm_up: number of runs before them that are not timed.
        done: called after every run, for a progress bar.

    Example:
        >>> len(time_runs(lambda: sum(range(10)), runs=5).times)
        5
    """
    seconds = []
    for _ in range(warm_up + runs):
        start = timer()
        step()
        seconds.append(timer() - start)
        done()
    task = TaskSpec(stmt="step()", setup="", num_threads=torch.get_num_threads())
    return Measurement(number_per_run=1, raw_times=seconds[warm_up:], task_spec=task)


def spread(measurement: Measurement) -> dict[str, float]:
    """Median, interquartile range and 95th percentile in seconds, and the number of runs.

    Example:
        >>> task = TaskSpec(stmt="step()", setup="")
        >>> spread(Measurement(number_per_run=1, raw_times=[3.0, 1.0, 2.0, 5.0, 4.0], task_spec=task))
        {'median': 3.0, 'iqr': 2.0, 'p95': 4.8, 'runs': 5}
    """
    times = measurement.times
    p95 = float(np.percentile(times, 95))
    return {"median": measurement.median, "iqr": measurement.iqr, "p95": p95, "runs": len(times)}
