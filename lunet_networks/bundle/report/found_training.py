"""Find the records of the training that made the weights of a report."""

from __future__ import annotations

import csv
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lunet_networks.bundle.evaluation.metrics import WHOLE, CaseMetrics
from lunet_networks.bundle.evaluation.tables import read_cases
from lunet_networks.bundle.runtime import outputs
from lunet_networks.bundle.runtime.outputs import RECORDS
from lunet_networks.bundle.training.history import History, as_rows
from lunet_networks.bundle.training.records import is_model_of, read_record
from lunet_networks.bundle.training.trained_cases import other_training

__all__ = ["Training", "find_training", "read_history"]

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
        run = read_record(folder / run_name)
        problem = other_training(run["settings"], settings)
        if not is_model_of(weights / "model.pt", run):
            problem = "another model.pt"
        if not problem and shown and not _same_figures(folder / names[outputs.CASES], measured):
            problem = "weights with another mean Dice"
        if problem:
            reasons.append(f"{shown}{history_name} belongs to {problem}")
            continue
        history = read_history(folder / history_name, settings["label_names"])
        return Training(run, history, (f"{shown}{run_name}", f"{shown}{history_name}")), ""
    return None, ", ".join(reasons)


def read_history(path: str | Path, label_names: Sequence[str]) -> History:
    """Read a history.csv.

    Args:
        path: of the file.
        label_names: of the foreground labels.
    """
    history = History(Path(path).parent, label_names)
    with open(path, newline="", encoding="utf-8") as file:
        history.rows = as_rows(csv.DictReader(file))
    return history


def _same_figures(path: Path, measured: Measured) -> bool:
    if not path.is_file():
        return True
    recorded = read_cases(path)
    both = recorded.keys() & measured.keys()
    differences = [recorded[case][WHOLE].dice - measured[case][WHOLE].dice for case in both]
    measurable = [difference for difference in differences if not math.isnan(difference)]
    return not measurable or abs(statistics.fmean(measurable)) < SAME_DICE
