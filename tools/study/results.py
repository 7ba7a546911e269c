"""What the records say, as tables of docs/results.md and as pictures."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from textwrap import fill
from typing import Any, Protocol, TypeVar

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from lunet_networks import PRESETS
from lunet_networks.authoring.planning.families import FAMILIES, presets_of
from lunet_networks.bundle.evaluation.tables import TABLE, TABLE_2D
from lunet_networks.bundle.training.history import KEY_METRIC
from lunet_networks.presets import conventional_twin, is_lean
from tools.study.datasets import DATASETS
from tools.study.records import Record, dice_by_seed
from tools.study.sizes import WITHIN, Costs, sizes, verdict
from tools.study.statistics import over_seeds, paired_difference
from tools.study.table import title
from tools.tables.labels import label_points

REFERENCE = "lunet_small_4f"  # with which networks without a lean twin are compared
FORMATS = {"dice": ".3f", "hd95": ".2f", "nsd": ".3f", "iou": ".3f", "accuracy": ".3f"}
LEAN, DOUBLING, MONAI = "#2a9d6f", "#4c72b0", "#c44e52"
KINDS = {LEAN: "lean", DOUBLING: "other presets", MONAI: "MONAI's networks"}
FAR_BELOW = 0.12  # of Dice
BESIDE = 1.07  # times the parameters: where a variant of a network is drawn
STYLES = ("-", "--", ":", "-.")  # of a network and its variants
AROUND = 4  # times the largest and the smallest number of parameters: a power of ten is on the axis
TITLE_WIDTH = 140  # characters
LEAST_SPAN = 0.04  # of an axis of Dice, so that differences that a seed makes do not look large
SHOWN_BELOW = 0.15  # of Dice, below the lowest end of a training
PRUNED = (
    " Where channels were selected, the trained network was pruned and trained again with as many epochs; the CPU "
    "minutes are those of the pruning and of the second training."
)
CPU_MINUTES = (
    "CPU minutes are the processor time of a training with its validations, on a shared machine whose speed changes by "
    "up to a factor of two; [speed.md](speed.md) compares costs side by side."
)
SAME_RECIPE = ("batch_size", "learning_rate", "loss_name", "scheduler_name", "augment")


@dataclass(frozen=True)
class Trained:
    """A network that was trained with one or several seeds.

    Args:
        records: one a seed.
    """

    records: Sequence[Record]

    @property
    def name(self) -> str:
        """Of the network, and what its settings have of their own."""
        planned = self.records[0].planned
        return title(planned["network"], planned["variant"])

    @property
    def by_the_recipe(self) -> str:
        """The name of the network without the settings of a variant; "" for a pruned one, which is another network."""
        planned = self.records[0].planned
        return "" if planned.get("pruned") else title(planned["network"], None)

    @property
    def parameters(self) -> int:
        """Of the network."""
        return self.records[0].run["parameters"]

    @property
    def dice(self) -> np.ndarray:
        """Of each seed and case."""
        return dice_by_seed(self.records)[1]

    def over_seeds(self, metric: str, label: str) -> tuple[float, float]:
        """Mean and standard deviation over the seeds of the mean over the cases."""
        return over_seeds([record.mean(metric, label) for record in self.records])

    @property
    def cpu_minutes(self) -> float:
        """Of a training, the mean over the seeds."""
        return float(np.mean([record.cpu_minutes for record in self.records]))


@dataclass(frozen=True)
class Comparison:
    """Networks trained on the same cases with as many epochs.

    Args:
        dataset: one of ``DATASETS``.
        part: a fold or split.
        epochs: of each training.
        networks: in the order of their parameters.
    """

    dataset: str
    part: str
    epochs: int
    networks: Sequence[Trained]

    @property
    def name(self) -> str:
        """Of files and marks."""
        return f"{self.dataset}_{self.part}_{self.epochs}_epochs"


class Named(Protocol):
    """What has the name of a network."""

    @property
    def name(self) -> str: ...

    @property
    def by_the_recipe(self) -> str: ...


Network = TypeVar("Network", bound=Named)


def pairs_of(networks: Sequence[Network]) -> list[tuple[Network, Network]]:
    """Which networks are compared: a lean one with its twin, a variant with the network by the recipe, and any other
    with the small lean one."""
    by_name = {network.name: network for network in networks}
    twins = {name: conventional_twin(name) for name in by_name if name in PRESETS}
    pairs = [(by_name[name], by_name[twin]) for name, twin in twins.items() if twin in by_name]
    paired = {REFERENCE, *(each.name for pair in pairs for each in pair)}
    for name, network in by_name.items():
        other = network.by_the_recipe if network.by_the_recipe in by_name.keys() - {name} else REFERENCE
        if name not in paired and other in by_name:
            pairs.append((network, by_name[other]))
    return pairs


def comparisons(records: Sequence[Record]) -> list[Comparison]:
    """The records by what can be compared, datasets in the order of ``DATASETS``."""
    groups: dict[tuple[str, str, int], dict[str, list[Record]]] = {}
    for record in records:
        planned = record.planned
        key = planned["dataset"], planned["part"], planned["epochs"]
        groups.setdefault(key, {}).setdefault(record.group, []).append(record)
    return [
        Comparison(*key, sorted(map(Trained, networks.values()), key=lambda each: (each.parameters, each.name)))
        for key, networks in sorted(groups.items(), key=lambda group: _place(*group[0]))
    ]


def _place(dataset: str, part: str, epochs: int) -> tuple[Any, ...]:
    """In the document: the splits of a dataset stand together where they have as many epochs."""
    found = [*DATASETS].index(dataset)
    return (found, epochs, part) if DATASETS[dataset].splits else (found, part, epochs)


def section(compared: Comparison, picture: str) -> str:
    """The part of the document for a comparison."""
    dataset = DATASETS[compared.dataset]
    heading = f"## {dataset.heading}: {compared.part}, {compared.epochs} epochs"
    how = f"{budget([compared])} Mean over the cases, with several seeds ± the standard deviation over the seeds."
    if dataset.spatial_dims == 2:
        how += " A pixel counts as 1 mm."
    parts = [heading, how, f"![Dice of the networks]({picture})", table(compared), differences(compared)]
    parts += smallest_of_families(compared)
    return "\n\n".join(filter(None, parts))


def budget(compared: Sequence[Comparison]) -> str:
    """How the networks of comparisons with as many cases were trained, in some sentences."""
    records = [record for each in compared for record in _records(each)]
    plain = [record for record in records if not record.planned["variant"]] or records
    cases, settings = plain[0].run["cases"], plain[0].run["settings"]
    recipes = {tuple(each.run["settings"][name] for name in SAME_RECIPE) for each in plain}
    same = (
        f"by the same recipe: batch size {settings['batch_size']}, learning rate {settings['learning_rate']:g}, loss "
        f"{settings['loss_name']}, schedule {settings['scheduler_name']}"
        if len(recipes) == 1
        else "each by the recipe of its bundle"
    )
    variants = {
        record.planned["variant"]: {**record.planned["settings"], **record.planned.get("pruned", {})}
        for record in records
        if record.planned["variant"]
    }
    return (
        f"{cases['training']} training and {cases['validation']} validation cases, {same}.{_in_words(variants)} The "
        f"validation cases also chose the best epoch. {CPU_MINUTES}"
    )


def _in_words(variants: Mapping[str, Mapping[str, Any]]) -> str:
    """What variants of the recipe have of their own."""
    told = "; ".join(
        f"`{variant}`: {', '.join(f'{name} {value}' for name, value in settings.items())}"
        for variant, settings in variants.items()
    )
    return f" Variants of it: {told}.{PRUNED if 'selection ' in told else ''}" if told else ""


def table(compared: Comparison) -> str:
    """Costs and metrics of every network."""
    labels = compared.networks[0].records[0].labels
    titles = TABLE | (TABLE_2D if DATASETS[compared.dataset].spatial_dims == 2 else {})
    columns = [(metric, label) for metric in titles for label in labels]
    named = [f"{titles[metric]} {label}" if len(labels) > 1 else titles[metric] for metric, label in columns]
    lines = [
        f"| network | parameters | G MACs | CPU min | seeds | {' | '.join(named)} |",
        f"|---|{'---:|' * (4 + len(columns))}",
    ]
    for network in compared.networks:
        run = network.records[0].run
        cost = f"{network.parameters:,} | {run['macs'] / 1e9:.2f} | {network.cpu_minutes:.0f} | {len(network.records)}"
        cells = [_figure(*network.over_seeds(metric, label), metric) for metric, label in columns]
        lines.append(f"| `{network.name}` | {cost} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _figure(mean: float, deviation: float, metric: str) -> str:
    if math.isnan(mean):
        return "-"
    return f"{mean:{FORMATS[metric]}}" + ("" if math.isnan(deviation) else f" ± {deviation:{FORMATS[metric]}}")


def differences(compared: Comparison) -> str:
    """The pairs with the difference of their Dice; "" if there is no pair."""
    pairs = pairs_of(compared.networks)
    if not pairs:
        return ""
    lines = [
        "| first, second | parameters, first / second | seeds | Dice, first less second [95 %] |",
        "|---|---:|---:|---|",
    ]
    for one, other in pairs:
        seeds = f"{len(one.records)}, {len(other.records)}"
        ratio = f"{one.parameters / other.parameters:.3g}"
        found = paired_difference(one.dice, other.dice)
        lines.append(f"| `{one.name}`, `{other.name}` | {ratio} | {seeds} | {found} |")
    return "\n".join(lines)


def smallest_of_families(compared: Comparison) -> list[str]:
    """How small a network of a family can be, in a sentence for each family of which at least three sizes were trained
    by its recipe."""
    plain = [network for network in compared.networks if network.records[0].planned["variant"] is None]
    told = []
    for family in FAMILIES:
        records = {network.name: network.records for network in plain if network.name in presets_of(family)}
        if len(records) > 2:
            found = sizes(records, dict.fromkeys(records, Costs(math.nan, math.nan)))
            told.append(f"How small can it be? Of `{family}`, {verdict(found, WITHIN)}")
    return told


def _records(compared: Comparison) -> list[Record]:
    return [record for network in compared.networks for record in network.records]


def draw(compared: Comparison) -> Figure:
    """Dice over parameters, a bar from the worst to the best seed; and the best Dice so far over the processor time.
    Variants of a network stand beside it in the first chart only. Networks far below the best, as those that never left
    Dice 0, are named in the title instead, unless they are all the others."""
    figure = Figure(figsize=(11, 4.6), facecolor="white", layout="constrained")
    points, times = figure.subplots(1, 2)
    means = {network.name: float(np.nanmean(network.dice)) for network in compared.networks}
    drawn = [network for network in compared.networks if means[network.name] > max(means.values()) - FAR_BELOW]
    if len(drawn) == 1:  # which would compare nothing
        drawn = compared.networks
    if below := [name for name in means if name not in {network.name for network in drawn}]:
        told = ", ".join(f"{name}\N{NO-BREAK SPACE}{means[name]:.2f}" for name in below)
        figure.suptitle(fill(f"below, with their Dice: {told}", TITLE_WIDTH), fontsize=9)
    places: dict[str, tuple[float, float]] = {}
    ends: dict[str, tuple[float, float]] = {}
    names = {network.name for network in drawn}
    alike = Counter[str]()  # drawn so far, of each network
    for network in drawn:
        of_seeds = np.nanmean(network.dice, axis=1)
        preset = network.records[0].planned["network"]
        place = network.parameters * BESIDE ** alike[preset]
        look = {"color": colour_of(network), "linestyle": STYLES[alike[preset] % len(STYLES)]}
        alike[preset] += 1
        places[network.name] = (place, float(of_seeds.mean()))
        points.plot([place] * 2, [of_seeds.min(), of_seeds.max()], linewidth=1.2, **look)
        points.plot(*places[network.name], "o", color=look["color"])
        if network.name == network.by_the_recipe or network.by_the_recipe not in names:
            _draw_history(times, network, look)
            ends[network.name] = _end(network.records[0])
    points.set(xscale="log", xlabel="parameters", ylabel="Dice, mean over labels, cases and seeds")
    of_all = [place for place, _ in places.values()]
    points.set_xlim(min(of_all) / AROUND, max(of_all) * AROUND)
    points.xaxis.set_minor_formatter(NullFormatter())
    times.margins(x=0.12)
    times.set(xlabel="minutes of processor time", ylabel="best Dice of a validation so far")
    for axes in (points, times):
        axes.margins(y=0.12)
        axes.grid(alpha=0.3)
    add_legend(figure, drawn)
    lowest, highest = (pick(best for _, best in ends.values()) for pick in (min, max))
    times.set_ylim(max(0.0, lowest - SHOWN_BELOW), highest + LEAST_SPAN / 2)
    low, high = points.get_ylim()
    wider = max(0.0, LEAST_SPAN - (high - low)) / 2
    points.set_ylim(low - wider, high + wider)
    label_points(points, places)
    label_points(times, ends)
    return figure


def add_legend(figure: Figure, drawn: Sequence[Trained]) -> None:
    """Below the figure: the kinds of networks that are drawn."""
    colours = {colour_of(network) for network in drawn}
    kinds = {colour: kind for colour, kind in KINDS.items() if colour in colours}
    handles = [figure.axes[0].plot([], [], "o", color=colour, label=kind)[0] for colour, kind in kinds.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(kinds), frameon=False)


def _draw_history(axes: Axes, network: Trained, look: Mapping[str, Any]) -> None:
    for record in network.records:
        minutes, best = _progress(record)
        axes.plot(minutes, best, linewidth=0.9, alpha=0.8, **look)


def _progress(record: Record) -> tuple[np.ndarray, np.ndarray]:
    """Minutes of processor time until each epoch, and the best mean Dice of a validation until then."""
    dice = np.array([row.get(KEY_METRIC, math.nan) for row in record.history])
    minutes = np.cumsum([row["cpu_seconds"] for row in record.history]) / 60
    return minutes, np.fmax.accumulate(np.nan_to_num(dice))


def _end(record: Record) -> tuple[float, float]:
    minutes, best = _progress(record)
    return float(minutes[-1]), float(best[-1])


def colour_of(network: Trained) -> str:
    """By its kind: lean, another preset, or one of MONAI's."""
    name = network.records[0].planned["network"]
    if name not in PRESETS:
        return MONAI
    return LEAN if is_lean(name) else DOUBLING
