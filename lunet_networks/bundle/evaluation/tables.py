"""The tables of an evaluation: a row per case and label, and a summary that names the section of the cases."""

from __future__ import annotations

import csv
import logging
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import ignite.distributed as idist
from ignite.engine import Engine, Events

from lunet_networks.bundle.data import case_files
from lunet_networks.bundle.data.datalist import load_datalist
from lunet_networks.bundle.evaluation.metrics import CaseMetrics, measure_case
from lunet_networks.bundle.evaluation.ranking import has_truth
from lunet_networks.bundle.runtime import outputs
from lunet_networks.bundle.runtime.files import as_path, write_csv
from lunet_networks.bundle.training.records import WEIGHTS
from lunet_networks.bundle.training.weights import CheckpointLoader

__all__ = [
    "EvaluationReport",
    "case_names",
    "case_rows",
    "evaluated_section",
    "image_path",
    "read_cases",
    "summary_rows",
    "summary_table",
]

Measured = Mapping[str, Mapping[str, CaseMetrics]]  # by case, then by label
COLUMNS = {  # of cases.csv, by field of CaseMetrics
    "dice": "dice",
    "hd95": "hd95_mm",
    "nsd": "nsd_1mm",
    "volume_truth": "volume_truth_mm3",
    "volume_prediction": "volume_prediction_mm3",
    "iou": "iou",
    "accuracy": "accuracy",
}
TABLE = {"dice": "Dice", "hd95": "HD95 (mm)", "nsd": "NSD at 1 mm"}  # what the log shows
TABLE_2D = {"iou": "IoU", "accuracy": "accuracy"}  # also shown for 2D cases, which alone have these columns
logger = logging.getLogger(__name__)


class EvaluationReport:
    """Handler of an evaluator: measures every case and writes ``cases.csv`` and ``summary.csv`` when all are done.

    Each item of ``engine.state.output`` holds "pred" and "label", label maps ``(1, [D,] H, W)`` on the voxels of the
    label file, and "image", whose metadata name the case. With several processes the first one writes for all.

    ``cases.csv`` has a row per case and label and one for their union, ``whole``; for 2D cases also IoU and accuracy.
    What cannot be measured is nan there, as :py:class:`CaseMetrics` says: a label that neither truth nor prediction
    has never counts as right. ``summary.csv`` has a row per label and metric: mean, sd (of the sample), median, min and
    max over the ``n`` cases that have the metric; ``missing`` counts those without it; ``cases`` is their section and
    ``chose_best_model`` says whether the training chose its best model by them; ``weights`` is the digest of the
    weights.
    MONAI's ``MetricsSaver`` writes one file per metric, and may write a case twice when several processes evaluate.

    Args:
        output_dir: where to write; it is created if missing.
        label_names: of the foreground labels; value ``i + 1`` stands for ``label_names[i]``.
        section: the evaluated section of dataset.json, see :py:func:`evaluated_section`.
        loader: the handler that loads the weights; without one, ``weights`` is empty.

    Example::

        EvaluationReport("eval", ["anterior", "posterior"], section="validation").attach(evaluator)
    """

    def __init__(
        self, output_dir: str | Path, label_names: Sequence[str], section: str, loader: CheckpointLoader | None = None
    ) -> None:
        self.output_dir = as_path(output_dir)
        self.label_names = list(label_names)
        self.section = section
        self.loader = loader
        self.measured: dict[str, dict[str, CaseMetrics]] = {}  # by the image's path, then by label

    def attach(self, engine: Engine) -> None:
        """Add the event handlers; the evaluator calls this."""
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
        # samplers repeat cases so that every process has as many; keep one result per path
        measured = {path: found for part in idist.all_gather(self.measured) for path, found in part.items()}
        if idist.get_rank() != 0 or not measured:
            return
        write_csv(self.output_dir / outputs.CASES, case_rows(measured))
        chose = self.chose_best_model(measured)
        summary = summary_rows(measured, self.section, chose)
        weights = self.loader.digest if self.loader else ""
        write_csv(self.output_dir / outputs.SUMMARY, [{**row, WEIGHTS: weights} for row in summary])
        logger.info(
            "%d %s cases%s:\n%s\nmore in %s and cases.csv beside it",
            len(measured),
            self.section,
            " (these cases also chose the best model)" if chose else "",
            summary_table(summary),
            self.output_dir / outputs.SUMMARY,
        )

    def chose_best_model(self, measured: Measured) -> bool:
        """Whether the training chose its best model by these cases; it cannot if their truth has no label."""
        return self.section == "validation" and any(map(has_truth, measured.values()))


def evaluated_section(dataset_dir: str | Path) -> str:
    """The section of dataset.json to evaluate: "test" if it has labels, otherwise "validation".

    The training chose its best model by the validation cases, so their metrics are a little too good.
    """
    return "test" if load_datalist(dataset_dir, "test") else "validation"


