"""Results of prunings and trainings of narrow networks, as a table and as pictures."""

import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator
from torch import nn

from lunet_networks.bundle.report.summaries import read_rows
from lunet_networks.bundle.runtime import outputs
from lunet_networks.bundle.runtime.files import write_csv, write_figure
from lunet_networks.bundle.training.history import KEY_METRIC
from lunet_networks.presets import PRESETS, is_lean
from lunet_networks.summary import count_macs, count_parameters
from tools.tables.generated_sections import write_between_marks

COMMAND = "python -m tools.compare_pruning"
COLOURS = ("#c44e52", "#dd8452", "#8172b3")  # of the rules by which channels are picked
LEAN, DOUBLING = "#2a9d6f", "#4c72b0"


@dataclass(frozen=True)
class Step:
    """A network on the way.

    Args:
        parameters: it has.
        macs: multiply-accumulates for a patch.
        dice: mean over the validation cases and labels.
        channels: of every convolution, by its name.
    """

    parameters: int
    macs: int
    dice: float
    channels: Mapping[str, int]


@dataclass(frozen=True)
class Result:
    """A finished run.

    Args:
        contender: whose run.
        seed: of the run.
        pruned: whether channels were removed.
        steps: the network before anything was removed and after every recovery; of a training the one at its end.
    """

    contender: str
    seed: int
    pruned: bool
    steps: Sequence[Step]


def read_pruning(contender: str, seed: int, network: nn.Module, folder: Path) -> Result:
    """The steps in pruning_history.csv of ``network``, as it was before."""
    widths = Counter(network.describe()["conv_channels"])
    steps: dict[str, Step] = {}
    for row in read_rows(folder / outputs.PRUNING_HISTORY):
        widths.subtract([row["layer"]] if row["layer"] else [])
        costs = int(row["parameters"]), int(row["macs"])
        steps[row["step"]] = Step(*costs, float(row["dice_after_recovery"]), dict(widths))
    return Result(contender, seed, True, list(steps.values()))


def read_training(contender: str, seed: int, network: nn.Module, patch_shape: Sequence[int], folder: Path) -> Result:
    """The last epoch in history.csv: the best one was chosen on the same cases, which no pruning step could do."""
    costs = count_parameters(network), count_macs(network, (1, network.in_channels, *patch_shape))
    dice = float(read_rows(folder / outputs.HISTORY)[-1][KEY_METRIC])
    return Result(contender, seed, False, [Step(*costs, dice, network.describe()["conv_channels"])])


def write_results(results: Sequence[Result], planned: int, output_dir: Path, document: Path | None) -> str:
    """Write the table and the pictures.

    Args:
        results: of the runs that are finished.
        planned: number of runs in the end.
        output_dir: for ``comparison.csv``, ``dice.png`` and ``channels.png``.
        document: gets the tables between its marks, and CSV and pictures beside it under its name.

    Returns:
        The tables and where they are, for the screen.
    """
    rows = [row for result in results for row in _rows(result)]
    tables = "\n\n".join(filter(None, (dice_table(results), width_table(results))))
    figures = {"dice": draw_dice(results)}
    if any(result.pruned for result in results):
        figures["channels"] = draw_channels(results)
    write_csv(output_dir / "comparison.csv", rows)
    for name, figure in figures.items():
        write_figure(output_dir / f"{name}.png", figure)
    if document:
        write_between_marks(document, "comparison", COMMAND, tables)
        write_csv(document.with_name(f"{document.stem}_comparison.csv"), rows)
        for name, figure in figures.items():
            write_figure(document.parent / "pictures" / f"{document.stem}_{name}.png", figure)
    return f"{tables}\n\n{len(results)} of {planned} runs: {output_dir / 'comparison.csv'} and the pictures beside it"


def _rows(result: Result) -> list[dict[str, object]]:
    return [
        {
            "contender": result.contender,
            "seed": result.seed,
            "step": number,
            "parameters": step.parameters,
            "macs": step.macs,
            "dice": step.dice,
            "channels": " ".join(f"{name}={width}" for name, width in step.channels.items()),
        }
        for number, step in enumerate(result.steps)
    ]


def by_contender(results: Iterable[Result]) -> dict[str, list[Result]]:
    """The runs of each contender, in the order in which they come."""
    runs: dict[str, list[Result]] = {}
    for result in results:
        runs.setdefault(result.contender, []).append(result)
    return runs


