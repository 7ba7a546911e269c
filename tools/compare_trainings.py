"""Compare trainings on the same cases: a table, lean networks against their twins, and a picture."""

import json
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from lunet_networks import PRESETS, create_network
from lunet_networks.authoring.command_line import run_commands
from lunet_networks.bundle.data.labels import count_outputs
from lunet_networks.bundle.evaluation.ranking import mean_dice
from lunet_networks.bundle.evaluation.tables import read_cases
from lunet_networks.bundle.report.summaries import TITLES, means_by_label, read_rows
from lunet_networks.bundle.runtime.files import write_figure
from lunet_networks.presets import conventional_twin, is_lean
from lunet_networks.summary import count_macs, count_parameters
from tools import ROOT
from tools.tables.generated_sections import write_between_marks
from tools.tables.labels import label_points

INPUT_SHAPE = (1, 1, 64, 64, 64)
FORMATS = {"dice": ".3f", "hd95_mm": ".2f", "nsd_1mm": ".3f"}
RESAMPLINGS = 10_000
KINDS = {True: ("lean", "#2a9d6f"), False: ("channels grow from level to level", "#4c72b0")}  # whether it is lean


@dataclass(frozen=True)
class Training:
    """What a training cost and how well it did.

    Args:
        preset: that was trained.
        settings: of the run.
        validation: names of the cases.
        means: by label and metric.
        dice: of each case with a label, the mean over its labels.
        parameters: with the outputs of the run.
        macs: at ``INPUT_SHAPE``.
        seconds: an epoch.
    """

    preset: str
    settings: Mapping[str, Any]
    validation: Sequence[str]
    means: Mapping[tuple[str, str], float]
    dice: Mapping[str, float]
    parameters: int
    macs: int
    seconds: float


def compare_trainings(
    runs_dir: str, timing_dir: str, machine: str, document: str = str(ROOT / "docs" / "results.md")
) -> None:
    """Write the tables of trainings on the same cases into a document, and their picture beside it.

    Args:
        runs_dir: holds a folder for each training, in it eval with run.json, summary.csv and cases.csv.
        timing_dir: the same for short trainings on an idle machine; the seconds are taken from these.
        machine: on which they were timed, in words.
        document: with the marks between which the tables go.
    """
    trainings = [_read(folder, Path(str(timing_dir))) for folder in sorted(Path(str(runs_dir)).glob("*/eval"))]
    if not trainings:
        raise FileNotFoundError(f"{runs_dir} holds no folders with a training's eval")
    _check_equal_budget(trainings)
    trainings.sort(key=lambda training: PRESETS.names.index(training.preset))
    path = Path(str(document))
    picture = path.parent / "pictures" / f"{path.stem}.png"
    write_figure(picture, draw_trainings(trainings))
    text = "\n\n".join((_budget(trainings, machine), _table(trainings), _twins(trainings)))
    write_between_marks(path, "trainings", "python -m tools.compare_trainings", text)
    print(f"{path} and {picture} written")


def _read(folder: Path, timing_dir: Path) -> Training:
    run = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    settings = run["settings"]
    network = create_network(
        settings["preset"],
        in_channels=settings["in_channels"],
        out_channels=count_outputs(settings["label_names"]),
    )
    by_case = {case: mean_dice(found) for case, found in read_cases(folder / "cases.csv").items()}
    timed = read_rows(timing_dir / folder.parent.name / "eval" / "history.csv")
    return Training(
        preset=settings["preset"],
        settings=settings,
        validation=run["cases"]["validation"],
        means=means_by_label(read_rows(folder / "summary.csv")),
        dice={case: dice for case, dice in by_case.items() if not math.isnan(dice)},
        parameters=count_parameters(network),
        macs=count_macs(network, INPUT_SHAPE),
        seconds=min(float(row["seconds"]) for row in timed),
    )


def _check_equal_budget(trainings: Sequence[Training]) -> None:
    first = trainings[0]
    for other in trainings[1:]:
        differing = [
            name
            for name in ("epochs", "batch_size", "learning_rate", "loss_name", "augment", "seed", "fold", "num_folds")
            if other.settings[name] != first.settings[name]
        ]
        if other.validation != first.validation:
            differing.append("validation cases")
        if differing:
            raise ValueError(f"{first.preset} and {other.preset} differ in {', '.join(differing)}: not an equal budget")


