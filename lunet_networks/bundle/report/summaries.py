"""Read the results of a training and its evaluation, for documents and tables."""

import csv
import math
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from lunet_networks.bundle.evaluation.metrics import WHOLE
from lunet_networks.bundle.evaluation.tables import COLUMNS, TABLE
from lunet_networks.bundle.runtime.settings import SETTINGS
from lunet_networks.bundle.training.history import History, as_rows

TITLES = {COLUMNS[field]: title for field, title in TABLE.items()}  # of the metrics in summary.csv that tables show

Rows = Iterable[Mapping[str, str]]


def read_rows(path: str | Path) -> list[dict[str, str]]:
    """The rows of a CSV file."""
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def best_epoch(history: Rows) -> str:
    """The epoch of the best weights, as the training chose it; "?" if no epoch was validated.

    Example:
        >>> best_epoch([{"epoch": "1", "val_mean_dice": "0.5"}, {"epoch": "2", "val_mean_dice": ""}])
        '1'
    """
    read = History("", label_names=[])
    read.rows = as_rows(history)
    best = read.best
    return "?" if best is None else str(best["epoch"])


def means_by_label(summary: Rows) -> dict[tuple[str, str], float]:
    """The means in summary.csv by label and metric; nan if no case has the metric."""
    return {(row["label"], row["metric"]): float(row["mean"] or "nan") for row in summary}


def label_dice(summary: Rows) -> dict[str, float]:
    """Mean Dice of each label, without their union and without labels that no case has."""
    means = {label: mean for (label, metric), mean in means_by_label(summary).items() if metric == "dice"}
    return {label: mean for label, mean in means.items() if label != WHOLE and not math.isnan(mean)}


def num_cases(summary: Rows) -> int:
    """The number of cases in summary.csv; a metric may have fewer, but every case has volumes."""
    return max(int(row["n"]) for row in summary)


def means_table(summary: Rows) -> str:
    """The means as a Markdown table, one row per label."""
    means = means_by_label(summary)
    lines = [f"| label | {' | '.join(TITLES.values())} |", f"|---|{'---:|' * len(TITLES)}"]
    for label in dict.fromkeys(label for label, _ in means):
        figures = (means.get((label, metric), math.nan) for metric in TITLES)
        name = label.replace("|", "\\|")
        lines.append(f"| {' | '.join([name, *('-' if math.isnan(mean) else f'{mean:.3f}' for mean in figures)])} |")
    return "\n".join(lines)


def other_settings(used: Mapping[str, Any], defaults: Mapping[str, Any], besides: Collection[str] = ()) -> str:
    """The settings of a training that differ from the bundle's and change its result, as options; "" if there are none.

    Args:
        used: settings of the training.
        defaults: settings of the bundle.
        besides: settings to leave out.

    Example:
        >>> other_settings({"epochs": 30, "seed": 42, "resume": True}, {"epochs": 100, "seed": 42, "resume": False})
        '`--epochs 30`'
    """
    return " ".join(
        f"`--{name} {value}`"
        for name, value in used.items()
        if name in (SETTINGS.keys() & defaults.keys()) - set(besides)
        and SETTINGS[name].changes_result
        and value != defaults[name]
    )
