"""What leanness costs: every lean network less its conventional twin, over all tasks, at a glance."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby

import numpy as np
from matplotlib.figure import Figure

from lunet_networks import PRESETS
from lunet_networks.presets import conventional_twin
from tools.study.datasets import DATASETS
from tools.study.evidence import LEARNED, MARGIN, is_so
from tools.study.results import Comparison, Trained
from tools.study.splits import OverSplits, over_splits
from tools.study.statistics import Difference, paired_difference

NAME = "twins"  # of the picture
HEADING = "## Lean networks and their twins, on every task"
HOW = (
    "The Dice of a lean network less that of its conventional twin, which has as many channels at full resolution and "
    "doubles them from level to level: mean over labels and cases, with the 95 % interval over cases and seeds. "
    "Both were trained by one recipe for as many epochs. On the left of the dashed line the lean network is worse by "
    f"more than {MARGIN}."
)
COLOURS = {True: "#2a9d6f", None: "#7f7f7f", False: "#c44e52"}  # by whether the lean network is comparable
KINDS = {True: f"better, or worse by less than {MARGIN}", None: "not sure", False: f"worse by more than {MARGIN}"}
ROW = 0.42  # inches


@dataclass(frozen=True)
class Twins:
    """A lean network and its twin, trained alike.

    Args:
        dataset: one of ``DATASETS``.
        epochs: of each training.
        networks: the lean one and the other.
        dice: of each, a seed and case: ``(seeds, cases)``.
    """

    dataset: str
    epochs: int
    networks: tuple[Trained | OverSplits, Trained | OverSplits]
    dice: tuple[np.ndarray, np.ndarray]

    @cached_property
    def difference(self) -> Difference:
        """Of the lean network's Dice."""
        return paired_difference(*self.dice)

    @property
    def comparable(self) -> bool | None:
        """Whether the lean network is; None if the interval does not tell."""
        return is_so(self.difference, "comparable")

    @property
    def seeds(self) -> str:
        """Of each, in words."""
        return " and ".join(str(len(each)) for each in self.dice)

    @property
    def have_learned(self) -> bool:
        """Whether every training of both has."""
        return all((np.nanmean(each, axis=1) >= LEARNED).all() for each in self.dice)


def twins(compared: Sequence[Comparison]) -> list[Twins]:
    """All pairs of a lean network and its twin, both by their recipe, in the order of the comparisons."""
    found = []
    for (dataset, epochs, *_), group in groupby(compared, _together):
        alike = list(group)
        networks = over_splits(alike) if DATASETS[dataset].splits else alike[0].networks
        by_name = {network.name: network for network in networks}
        for name in filter(PRESETS.names.__contains__, by_name):
            twin = by_name.get(conventional_twin(name))
            dice = twin and _dice(by_name[name], twin)
            if dice:
                found.append(Twins(dataset, epochs, (by_name[name], twin), dice))
    return found


def _together(compared: Comparison) -> tuple[str, int, str]:
    """All splits of a dataset stand together."""
    return compared.dataset, compared.epochs, "" if DATASETS[compared.dataset].splits else compared.part


def _dice(*networks: Trained | OverSplits) -> tuple[np.ndarray, ...] | None:
    """Of each network; None if there is a published split that not all have."""
    if isinstance(networks[0], Trained):
        return tuple(each.dice for each in networks)
    parts = DATASETS[networks[0].first.records[0].planned["dataset"]].parts
    if any(part not in each.by_split for each in networks for part in parts):
        return None
    return tuple(each.dice_by_image(parts)[1] for each in networks)


def tell_twins(found: Sequence[Twins], picture: str) -> str:
    """The part of the document; "" if there is no pair."""
    shown = [each for each in found if each.have_learned]
    if not shown:
        return ""
    failed = [f"`{each.networks[0].name}` after {each.epochs} epochs" for each in found if not each.have_learned]
    note = f" Left out, as a training of it or of its twin did not learn: {', '.join(failed)}." if failed else ""
    lines = [
        "| task | epochs | lean network | parameters, its and the twin's | cases | seeds | Dice of both | difference |",
        "|---|---:|---|---:|---:|---|---|---|",
    ]
    for each in shown:
        parameters = " and ".join(f"{network.parameters:,}" for network in each.networks)
        dice = " and ".join(f"{np.nanmean(values):.3f}" for values in each.dice)
        task = f"{DATASETS[each.dataset].heading} | {each.epochs} | `{each.networks[0].name}`"
        lines.append(f"| {task} | {parameters} | {each.dice[0].shape[1]} | {each.seeds} | {dice} | {each.difference} |")
    return "\n\n".join([HEADING, HOW + note, f"![Differences of Dice]({picture})", "\n".join(lines)])


def draw(found: Sequence[Twins]) -> Figure:
    """The differences with their intervals, a row for each pair."""
    shown = [each for each in found if each.have_learned]
    figure = Figure(figsize=(11, 1.5 + ROW * len(shown)), facecolor="white", layout="constrained")
    axes = figure.subplots()
    for row, each in enumerate(shown):
        difference, colour = each.difference, COLOURS[each.comparable]
        axes.plot([difference.low, difference.high], [row, row], color=colour, linewidth=2)
        axes.plot(difference.mean, row, "o", color=colour)
        axes.annotate(str(difference), (1.01, row), xycoords=("axes fraction", "data"), va="center", fontsize=9)
    axes.axvline(0, color="black", linewidth=0.8)
    axes.axvline(-MARGIN, color="black", linewidth=0.8, linestyle="--")
    axes.set_yticks(range(len(shown)), [_row_title(each) for each in shown], fontsize=9)
    axes.set_ylim(len(shown) - 0.5, -0.5)
    axes.set_xlabel("Dice of the lean network less that of its conventional twin")
    axes.grid(axis="x", alpha=0.3)
    kinds = [kind for kind in KINDS if kind in {each.comparable for each in shown}]
    handles = [axes.plot([], [], "o", color=COLOURS[kind], label=KINDS[kind])[0] for kind in kinds]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False)
    return figure


def _row_title(pair: Twins) -> str:
    task = DATASETS[pair.dataset].heading.partition(" (")[0]
    return f"{task}, {pair.networks[0].name}, {pair.epochs} epochs\n{pair.dice[0].shape[1]} cases, seeds: {pair.seeds}"