def image_path(item: Mapping[str, Any]) -> str:
    """The file that the image of an item of ``engine.state.output`` was read from."""
    return str(item["image"].meta["filename_or_obj"])


def case_names(paths: Iterable[str]) -> dict[str, str]:
    """The names of cases in the reports, by the path of the image, or of the file of its first channel: the name of the
    file, see :py:func:`lunet_networks.bundle.data.case_files.case_names`, or its path if two files have the same name.

    Example:
        >>> case_names(["imagesTr/a.nii.gz", "imagesTr/b.nii.gz"])
        {'imagesTr/a.nii.gz': 'a', 'imagesTr/b.nii.gz': 'b'}
        >>> case_names(["a/image.nii.gz", "b/image.nii.gz"])["b/image.nii.gz"]
        'b/image.nii.gz'
    """
    paths = list(paths)
    names = dict(zip(paths, case_files.case_names(paths), strict=True))
    return names if len(set(names.values())) == len(names) else {path: path for path in names}


def case_rows(measured: Measured) -> list[dict[str, Any]]:
    """The rows of cases.csv, one per case and label, sorted by case.

    Args:
        measured: metrics by the path of the case's image, then by label.
    """
    names, fields = case_names(measured), _fields(measured)
    return [
        {"case": names[path], "label": label, **{COLUMNS[field]: _number(getattr(metrics, field)) for field in fields}}
        for path in sorted(measured, key=names.__getitem__)
        for label, metrics in measured[path].items()
    ]


def read_cases(path: str | Path) -> dict[str, dict[str, CaseMetrics]]:
    """The metrics in a cases.csv by the case's name, then by label."""
    measured: dict[str, dict[str, CaseMetrics]] = {}
    with open(path, newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            metrics = CaseMetrics(**{field: float(row[column]) for field, column in COLUMNS.items() if column in row})
            measured.setdefault(row["case"], {})[row["label"]] = metrics
    return measured


def summary_rows(measured: Measured, section: str, chose_best_model: bool) -> list[dict[str, Any]]:
    """The rows of summary.csv, one per label and metric, see :py:class:`EvaluationReport`.

    Args:
        measured: metrics by case, then by label; every case has the same labels.
        section: the section of dataset.json with these cases.
        chose_best_model: whether the training chose its best model by them.
    """
    return [
        _summary_row(label, field, measured)
        | {"cases": section, "chose_best_model": "yes" if chose_best_model else "no"}
        for label in next(iter(measured.values()))
        for field in _fields(measured)
    ]


def _summary_row(label: str, field: str, measured: Measured) -> dict[str, Any]:
    values = [getattr(found[label], field) for found in measured.values()]
    present = [value for value in values if not math.isnan(value)]
    return {
        "label": label,
        "metric": COLUMNS[field],
        **_statistics(present),
        "n": len(present),
        "missing": len(values) - len(present),
    }


def _fields(measured: Measured) -> list[str]:
    """The fields of CaseMetrics that these cases have."""
    found = [metrics for labels in measured.values() for metrics in labels.values()]
    in_2d = any(not math.isnan(metrics.accuracy) for metrics in found)
    return [field for field in COLUMNS if in_2d or field not in TABLE_2D]


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


def summary_table(summary: Sequence[Mapping[str, Any]]) -> str:
    """Mean and standard deviation of the most important metrics, one line per label; "-" if no case has the metric.

    Args:
        summary: the rows of summary.csv.
    """
    cells = {(row["label"], row["metric"]): row for row in summary}
    labels = list(dict.fromkeys(row["label"] for row in summary))
    titles = {**TABLE, **{field: title for field, title in TABLE_2D.items() if (labels[0], COLUMNS[field]) in cells}}
    shown = {label: [_mean_and_sd(cells[label, COLUMNS[field]]) for field in titles] for label in labels}
    width = max(map(len, labels))
    column = max(22, *(2 + len(text) for texts in shown.values() for text in texts))
    lines = [f"{'label':{width}}" + "".join(f"{title:>{column}}" for title in titles.values())]
    lines += [f"{label:{width}}" + "".join(f"{text:>{column}}" for text in texts) for label, texts in shown.items()]
    absent = ", ".join(label for label in labels if not cells[label, COLUMNS["dice"]]["n"])
    if absent:
        lines.append(f"not measurable, because no case has it in truth or prediction: {absent}")
    return "\n".join(lines)


def _mean_and_sd(row: Mapping[str, Any]) -> str:
    mean, sd = float(row["mean"]), float(row["sd"])
    if math.isnan(mean):
        return "-"
    missing = f" ({row['missing']} missing)" if row["missing"] else ""
    return f"{mean:.3f}{'' if math.isnan(sd) else f' ± {sd:.3f}'}{missing}"
