"""How small a network of a family can be: Dice over what the networks cost, and the smallest one within a margin."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from lunet_networks import create_network
from lunet_networks.authoring.comparing.intervals import Difference
from lunet_networks.bundle.benchmark.memory import measure_peak_memory
from lunet_networks.bundle.benchmark.steps import Inference
from lunet_networks.bundle.benchmark.timing import time_runs
from lunet_networks.bundle.data.labels import count_outputs
from tools.study.records import Record, dice_by_seed
from tools.study.statistics import paired_difference
from tools.tables.labels import label_points

WITHIN = 0.01  # of the best Dice: the margin of the smallest network
COSTS = {"parameters": "parameters", "milliseconds": "ms for a patch", "mebibytes": "peak memory for a patch, MiB"}


@dataclass(frozen=True)
class Costs:
    """What the inference of a patch costs.

    Args:
        milliseconds: median.
        mebibytes: peak memory; nan where the system does not report it.
    """

    milliseconds: float
    mebibytes: float


@dataclass(frozen=True)
class Size:
    """A network of the family.

    Args:
        name: of its preset.
        parameters: that it has.
        costs: of an inference.
        dice: of each seed and case.
        to_best: its Dice less that of the best network.
    """

    name: str
    parameters: int
    costs: Costs
    dice: np.ndarray
    to_best: Difference

    @property
    def mean(self) -> float:
        """Dice over cases and seeds."""
        return float(np.nanmean(self.dice))


def measure_costs(networks: Mapping[str, Record], rounds: int = 5, runs: int = 5, threads: int = 1) -> dict[str, Costs]:
    """Time and memory of the inference of a patch, by name; the networks take turns, so that all see the same machine.

    Args:
        networks: a record of each preset, by its name.
        rounds: turns of each.
        runs: timed in a turn.
        threads: of the process that measures memory.
    """
    steps = {
        name: Inference(_maker(name, record), tuple(record.run["input_shape"])) for name, record in networks.items()
    }
    prepared = {name: step.prepare() for name, step in steps.items()}
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(rounds):
        for name, run in prepared.items():
            seconds[name] += time_runs(run, runs).times
    peaks = {name: measure_peak_memory(step, threads) for name, step in steps.items()}
    return {
        name: Costs(1000 * float(np.median(seconds[name])), math.nan if peak is None else peak / 2**20)
        for name, peak in peaks.items()
    }


def _maker(preset: str, record: Record) -> partial:
    shape, labels = record.run["input_shape"], record.run["settings"]["label_names"]
    given = {"spatial_dims": len(shape) - 2, "in_channels": shape[1], "out_channels": count_outputs(labels)}
    return partial(create_network, preset, **given)


def sizes(records: Mapping[str, Sequence[Record]], costs: Mapping[str, Costs]) -> list[Size]:
    """The networks from small to large, each compared with the best.

    Args:
        records: of each preset, one a seed, all of the same cases.
        costs: of each preset.
    """
    dice_by_seed([record for of_preset in records.values() for record in of_preset])  # of the same cases
    dice = {name: dice_by_seed(of_preset)[1] for name, of_preset in records.items()}
    best = max(dice, key=lambda name: float(np.nanmean(dice[name])))
    found = [
        Size(
            name,
            of_preset[0].run["parameters"],
            costs[name],
            dice[name],
            Difference(0.0, 0.0, 0.0) if name == best else paired_difference(dice[name], dice[best]),
        )
        for name, of_preset in records.items()
    ]
    return sorted(found, key=lambda size: size.parameters)


def smallest_within(found: Sequence[Size], within: float) -> Size:
    """The smallest network whose mean Dice is at most ``within`` below that of the best.

    Args:
        found: from small to large.
        within: the margin.
    """
    return next(size for size in found if size.to_best.mean >= -within)


def verdict(found: Sequence[Size], within: float) -> str:
    """Which network is the smallest within the margin, and how sure that is, in words."""
    best, smallest = max(found, key=lambda size: size.mean), smallest_within(found, within)
    seeds, cases = smallest.dice.shape
    number = f"{cases} cases, {seeds} seed{'s' if seeds > 1 else ''}"
    named = (
        f"{smallest.name}, {smallest.parameters:,} parameters, is the smallest network within {within:g} of the best"
    )
    if smallest is best:
        text = f"{named}, which it is itself: Dice {best.mean:.3f} ({number})"
    else:
        of_best = f"{best.name}, {best.parameters:,} parameters, Dice {best.mean:.3f}"
        text = f"{named}, {of_best}: its Dice less that is {smallest.to_best} ({number})"
    return "; ".join([text, *_doubts(found, smallest, within)]) + "."


def _doubts(found: Sequence[Size], smallest: Size, within: float) -> list[str]:
    doubts = []
    if math.isnan(smallest.to_best.low):
        return ["there are too few cases for an interval"]
    if smallest.to_best.low < -within:
        doubts.append("its interval reaches beyond the margin, so it may be outside: more seeds or cases can tell")
    smaller = [size for size in found if size.parameters < smallest.parameters]
    near = [size.name for size in smaller if not size.to_best.high < -within]
    if near:
        doubts.append(f"the intervals of {', '.join(near)} reach into the margin, so they may be within it")
    elif smaller:
        doubts.append(f"the smaller ones are outside: {', '.join(size.name for size in smaller)}")
    if smallest.dice.shape[0] == 1:
        doubts.append("with one seed the intervals are over the cases only")
    return doubts


def table(found: Sequence[Size]) -> str:
    """The networks from small to large as a text for the screen."""
    width = max(len("network"), *(len(size.name) for size in found))
    lines = [f"{'network':{width}}  parameters  ms a patch  MiB a patch   Dice  less the best's [95 %]"]
    for size in found:
        costs = f"{size.parameters:>10,}  {size.costs.milliseconds:>10.1f}  {size.costs.mebibytes:>11.0f}"
        lines.append(f"{size.name:{width}}  {costs}  {size.mean:.3f}  {size.to_best}")
    return "\n".join(lines)


def rows(found: Sequence[Size]) -> list[dict[str, object]]:
    """The same for a CSV file."""
    return [
        {
            "network": size.name,
            "parameters": size.parameters,
            "milliseconds": round(size.costs.milliseconds, 3),
            "mebibytes": round(size.costs.mebibytes, 1),
            "dice": round(size.mean, 6),
            "less_the_best": size.to_best.mean,
            "low": size.to_best.low,
            "high": size.to_best.high,
            "seeds": size.dice.shape[0],
            "cases": size.dice.shape[1],
        }
        for size in found
    ]


def draw(found: Sequence[Size], within: float) -> Figure:
    """Dice over parameters, time and memory; the band is the margin below the best, a ring marks the smallest in it."""
    figure = Figure(figsize=(13, 4.4), facecolor="white", layout="constrained")
    best, smallest = max(size.mean for size in found), smallest_within(found, within)
    drawn = {}
    for axes, (field, title) in zip(figure.subplots(1, len(COSTS), sharey=True), COSTS.items(), strict=True):
        places = {
            size.name: (getattr(size if field == "parameters" else size.costs, field), size.mean) for size in found
        }
        places = {name: place for name, place in places.items() if not math.isnan(place[0])}
        axes.axhspan(best - within, best, color="#2a9d6f", alpha=0.15, linewidth=0)
        for size in found:
            if size.name in places:
                of_seeds = np.nanmean(size.dice, axis=1)
                axes.plot([places[size.name][0]] * 2, [of_seeds.min(), of_seeds.max()], color="#2a9d6f", linewidth=1)
        axes.plot(*zip(*places.values(), strict=True), "o", color="#2a9d6f") if places else None
        if smallest.name in places:
            axes.plot(*places[smallest.name], "o", markersize=13, markerfacecolor="none", color="#c44e52")
        axes.set(xlabel=title)
        if field == "parameters":
            axes.set_xscale("log")
            axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.xaxis.set_major_formatter("{x:,.0f}")
            axes.minorticks_off()
        axes.margins(0.15)
        axes.grid(alpha=0.3)
        drawn[axes] = places
    figure.axes[0].set_ylabel("Dice, mean over labels, cases and seeds")
    for axes, places in drawn.items():
        label_points(axes, places)
    return figure
