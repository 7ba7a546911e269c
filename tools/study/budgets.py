"""What minutes of processor time give: whole trainings of any length, side by side."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from tools.study.datasets import DATASETS
from tools.study.results import FAR_BELOW, Comparison, Trained, add_legend, colour_of
from tools.tables.labels import label_points

BUDGETS = {"ten minutes": 10.0, "an hour": 60.0, "a night": 600.0}
HOW = (
    "The best training of each network that ends within so many minutes of one core, its validations included: the "
    "Dice of its best epoch, mean over labels, cases and seeds; in brackets its epochs and the number of seeds. Each "
    "is a whole training, whose learning rate falls until its last epoch; where a network was not trained by its "
    "recipe, a variant stands for it. The speed of our machines changes by up to a factor of two: a training near a "
    "limit may end on its other side."
)
AROUND = 1.6  # times the longest and the shortest training


@dataclass(frozen=True)
class Training:
    """A network trained for so many epochs.

    Args:
        epochs: of the training.
        trained: with one or several seeds.
    """

    epochs: int
    trained: Trained

    @property
    def dice(self) -> float:
        """Mean over labels, cases and seeds."""
        return float(np.nanmean(self.trained.dice))


def trainings(compared: Sequence[Comparison]) -> dict[str, list[Training]]:
    """The trainings of each network by its recipe, from short to long, or those of its variants if there are no others;
    none of pruned networks.

    Args:
        compared: the comparisons of a part of a dataset.
    """
    found: dict[str, list[Training]] = {}
    for each in compared:
        for network in each.networks:
            if network.by_the_recipe:
                found.setdefault(network.by_the_recipe, []).append(Training(each.epochs, network))
    for name, of_network in found.items():
        by_recipe = [each for each in of_network if each.trained.name == name]
        found[name] = sorted(by_recipe or of_network, key=lambda each: each.trained.cpu_minutes)
    return dict(sorted(found.items(), key=lambda item: item[1][0].trained.parameters))


def tell_budgets(compared: Sequence[Comparison], picture: str) -> str:
    """The part of the document for what budgets give; "" if all trainings have as many epochs.

    Args:
        compared: the comparisons of a part of a dataset.
        picture: from the document's folder.
    """
    if not have_budgets(compared):
        return ""
    dataset, part = DATASETS[compared[0].dataset], compared[0].part
    heading = f"## {dataset.heading}: {part}, what {', '.join(BUDGETS)} of a core give"
    return "\n\n".join([heading, HOW, f"![Dice over processor minutes]({picture})", _table(trainings(compared))])


def have_budgets(compared: Sequence[Comparison]) -> bool:
    """Whether these are trainings of several lengths."""
    return len({each.epochs for each in compared}) > 1


def _table(found: dict[str, list[Training]]) -> str:
    lines = [f"| network | parameters | {' | '.join(BUDGETS)} |", f"|---|---:|{'---:|' * len(BUDGETS)}"]
    for of_network in found.values():
        within = [_best_within(of_network, minutes) for minutes in BUDGETS.values()]
        if any(within):
            trained, cells = of_network[0].trained, " | ".join(map(_cell, within))
            lines.append(f"| `{trained.name}` | {trained.parameters:,} | {cells} |")
    return "\n".join(lines)


def _cell(training: Training | None) -> str:
    if training is None:
        return "-"
    return f"{training.dice:.3f} ({training.epochs}; {len(training.trained.records)})"


def _best_within(of_network: Sequence[Training], minutes: float) -> Training | None:
    """The best training that ends within so many minutes of processor time; None if none does."""
    ended = [each for each in of_network if each.trained.cpu_minutes <= minutes]
    return max(ended, key=lambda each: each.dice, default=None)


def draw(compared: Sequence[Comparison]) -> Figure:
    """Dice over the processor minutes of a whole training; trainings of a network are joined. Those far below the best
    are left to the table."""
    figure = Figure(figsize=(9, 5), facecolor="white", layout="constrained")
    axes = figure.subplots()
    found = trainings(compared)
    best = max(each.dice for of_network in found.values() for each in of_network)
    places = {}
    for of_network in found.values():
        drawn = [each for each in of_network if each.dice > best - FAR_BELOW]
        points = [(each.trained.cpu_minutes, each.dice) for each in drawn]
        places |= {f"{each.trained.name}, {each.epochs}": point for each, point in zip(drawn, points, strict=True)}
        if points:
            colour = colour_of(of_network[0].trained)
            axes.plot(*zip(*points, strict=True), "o-", color=colour, linewidth=1, markersize=5)
    minutes = [place for place, _ in places.values()]
    axes.set(xscale="log", xlabel="minutes of processor time (the number is that of epochs)")
    axes.set_ylabel("Dice, mean over labels, cases and seeds")
    axes.set_xlim(min(minutes) / AROUND, max(minutes) * AROUND)
    axes.xaxis.set_major_locator(FixedLocator([1, 2, 5, 10, 20, 60, 120, 300, 600]))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_locator(NullLocator())
    axes.grid(alpha=0.3)
    axes.margins(y=0.12)
    add_legend(figure, [of_network[0].trained for of_network in found.values()])
    label_points(axes, places)
    return figure
