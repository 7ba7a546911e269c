"""Rank the cases of an evaluation by Dice and choose the cases to draw."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping

from lunet_networks.bundle.evaluation.metrics import WHOLE, CaseMetrics

__all__ = ["chosen_cases", "has_truth", "mean_dice", "ranked_cases"]

Found = Mapping[str, CaseMetrics]  # by label


def mean_dice(found: Found) -> float:
    """Mean Dice over the labels of a case, without their union; labels in neither truth nor prediction are left out.
    nan if no label remains.

    Example:
        >>> right, wrong = CaseMetrics(0.9, 1.0, 1.0, 20.0, 20.0), CaseMetrics(0.5, 4.0, 0.6, 20.0, 12.0)
        >>> absent = CaseMetrics(math.nan, math.nan, math.nan, 0.0, 0.0)
        >>> mean_dice({"liver": right, "tumour": wrong, "cyst": absent, "whole": right})
        0.7
    """
    dice = [metrics.dice for label, metrics in found.items() if label != WHOLE and not math.isnan(metrics.dice)]
    return statistics.fmean(dice) if dice else math.nan


def has_truth(found: Found) -> bool:
    """Whether the truth of a case has any label."""
    return found[WHOLE].volume_truth > 0


def ranked_cases(measured: Mapping[str, Found]) -> list[str]:
    """The cases sorted by mean Dice, the worst first; cases without any label in truth or prediction are last.

    Args:
        measured: metrics by case, then by label.
    """
    dice = {case: mean_dice(found) for case, found in measured.items()}
    return sorted(dice, key=lambda case: (math.isnan(dice[case]), dice[case]))


def chosen_cases(measured: Mapping[str, Found]) -> dict[str, str]:
    """The "best", "median" and "worst" of the cases whose truth has a label.

    With an even number of cases the median is the better one of the two in the middle. Two cases have no "median"; a
    single case is the "only" one.

    Example:
        >>> metrics = {dice: CaseMetrics(dice, 1.0, 1.0, 20.0, 20.0) for dice in (0.8, 0.5, 0.9, 0.7)}
        >>> chosen_cases({str(dice): {"liver": metrics[dice], "whole": metrics[dice]} for dice in metrics})
        {'best': '0.9', 'median': '0.8', 'worst': '0.5'}
    """
    drawable = ranked_cases({case: found for case, found in measured.items() if has_truth(found)})
    if len(drawable) == 1:
        return {"only": drawable[0]}
    if len(drawable) == 2:
        return {"best": drawable[1], "worst": drawable[0]}
    if not drawable:
        return {}
    return {"best": drawable[-1], "median": drawable[len(drawable) // 2], "worst": drawable[0]}
