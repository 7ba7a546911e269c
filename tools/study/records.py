"""The record of a run: small, without images, weights or paths, and all that documents are written from."""

import json
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lunet_networks.bundle.evaluation.metrics import WHOLE, CaseMetrics
from lunet_networks.bundle.evaluation.ranking import mean_dice
from lunet_networks.bundle.evaluation.tables import read_cases
from lunet_networks.bundle.report.summaries import read_rows
from lunet_networks.bundle.runtime import outputs
from lunet_networks.bundle.runtime.files import write_atomically
from lunet_networks.bundle.runtime.settings import PATHS
from lunet_networks.bundle.training.history import KEY_METRIC, as_rows, best_row
from lunet_networks.bundle.training.records import WEIGHTS, read_record
from lunet_networks.summary import count_macs, count_parameters
from tools import ROOT
from tools.study.prunings import PrunedTraining
from tools.study.running import BundleTraining

RECORDS = ROOT / "docs" / "study"
RUN, HISTORY, CASES = "run.json", "history.csv", "cases.csv"
COLUMNS = ("epoch", "loss", "learning_rate", "seconds", "cpu_seconds", KEY_METRIC)  # of the history that are kept
HOW_IT_RAN = {"resume", "overwrite", "cache_rate", "num_workers", "save_interval"}  # settings without effect


@dataclass(frozen=True)
class Record:
    """What is known of a run.

    Args:
        name: of the run.
        run: the content of run.json.
        history: the rows of history.csv.
        cases: metrics by case, then by label.
    """

    name: str
    run: Mapping[str, Any]
    history: Sequence[Mapping[str, float]]
    cases: Mapping[str, Mapping[str, CaseMetrics]]

    @property
    def planned(self) -> Mapping[str, Any]:
        """The run as the table of runs has it."""
        return self.run["planned"]

    @property
    def group(self) -> str:
        """The name without the seed: runs that differ in nothing else have the same."""
        return self.name.rpartition("-seed")[0]

    @property
    def labels(self) -> list[str]:
        """Names of the labels, without their union."""
        return [label for label in next(iter(self.cases.values())) if label != WHOLE]

    @property
    def best_epoch(self) -> int:
        """The epoch whose weights were evaluated."""
        return int(self.run["best_epoch"])

    @property
    def cpu_minutes(self) -> float:
        """Processor time of the training, its validations included, and of a pruning before it."""
        pruning = self.run.get("pruning", {}).get("cpu_seconds", 0)
        return (pruning + sum(row["cpu_seconds"] for row in self.history)) / 60

    def dice(self) -> dict[str, float]:
        """Of each case the mean over its labels; nan if it has none."""
        return {case: mean_dice(found) for case, found in self.cases.items()}

    def mean(self, metric: str, label: str) -> float:
        """Mean of a metric of a label over the cases that have it; nan if none has.

        Args:
            metric: a field of ``CaseMetrics``.
            label: name of a label.
        """
        values = [getattr(found[label], metric) for found in self.cases.values()]
        measured = [value for value in values if value is not None and not math.isnan(value)]
        return statistics.fmean(measured) if measured else math.nan


def write_record(name: str, planned: Mapping[str, Any], training: BundleTraining, records: Path = RECORDS) -> Path:
    """Write the record of a run that is trained and evaluated.

    Args:
        name: of the run.
        planned: as the table of runs has it.
        training: whose files are read.
        records: folder of all records.

    Returns:
        Its folder.
    """
    run = read_record(training.folder / outputs.RUN_RECORD)
    history = as_rows(read_rows(training.folder / outputs.HISTORY))
    network, shape = training.make_network(), training.patch_shape()
    candidates = [row for row in history if row.get("candidate", 1)]
    content = {
        "planned": planned,
        "network_def": training.network_def(),
        "settings": {key: value for key, value in run["settings"].items() if key not in HOW_IT_RAN | PATHS},
        "cases": {section: len(cases) for section, cases in run["cases"].items()},
        "best_epoch": (best_row(candidates) or {"epoch": 0})["epoch"],
        "parameters": count_parameters(network),
        "macs": count_macs(network, shape),
        "input_shape": shape,
        "weights": (run.get(WEIGHTS) or {}).get("sha256"),
        "versions": run["versions"],
        "kernels": run["kernels"],
    }
    if isinstance(training, PrunedTraining):
        content["pruning"] = training.described()
    folder = records / name
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / CASES, (training.folder / outputs.CASES).read_bytes())
    write_atomically(folder / HISTORY, _history(history).encode())
    # last: a folder with it is whole
    write_atomically(folder / RUN, (json.dumps(content, indent=1) + "\n").encode())
    return folder


def _history(rows: Sequence[Mapping[str, float]]) -> str:
    lines = [[f"{row[column]:.5g}" if column in row else "" for column in COLUMNS] for row in rows]
    return "\n".join(map(",".join, [list(COLUMNS), *lines])) + "\n"


def read_records(records: Path = RECORDS) -> list[Record]:
    """All records of a folder, by name."""
    return [read_one(path.parent) for path in sorted(records.glob(f"*/{RUN}"))]


def read_one(folder: Path) -> Record:
    """The record in a folder.

    Raises:
        ValueError: if it is damaged.
    """
    try:
        run = json.loads((folder / RUN).read_text(encoding="utf-8"))
        history = as_rows(read_rows(folder / HISTORY))
        record = Record(folder.name, run, history, read_cases(folder / CASES))
        if not record.cases or len(record.cases) != run["cases"]["validation"] or not history:
            raise ValueError(f"{len(record.cases)} cases, {len(history)} epochs")
        return record
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{folder} is no whole record ({error}): remove it and do the run again") from error


def dice_by_seed(records: Sequence[Record]) -> tuple[list[str], np.ndarray]:
    """The cases of records, and the Dice of each, ``(records, cases)``.

    Raises:
        ValueError: if the records are not of the same cases.
    """
    cases = sorted(records[0].cases)
    for record in records:
        if sorted(record.cases) != cases:
            raise ValueError(f"{record.name} and {records[0].name} are not of the same cases: they are not compared")
    found = [record.dice() for record in records]
    return cases, np.array([[dice[case] for case in cases] for dice in found])
