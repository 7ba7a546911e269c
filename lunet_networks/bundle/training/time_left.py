"""The time that a training still takes."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

__all__ = ["in_words", "time_left"]

LAST = 10  # epochs: those before may have taken longer, as other programs ran


def time_left(rows: Sequence[Mapping[str, float]], epochs: int) -> str:
    """The time that the epochs which are left will take, as text; "" if there are none.

    Args:
        rows: of the history.
        epochs: of the whole training.

    Example:
        >>> time_left([{"epoch": 1, "seconds": 90.0}, {"epoch": 2, "seconds": 70.0}], epochs=12)
        '13 min left'
    """
    left = epochs - rows[-1]["epoch"]
    return f"{in_words(left * statistics.median(row['seconds'] for row in rows[-LAST:]))} left" if left > 0 else ""


def in_words(seconds: float) -> str:
    """A time as text, in one or two units.

    Example:
        >>> in_words(8.2), in_words(750), in_words(5400), in_words(100 * 3600)
        ('8 s', '12 min', '1 h 30 min', '4 d 4 h')
    """
    minutes, hours = round(seconds / 60), round(seconds / 3600)
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    if minutes < 60:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min" if hours < 48 else f"{hours // 24} d {hours % 24} h"