def dice_table(results: Sequence[Result]) -> str:
    """Parameters, multiply-accumulates and Dice of every contender: at the start, after a third, two thirds and all of
    the steps, and its mean over them; mean and standard deviation over the seeds."""
    lines = ["| | steps | parameters | G MACs | Dice | seeds |", "|---|---:|---:|---:|---:|---:|"]
    for name, runs in by_contender(results).items():
        last = min(len(run.steps) for run in runs) - 1
        for number in sorted({round(last * part / 3) for part in range(4)}):
            steps = [run.steps[number] for run in runs]
            parameters = statistics.fmean(step.parameters for step in steps)
            macs = statistics.fmean(step.macs for step in steps)
            title = f"`{name}`" if number == 0 or not runs[0].pruned else ""
            count = number if runs[0].pruned else ""
            dice = _mean_and_deviation([step.dice for step in steps])
            lines.append(f"| {title} | {count} | {parameters:,.0f} | {macs / 1e9:.3f} | {dice} | {len(runs)} |")
        if last:
            means = [statistics.fmean(step.dice for step in run.steps[1 : last + 1]) for run in runs]
            lines.append(f"| | 1 to {last} | | | {_mean_and_deviation(means)} | {len(runs)} |")
    return "\n".join(lines)


def width_table(results: Sequence[Result]) -> str:
    """Which layers a rule removes channels from, by their width at first; "" if nothing was removed."""
    pruned = by_contender(result for result in results if result.pruned)
    if not pruned:
        return ""
    first = next(iter(pruned.values()))[0].steps[0].channels
    widths = sorted(set(first.values()))
    lines = [
        f"| share of layers with so many channels at first | {' | '.join(map(str, widths))} |",
        f"|---|{'---:|' * len(widths)}",
        f"| of all channels | {' | '.join(_shares(Counter(first), first, widths))} |",
    ]
    for name, runs in pruned.items():
        last = min(len(run.steps) for run in runs) - 1
        for title, number in {"first third": round(last / 3), "all": last}.items():
            removed: Counter[str] = Counter()
            for run in runs:
                removed.update({layer: width - run.steps[number].channels[layer] for layer, width in first.items()})
            lines.append(f"| of what `{name}` removed, {title} | {' | '.join(_shares(removed, first, widths))} |")
    return "\n".join(lines)


def _shares(counted: Counter[str], first: Mapping[str, int], widths: Sequence[int]) -> list[str]:
    of_width = {width: sum(counted[layer] for layer in first if first[layer] == width) for width in widths}
    return [f"{count / max(1, counted.total()):.0%}" for count in of_width.values()]


def _mean_and_deviation(values: Sequence[float]) -> str:
    deviation = f" ± {statistics.stdev(values):.4f}" if len(values) > 1 else ""
    return f"{statistics.fmean(values):.4f}{deviation}"


def draw_dice(results: Sequence[Result]) -> Figure:
    """Dice over parameters: a line for every rule, a point for every network that was trained from scratch, mean and
    standard deviation over the seeds."""
    figure = Figure(figsize=(8, 4.8), facecolor="white", layout="constrained")
    axes = figure.subplots()
    colours = iter(COLOURS)
    for name, runs in by_contender(results).items():
        last = min(len(run.steps) for run in runs)
        dice = np.array([[step.dice for step in run.steps[:last]] for run in runs])
        parameters = np.mean([[step.parameters for step in run.steps[:last]] for run in runs], axis=0)
        deviation = dice.std(axis=0, ddof=1) if len(runs) > 1 else None
        lean = name in PRESETS and is_lean(name)
        style = (
            {"marker": ".", "color": next(colours), "label": f"pruned, {name}"}
            if runs[0].pruned
            else {"marker": "o" if lean else "s", "color": LEAN if lean else DOUBLING, "label": name}
        )
        axes.errorbar(parameters, dice.mean(axis=0), deviation, capsize=2, linewidth=1.2, **style)
    axes.set(xscale="log", xlabel="parameters", ylabel="mean Dice of the validation cases")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.minorticks_off()
    axes.invert_xaxis()
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    return figure


def draw_channels(results: Sequence[Result]) -> Figure:
    """The share of its channels that every layer has left after each step, one panel per rule, mean over seeds."""
    pruned = by_contender(result for result in results if result.pruned)
    figure = Figure(figsize=(3.2 + 3 * len(pruned), 5), facecolor="white", layout="constrained")
    image = None
    for number, (name, runs) in enumerate(pruned.items()):
        axes: Axes = figure.add_subplot(1, len(pruned), number + 1)
        first = runs[0].steps[0].channels
        last = min(len(run.steps) for run in runs)
        left = [
            [statistics.fmean(run.steps[step].channels[layer] for run in runs) / width for step in range(last)]
            for layer, width in first.items()
        ]
        image = axes.imshow(left, aspect="auto", vmin=0, vmax=1, cmap="viridis", interpolation="nearest")
        labels = [f"{layer}  {width}" for layer, width in first.items()] if number == 0 else [""] * len(first)
        axes.set_yticks(range(len(first)), labels, fontsize=8)
        axes.set(title=name, xlabel="step")
    figure.colorbar(image, ax=figure.axes, label="share of the channels that is left")
    return figure
