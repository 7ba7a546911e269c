"""Find the records of the training that made the weights of a report."""

from __future__ import annotations

import csv
import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lunet_networks.bundle.evaluation.metrics import WHOLE, CaseMetrics
from lunet_networks.bundle.evaluation.tables import read_cases
from lunet_networks.bundle.runtime import outputs
from lunet_networks.bundle.training.history import History

__all__ = ["RECORDS", "Training", "find_training", "read_history"]

RECORDS = {  # file in output_dir: its name in the docs of a bundle with weights
    outputs.RUN_RECORD: "training_run.json",
    outputs.HISTORY: "training_history.csv",
    outputs.SUMMARY: "evaluation_summary.csv",
    outputs.CASES: "evaluation_cases.csv",
}
SAME_DICE = 0.01  # records that differ more in mean Dice belong to other weights

Measured = Mapping[str, Mapping[str, CaseMetrics]]  # by the case's name, then by label


@dataclass(frozen=True)
class Training:
    """A training, read from its records.

    Args:
        run: the content of run.json: settings, cases, versions.
        history: its epochs.
        sources: names of the files that were read.
    """

    run: dict[str, Any]
    history: History
    sources: tuple[str, ...]

    @property
    def duration(self) -> str:
        """The time that its epochs took, as text."""
        seconds = sum(row["seconds"] for row in self.history.rows)
        return f"{seconds:.0f} seconds" if seconds < 120 else f"{seconds / 60:.0f} minutes"

    def num_cases(self, section: str) -> int:
        """The number of cases in "training" or "validation"; a packed bundle keeps only the numbers."""
        cases = self.run["cases"][section]
        return cases if isinstance(cases, int) else len(cases)


def find_training(
    output_dir: str | Path,
    bundle_root: str | Path,
    ckpt_dir: str | Path,
    settings: Mapping[str, Any],
    measured: Measured,
) -> tuple[Training | None, str]:
    """Find the training of the weights in ``ckpt_dir``: in ``output_dir``, otherwise in the bundle's docs.

    A record belongs to other weights if its preset or labels differ. A record in docs also does if the mean Dice over
    the cases that it shares with ``measured`` differs.

    Args:
        output_dir: of the training.
        bundle_root: the bundle's folder.
        ckpt_dir: folder of the weights.
        settings: of train.json.
        measured: metrics by the case's name, then by label.

    Returns:
        The training, or None, and the reason if there is none.
    """
    models = (Path(bundle_root) / "models").resolve()
    weights = Path(ckpt_dir).resolve()
    places = [(Path(output_dir), dict(zip(RECORDS, RECORDS, strict=True)), "")]
    if weights.is_relative_to(models):
        docs = Path("docs", weights.relative_to(models))
        places.append((Path(bundle_root) / docs, RECORDS, f"{docs.as_posix()}/"))
    reasons = []
    for folder, names, shown in places:
        run_name, history_name = names[outputs.RUN_RECORD], names[outputs.HISTORY]
        if not ((folder / run_name).is_file() and (folder / history_name).is_file()):
            reasons.append(f"there is no {shown}{history_name}")
            continue
        run = json.loads((folder / run_name).read_text(encoding="utf-8"))
        problem = _of_others(run["settings"], settings)
        if not problem and shown and not _same_figures(folder / names[outputs.CASES], measured):
            problem = "weights with another mean Dice"
        if problem:
            reasons.append(f"{shown}{history_name} belongs to {problem}")
            continue
        history = read_history(folder / history_name, settings["label_names"])
        return Training(run, history, (f"{shown}{run_name}", f"{shown}{history_name}")), ""
    return None, ", ".join(reasons)


def _of_others(then: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    for name in ("preset", "label_names"):
        if name in then and name in now and then[name] != now[name]:
            return f"a training with the {name} {then[name]}"
    return ""


def read_history(path: str | Path, label_names: Sequence[str]) -> History:
    """Read a history.csv.

    Args:
        path: of the file.
        label_names: of the foreground labels.
    """
    history = History(Path(path).parent, label_names)
    with open(path, newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            values = {name: float(value) for name, value in row.items() if value}
            history.rows.append({**values, "epoch": int(values["epoch"])})
    return history


def _same_figures(path: Path, measured: Measured) -> bool:
    if not path.is_file():
        return True
    recorded = read_cases(path)
    both = [(recorded[case][WHOLE].dice, measured[case][WHOLE].dice) for case in recorded.keys() & measured.keys()]
    return not both or abs(statistics.fmean(then - now for then, now in both)) < SAME_DICE