def _budget(trainings: Sequence[Training], machine: str) -> str:
    settings = trainings[0].settings
    return (
        f"Each network trained {settings['epochs']} epochs with batch size {settings['batch_size']}, learning rate "
        f"{settings['learning_rate']:g}, loss {settings['loss_name']}, schedule {settings['scheduler_name']}, seed "
        f"{settings['seed']}. Means over the {len(trainings[0].validation)} validation cases of fold "
        f"{settings['fold']} of {settings['num_folds']}, which also chose the best epoch. Seconds an epoch, validation "
        f"included: {machine}. MACs at {' x '.join(map(str, INPUT_SHAPE))}."
    )


def _table(trainings: Sequence[Training]) -> str:
    labels = trainings[0].settings["label_names"]
    columns = [f"{title} {label}" for title in TITLES.values() for label in labels]
    lines = [
        f"| preset | parameters | MACs | s an epoch | {' | '.join(columns)} |",
        f"|---|{'---:|' * (3 + len(columns))}",
    ]
    for training in trainings:
        figures = [_figure(training.means[label, metric], metric) for metric in TITLES for label in labels]
        cost = f"{training.parameters:,} | {training.macs / 1e9:.2f} G | {training.seconds:.0f}"
        lines.append(f"| `{training.preset}` | {cost} | {' | '.join(figures)} |")
    return "\n".join(lines)


def _figure(mean: float, metric: str) -> str:
    return "-" if math.isnan(mean) else f"{mean:{FORMATS[metric]}}"


def _twins(trainings: Sequence[Training]) -> str:
    """Lean networks against their conventional twins, case by case."""
    lines = [
        "| lean against conventional | parameters | MACs | s an epoch | Dice: mean of the differences by case [95 %] |",
        "|---|---:|---:|---:|---|",
    ]
    for lean, twin in _pairs(trainings):
        low, mean, high = _difference(lean.dice, twin.dice)
        lines.append(
            f"| `{lean.preset}`, `{twin.preset}` | {twin.parameters / lean.parameters:.1f} x fewer | "
            f"{twin.macs / lean.macs:.2f} x fewer | {twin.seconds / lean.seconds:.2f} x fewer | "
            f"{mean:+.4f} [{low:+.4f}, {high:+.4f}] |"
        )
    return "\n".join(lines)


def _difference(dice: Mapping[str, float], other: Mapping[str, float]) -> tuple[float, float, float]:
    """Mean of the differences by case, of those that both measured, between the bounds of its bootstrap interval."""
    differences = np.array([dice[case] - other[case] for case in sorted(dice.keys() & other.keys())])
    drawn = np.random.default_rng(0).choice(differences, (RESAMPLINGS, len(differences))).mean(axis=1)
    return float(np.percentile(drawn, 2.5)), float(differences.mean()), float(np.percentile(drawn, 97.5))


def _pairs(trainings: Sequence[Training]) -> list[tuple[Training, Training]]:
    """The lean networks with their conventional twins, where both were trained."""
    by_preset = {training.preset: training for training in trainings}
    pairs = [(lean, by_preset.get(conventional_twin(lean.preset))) for lean in trainings]
    return [(lean, twin) for lean, twin in pairs if twin]


def draw_trainings(trainings: Sequence[Training]) -> Figure:
    """Draw mean Dice over parameters and over seconds an epoch, the lean networks and their twins joined by a line."""
    figure = Figure(figsize=(10, 4.6), facecolor="white", layout="constrained")
    costs = {"parameters": "parameters", "seconds": "seconds an epoch"}
    drawn = {}
    for axes, (field, title) in zip(figure.subplots(1, 2, sharey=True), costs.items(), strict=True):
        places = {each.preset: (getattr(each, field), statistics.fmean(each.dice.values())) for each in trainings}
        for lean, twin in _pairs(trainings):
            ends = places[lean.preset], places[twin.preset]
            axes.plot(*zip(*ends, strict=True), color="#999999", linewidth=0.8, zorder=0)
        for lean, (kind, colour) in KINDS.items():
            of_kind = [place for preset, place in places.items() if is_lean(preset) == lean]
            axes.plot([cost for cost, _ in of_kind], [dice for _, dice in of_kind], "o", color=colour, label=kind)
        axes.set(xscale="log" if field == "parameters" else "linear", xlabel=title)
        axes.margins(0.12)
        axes.grid(alpha=0.3)
        drawn[axes] = places
    figure.axes[0].set_ylabel("Dice, mean over labels and cases")
    handles, kinds = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, kinds, loc="outside lower center", ncols=len(KINDS), frameon=False)
    for axes, places in drawn.items():
        label_points(axes, places)
    return figure


if __name__ == "__main__":
    run_commands(compare_trainings)
