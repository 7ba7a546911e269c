"""The report of an evaluation: a row per case and label, a summary over the cases, and the cases it was made on."""

from __future__ import annotations

import csv
import io
import logging
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import ignite.distributed as idist
from ignite.engine import Engine, Events

from lunet_networks.bundle.case_metrics import WHOLE, CaseMetrics, measure_case
from lunet_networks.bundle.datalist import load_datalist
from lunet_networks.bundle.files import write_atomically
from lunet_networks.bundle.inference_images import image_name

__all__ = ["EvaluationReport", "evaluated_section", "image_path"]

COLUMNS = {  # of cases.csv, by field of CaseMetrics
    "dice": "dice",
    "hd95": "hd95_mm",
    "nsd": "nsd_1mm",
    "volume_truth": "volume_truth_mm3",
    "volume_prediction": "volume_prediction_mm3",
}
TABLE = {"dice": "Dice", "hd95": "HD95 (mm)", "nsd": "NSD at 1 mm"}  # what the log shows
logger = logging.getLogger(__name__)


class EvaluationReport:
    """Handler of an evaluator: measures every case and writes ``cases.csv`` and ``summary.csv`` when all are done.

    Each item of ``engine.state.output`` holds "pred" and "label", label maps ``(1, [D,] H, W)`` on the voxels of the
    label file, and "image", whose metadata name the case. With several processes the first one writes for all.

    ``cases.csv`` has a row per case and label and one for their union, ``whole``. ``summary.csv`` has a row per label
    and metric: mean, sd (of the sample), median, min and max over the ``n`` cases that have the metric; ``missing``
    counts those that have none (HD95 where truth or prediction lack the label); ``cases`` says which cases these
    were and ``chose_best_model`` whether the training picked its best model by them.

    Args:
        output_dir: where to write; made if need be.
        label_names: of the foreground labels; value ``i + 1`` stands for ``label_names[i]``.
        section: of dataset.json that is evaluated, see :py:func:`evaluated_section`.

    Example::

        EvaluationReport("eval", ["anterior", "posterior"], section="validation").attach(evaluator)
    """

    def __init__(self, output_dir: str | Path, label_names: Sequence[str], section: str) -> None:
        self.output_dir = Path(output_dir)
        self.label_names = list(label_names)
        self.section = section
        self.measured: dict[str, dict[str, CaseMetrics]] = {}  # by the image's path, then by label

    def attach(self, engine: Engine) -> None:
        """Called by the evaluator that this is a handler of."""
        engine.add_event_handler(Events.STARTED, lambda: self.measured.clear())
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.measure)
        engine.add_event_handler(Events.COMPLETED, self.write)

    def measure(self, engine: Engine) -> None:
        """Measure the cases of an iteration."""
        for item in engine.state.output:
            truth = item["label"]
            spacing = truth.pixdim[: truth.ndim - 1].tolist()
            self.measured[image_path(item)] = measure_case(item["pred"][0], truth[0], spacing, self.label_names)

    def write(self) -> None:
        """Write both files and log the summary."""
        # samplers repeat cases to give every process as many: the paths tell
        measured = {path: found for part in idist.all_gather(self.measured) for path, found in part.items()}
        if idist.get_rank() != 0 or not measured:
            return
        _write_csv(self.output_dir / "cases.csv", _case_rows(measured))
        summary = list(self._summary_rows(measured))
        _write_csv(self.output_dir / "summary.csv", summary)
        logger.info(
            "%d %s cases%s:\n%s\nmore in %s and cases.csv beside it",
            len(measured),
            self.section,
            " (these cases also chose the best model)" if self._chose_best_model else "",
            _table(summary),
            self.output_dir / "summary.csv",
        )

    @property
    def _chose_best_model(self) -> bool:
        return self.section == "validation"

    def _summary_rows(self, measured: dict[str, dict[str, CaseMetrics]]) -> Iterable[dict[str, Any]]:
        for label in [*self.label_names, WHOLE]:
            for field, column in COLUMNS.items():
                values = [getattr(found[label], field) for found in measured.values()]
                present = [value for value in values if not math.isnan(value)]
                yield {
                    "label": label,
                    "metric": column,
                    **_statistics(present),
                    "n": len(present),
                    "missing": len(values) - len(present),
                    "cases": self.section,
                    "chose_best_model": "yes" if self._chose_best_model else "no",
                }


def evaluated_section(dataset_dir: str | Path) -> str:
    """The section of dataset.json to evaluate: "test" where it has labels, else "validation".

    The validation cases are those that the training chose its best model by, so their figures flatter it a little.
    """
    return "test" if load_datalist(dataset_dir, "test") else "validation"


def image_path(item: Mapping[str, Any]) -> str:
    """The file that the image of an item of ``engine.state.output`` was read from."""
    return str(item["image"].meta["filename_or_obj"])


def _case_rows(measured: dict[str, dict[str, CaseMetrics]]) -> Iterable[dict[str, Any]]:
    names = {path: image_name(path) for path in measured}
    if len(set(names.values())) < len(names):
        names = {path: path for path in measured}
    for path in sorted(measured, key=names.__getitem__):
        for label, metrics in measured[path].items():
            values = {column: _number(getattr(metrics, field)) for field, column in COLUMNS.items()}
            yield {"case": names[path], "label": label, **values}


def _statistics(values: list[float]) -> dict[str, str]:
    if not values:
        return dict.fromkeys(("mean", "sd", "median", "min", "max"), "nan")
    return {
        "mean": _number(statistics.fmean(values)),
        "sd": _number(statistics.stdev(values) if len(values) > 1 else math.nan),
        "median": _number(statistics.median(values)),
        "min": _number(min(values)),
        "max": _number(max(values)),
    }


def _number(value: float) -> str:
    return f"{value:.6g}"


def _table(summary: list[dict[str, Any]]) -> str:
    cells = {(row["label"], row["metric"]): row for row in summary}
    labels = list(dict.fromkeys(row["label"] for row in summary))
    width = max(map(len, labels))
    lines = [f"{'label':{width}}" + "".join(f"{title:>22}" for title in TABLE.values())]
    for label in labels:
        shown = (cells[label, COLUMNS[field]] for field in TABLE)
        lines.append(f"{label:{width}}" + "".join(f"{_mean_and_sd(row):>22}" for row in shown))
    return "\n".join(lines)


def _mean_and_sd(row: dict[str, Any]) -> str:
    missing = f" ({row['missing']} missing)" if row["missing"] else ""
    return f"{float(row['mean']):.3f} ± {float(row['sd']):.3f}{missing}"


def _write_csv(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    rows = list(rows)
    text = io.StringIO(newline="")
    table = csv.DictWriter(text, rows[0].keys())
    table.writeheader()
    table.writerows(rows)
    write_atomically(path, text.getvalue().encode())
