"""What a comparison of speed has come to, as a table and as a chart."""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lunet_networks.authoring.planning.families import FAMILIES, presets_of
from lunet_networks.bundle.report.found_training import RECORDS
from lunet_networks.bundle.report.summaries import label_dice, read_rows
from tools.repository import ROOT
from tools.speed.contenders import ENGINES, PRODUCT_SIZE
from tools.tables.peers import VOLUME_PEERS

Row = Mapping[str, str]
COLOURS = {"lunet": "#2a9d6f", "unet": "#4c72b0", "lunetpp": "#8cc63f", "unetpp": "#8172b3"}
OTHERS, PEER_COLOUR = "#dd8452", "#8a8a8a"


def conditions(about: Mapping[str, Any]) -> str:
    """Where and how it was measured, in a line.

    Example:
        >>> conditions({"cpu": "X", "torch": "2.13.0", "threads": 2})
        'cpu X, torch 2.13.0, threads 2'
    """
    return ", ".join(f"{name} {value}" for name, value in about.items() if value is not None)


def by_network(rows: Iterable[Row]) -> dict[tuple[str, int], dict[str, Row]]:
    """The rows of each network and size, by form."""
    networks: dict[tuple[str, int], dict[str, Row]] = {}
    for row in rows:
        networks.setdefault((row["network"], int(row["size"])), {})[row["form"]] = row
    return networks


def speed_table(rows: Sequence[Row]) -> str:
    """A Markdown table for every size, and the conditions."""
    parts = []
    for size in sorted({int(row["size"]) for row in rows}):
        lines = [
            f"| {size} x {size} x {size} | published, ms | ours | deployed | ONNX Runtime | OpenVINO "
            "| published / deployed | best engine / deployed | share of a matrix product |",
            f"|---|{'---:|' * 8}",
        ]
        lines += [_line(name, forms) for (name, of_size), forms in by_network(rows).items() if of_size == size]
        parts.append("\n".join(lines))
    return "\n\n".join([*parts, *_runs(rows)])


def _runs(rows: Sequence[Row]) -> list[str]:
    """The conditions of every run, with the networks that it measured if there was another one."""
    runs: dict[str, dict[str, None]] = {}
    for row in rows:
        runs.setdefault(row["conditions"], {})[f"`{row['network']}` at {row['size']}"] = None
    if len(runs) == 1:
        return [f"Measured with: {about}." for about in runs]
    return [f"{', '.join(networks)}: measured with {about}." for about, networks in runs.items()]


def _line(name: str, forms: Mapping[str, Row]) -> str:
    seconds = {form: float(row["seconds"]) for form, row in forms.items()}
    times = [
        f"{1e3 * seconds[form]:.1f}" if form in seconds else "" for form in ("published", "ours", "deployed", *ENGINES)
    ]
    first = next(iter(forms.values()))
    best = seconds.get("deployed", min(seconds.values()))
    rate = int(first["macs"]) / best
    product_rate = PRODUCT_SIZE**3 / float(first["product_seconds"])
    ratios = ["", ""]
    if "deployed" in seconds:
        engine = min(seconds[each] for each in ENGINES)
        ratios = [f"{seconds['published'] / best:.1f}", f"{engine / best:.2f}"]
    title = f"MONAI's {name}" if name in VOLUME_PEERS else f"`{name}`"
    return f"| {title} | {' | '.join([*times, *ratios, f'{rate / product_rate:.0%}'])} |"


def draw_latency(rows: Sequence[Row]) -> Figure:
    """Milliseconds of a volume of 64 x 64 x 64 against parameters, and against the Dice of the weights that come with
    the bundles."""
    figure = Figure(figsize=(11, 4.6), layout="constrained")
    against_parameters, against_dice = figure.subplots(1, 2, width_ratios=(3, 2))
    networks = {name: forms for (name, size), forms in by_network(rows).items() if size == 64}
    dice = trained_dice()
    for name, forms in networks.items():
        family = name.partition("_")[0]
        colour = PEER_COLOUR if name in VOLUME_PEERS else COLOURS.get(family, OTHERS)
        chosen = forms.get("deployed") or min(forms.values(), key=lambda row: float(row["seconds"]))
        milliseconds, parameters = 1e3 * float(chosen["seconds"]), int(chosen["parameters"])
        marker = "s" if name in VOLUME_PEERS else "o"
        against_parameters.plot(parameters, milliseconds, marker, color=colour, markersize=6)
        if "deployed" in forms:
            published = 1e3 * float(forms["published"]["seconds"])
            against_parameters.plot([parameters] * 2, [milliseconds, published], color=colour, linewidth=0.8, alpha=0.5)
            against_parameters.plot(parameters, published, "_", color=colour, markersize=6, alpha=0.7)
        if name in VOLUME_PEERS or family not in COLOURS or name in dice:
            _name(against_parameters, name, parameters, milliseconds)
        if name in dice:
            against_dice.plot(dice[name], milliseconds, marker, color=colour, markersize=6)
            _name(against_dice, name, dice[name], milliseconds)
    against_parameters.set(xscale="log", yscale="log", xlabel="parameters", ylabel="ms, 64 x 64 x 64, batch 1")
    against_parameters.set_title("deployed (dot) and as published (dash); peers in their best engine", fontsize=10)
    against_dice.set(yscale="log", xlabel="mean Dice, hippocampus (weights of the bundles)")
    against_dice.margins(x=0.18)
    for axes in (against_parameters, against_dice):
        axes.grid(alpha=0.25, which="both")
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def _name(axes: Axes, name: str, x: float, y: float) -> None:
    axes.annotate(name, (x, y), xytext=(4, 4), textcoords="offset points", fontsize=7)


def trained_dice() -> dict[str, float]:
    """Mean Dice of the weights that come with the bundles, by preset."""
    dice = {}
    for bundle, family in FAMILIES.items():
        for preset in presets_of(bundle):
            path = family.records_of(ROOT / "bundles" / bundle, preset) / RECORDS["summary.csv"]
            if path.is_file():
                dice[preset] = statistics.fmean(label_dice(read_rows(path)).values())
    return dice
