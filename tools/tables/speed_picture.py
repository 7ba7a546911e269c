"""The chart of speed: milliseconds against parameters, and against the Dice of the weights that come with bundles."""

import statistics
from collections.abc import Mapping

import matplotlib
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullFormatter

from lunet_networks.authoring.planning.families import FAMILIES, presets_of
from lunet_networks.bundle.report.summaries import label_dice, read_rows
from lunet_networks.bundle.runtime import outputs
from lunet_networks.bundle.runtime.outputs import RECORDS
from tools import ROOT
from tools.tables.cost_tables import IN_README
from tools.tables.labels import label_points
from tools.tables.networks import MONAI, Subject, family, subjects
from tools.tables.record import Record

SIZE = 64
GREY = "#555555"


def draw_speed(record: Record) -> Figure:
    """Draw the presets as they are here and as they are published, and peers in their fastest form.

    Args:
        record: whose networks with times for 64 x 64 x 64 are drawn; the others are left out.
    """
    figure = Figure(figsize=(10, 5), facecolor="white", layout="constrained")
    against_parameters, against_dice = figure.subplots(1, 2, width_ratios=(3, 2))
    of_size = [subject for subject in subjects() if subject.size == SIZE]
    here = {subject: time for subject in of_size if (time := _milliseconds(record, subject)) is not None}
    families = dict.fromkeys(family(subject.network) for subject in of_size)
    colours = dict(zip(families, matplotlib.colormaps["tab10"].colors, strict=False))
    places = {subject: (record.figures(subject)["parameters"], time) for subject, time in here.items()}
    published = {
        subject: (places[subject][0], time)
        for subject in here
        if not subject.is_peer and (time := record.milliseconds(subject, "published")) is not None
    }
    for subject, place in published.items():
        colour = colours[family(subject.network)]
        against_parameters.plot(*zip(place, places[subject], strict=True), color=colour, linewidth=0.7, alpha=0.35)
        against_parameters.plot(*place, "_", color=colour, markersize=7)
    dice = trained_dice()
    trained = {subject: (dice[subject.network], here[subject]) for subject in here if subject.network in dice}
    for axes, drawn in ((against_parameters, places), (against_dice, trained)):
        for subject, place in drawn.items():
            axes.plot(*place, "s" if subject.is_peer else "o", color=colours[family(subject.network)], markersize=6)
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
        axes.margins(0.08)
    against_parameters.set(xscale="log", xlabel="parameters", ylabel=f"ms for {SIZE} x {SIZE} x {SIZE}, batch 1")
    against_dice.set(xlabel="mean Dice of trained weights, hippocampus")
    _add_legend(figure, colours)
    named = {subject.network: place for subject, place in places.items() if subject.is_peer}
    named |= {subject.network: place for subject, place in places.items() if subject.network in IN_README}
    label_points(against_parameters, named)
    label_points(against_dice, {subject.network: place for subject, place in trained.items()})
    return figure


def _milliseconds(record: Record, subject: Subject) -> float | None:
    """Milliseconds of a preset as it is here, or of a peer in its fastest form."""
    times = (record.milliseconds(subject, "published"), record.best_engine(subject))
    return min(filter(None, times), default=None) if subject.is_peer else record.milliseconds(subject, "ours")


def _add_legend(figure: Figure, colours: Mapping[str, tuple[float, ...]]) -> None:
    handles = [
        Line2D([], [], linestyle="", marker="s" if title == MONAI else "o", color=colour, label=title)
        for title, colour in colours.items()
    ]
    handles.append(Line2D([], [], linestyle="", marker="o", color=GREY, label="as they are here"))
    handles.append(Line2D([], [], linestyle="", marker="_", markersize=9, color=GREY, label="as published"))
    figure.legend(handles=handles, loc="outside lower center", ncols=5, fontsize=9, frameon=False)


def trained_dice() -> dict[str, float]:
    """Mean Dice of the weights that come with the bundles for the hippocampus, by preset."""
    dice = {}
    for bundle, of_bundle in FAMILIES.items():
        if of_bundle.colours:
            continue
        for preset in presets_of(bundle):
            path = of_bundle.records_of(ROOT / "bundles" / bundle, preset) / RECORDS[outputs.SUMMARY]
            if path.is_file():
                dice[preset] = statistics.fmean(label_dice(read_rows(path)).values())
    return dice
