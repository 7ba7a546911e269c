"""What a training and the evaluation after it wrote, as documents and tables repeat it."""

import csv
import math
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from lunet_networks.bundle.evaluation.metrics import WHOLE
from lunet_networks.bundle.evaluation.tables import COLUMNS, TABLE

TITLES = {COLUMNS[field]: title for field, title in TABLE.items()}  # of the metrics in summary.csv that tables show
# settings that do not change what was trained
OF_A_RUN = {"resume", "overwrite", "num_workers", "cache_rate", "save_interval", "val_interval"}

Rows = Iterable[Mapping[str, str]]


def read_rows(path: str | Path) -> list[dict[str, str]]:
    """The rows of a CSV file."""
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def best_epoch(history: Rows) -> str:
    """The epoch of the best weights, the first of equals; "?" where none was validated.

    Example:
        >>> best_epoch([{"epoch": "1", "val_mean_dice": "0.5"}, {"epoch": "2", "val_mean_dice": ""}])
        '1'
    """
    validated = [row for row in history if row["val_mean_dice"]]
    return max(validated, key=lambda row: float(row["val_mean_dice"]))["epoch"] if validated else "?"


def means_by_label(summary: Rows) -> dict[tuple[str, str], float]:
    """The means in summary.csv by label and metric; nan where no case has it."""
    return {(row["label"], row["metric"]): float(row["mean"] or "nan") for row in summary}


def label_dice(summary: Rows) -> dict[str, float]:
    """Mean Dice of each label, without their union."""
    means = means_by_label(summary)
    return {label: mean for (label, metric), mean in means.items() if metric == "dice" and label != WHOLE}


def means_table(summary: Rows) -> str:
    """The means as a Markdown table, a row a label."""
    means = means_by_label(summary)
    lines = [f"| label | {' | '.join(TITLES.values())} |", f"|---|{'---:|' * len(TITLES)}"]
    for label in dict.fromkeys(label for label, _ in means):
        figures = (means.get((label, metric), math.nan) for metric in TITLES)
        lines.append(f"| {' | '.join([label, *('-' if math.isnan(mean) else f'{mean:.3f}' for mean in figures)])} |")
    return "\n".join(lines)


def other_settings(used: Mapping[str, Any], defaults: Mapping[str, Any], besides: Collection[str] = ()) -> str:
    """The settings of a training that were not the bundle's, as options; "" where all were.

    Args:
        used: of the training.
        defaults: of the bundle.
        besides: settings that are of no interest.

    Example:
        >>> other_settings({"epochs": 30, "seed": 42, "resume": True}, {"epochs": 100, "seed": 42, "resume": False})
        '`--epochs 30`'
    """
    return " ".join(
        f"`--{name} {value}`"
        for name, value in used.items()
        if name in defaults and name not in OF_A_RUN and name not in besides and value != defaults[name]
    )
