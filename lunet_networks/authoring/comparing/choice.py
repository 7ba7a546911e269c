"""The result of a comparison: the best candidate, how sure that is, and its tables."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lunet_networks.authoring.comparing.candidates import Candidate, Comparison
from lunet_networks.authoring.comparing.intervals import LEAST_CASES, Difference, difference
from lunet_networks.bundle.data.case_files import case_names
from lunet_networks.bundle.evaluation.metrics import WHOLE, CaseMetrics
from lunet_networks.bundle.evaluation.ranking import mean_dice

Measured = Mapping[str, Mapping[str, CaseMetrics]]  # by the path of the truth, then by label


@dataclass(frozen=True)
class Choice:
    """The result of a comparison.

    Args:
        results: of all candidates, in their order.
        best: number of the candidate with the highest mean Dice.
        largest: whether its largest components are better beyond doubt.
    """

    results: Sequence["Result"]
    best: int
    largest: bool

    @classmethod
    def of(cls, plan: Comparison, measured: Sequence[tuple[Measured, Measured]]) -> "Choice":
        """Compare what was measured.

        Args:
            plan: of the comparison.
            measured: of every candidate without and with the largest component of each label only.
        """
        order = sorted(measured[0][0])
        dice = [[[mean_dice(found[path]) for path in order] for found in both] for both in measured]
        means = [[_mean(each) for each in both] for both in dice]
        best = int(np.nanargmax([plain for plain, _ in means])) if np.isfinite([each[0] for each in means]).any() else 0
        results = [
            Result(candidate, *both, *means_of, difference(of_cases[0], dice[best][0]), difference(*reversed(of_cases)))
            for candidate, both, means_of, of_cases in zip(plan.candidates, measured, means, dice, strict=True)
        ]
        return cls(results, best, results[best].by_largest.low > 0)

    @property
    def winner(self) -> "Result":
        """The best candidate."""
        return self.results[self.best]


@dataclass(frozen=True)
class Result:
    """What was found of a candidate.

    Args:
        candidate: the models.
        plain: metrics of its label maps.
        only_largest: metrics of the largest component of each label.
        dice: mean over the cases of the mean over their labels.
        dice_largest: the same for the largest components.
        to_best: difference of ``dice`` to that of the best candidate.
        by_largest: ``dice_largest`` minus ``dice``.
    """

    candidate: Candidate
    plain: Measured
    only_largest: Measured
    dice: float
    dice_largest: float
    to_best: Difference
    by_largest: Difference


def text(choice: Choice, plan: Comparison) -> str:
    width = max(len(result.candidate.name) for result in choice.results)
    with_intervals = " with 95 % intervals" if len(choice.winner.plain) >= LEAST_CASES else ""
    lines = [f"{plan.cases}; mean Dice, differences{with_intervals}:"]
    lines.append(f"{'':{width}}    Dice  {'to the best':24}  largest component only")
    for number, result in enumerate(choice.results):
        to_best = "best" if number == choice.best else str(result.to_best)
        lines.append(
            f"{result.candidate.name:{width}}  {result.dice:6.3f}  {to_best:24}  "
            f"{result.dice_largest:.3f}, {result.by_largest}"
        )
    lines.append("")
    winner = choice.winner
    if len(choice.results) == 1:
        lines.append("there is only one candidate, so only the largest component was compared")
    elif alike := [each.candidate.name for each in choice.results if each is not winner and not each.to_best.is_sure]:
        lines.append(f"{winner.candidate.name} has the highest mean; not told apart from it: {'; '.join(alike)}")
    else:
        lines.append(f"{winner.candidate.name} is the best")
    lines.append(
        "largest_component_only helps: it is set"
        if choice.largest
        else "it is not certain that largest_component_only helps: it is not set"
    )
    if len(winner.candidate.parts) > 1:
        lines.append("new images are labelled by the mean of all folds, which itself needs test cases to be measured")
    if len(winner.plain) < LEAST_CASES:
        lines.append(f"{len(winner.plain)} cases are too few to tell: with {LEAST_CASES} or more there are intervals")
    return "\n".join(lines)


def rows(choice: Choice) -> list[dict[str, Any]]:
    """A row per candidate, without and with the largest component only."""
    table = []
    best = choice.winner.candidate.name
    for number, result in enumerate(choice.results):
        plain = (False, result.plain, result.dice, result.to_best, best)
        largest = (True, result.only_largest, result.dice_largest, result.by_largest, result.candidate.name)
        for only, measured, dice, apart, other in (plain, largest):
            table.append(
                {
                    "candidate": result.candidate.name,
                    "models": len(result.candidate.models),
                    "largest_component_only": only,
                    "cases": len(measured),
                    "dice": f"{dice:.6g}",
                    **{f"dice_{label}": f"{mean:.6g}" for label, mean in _means(measured).items()},
                    "compared_with": other,
                    "difference": f"{apart.mean:.6g}",
                    "low": f"{apart.low:.6g}",
                    "high": f"{apart.high:.6g}",
                    "chosen": "yes" if number == choice.best and only == choice.largest else "no",
                }
            )
    return table


def case_rows(choice: Choice) -> list[dict[str, Any]]:
    table = []
    for result in choice.results:
        names = dict(zip(result.plain, case_names(list(result.plain)), strict=True))
        for only, measured in ((False, result.plain), (True, result.only_largest)):
            table += [
                {
                    "case": names[path],
                    "candidate": result.candidate.name,
                    "largest_component_only": only,
                    "label": label,
                    "dice": f"{metrics.dice:.6g}",
                }
                for path, found in measured.items()
                for label, metrics in found.items()
            ]
    return table


def _means(measured: Measured) -> dict[str, float]:
    labels = [label for label in next(iter(measured.values())) if label != WHOLE]
    return {label: _mean([found[label].dice for found in measured.values()]) for label in labels}


def _mean(values: Sequence[float]) -> float:
    present = [value for value in values if not np.isnan(value)]
    return float(np.mean(present)) if present else float("nan")
