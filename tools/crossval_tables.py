"""The tables of a cross-validation: every case by the model that was not trained on it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lunet_networks.bundle.case_metrics import CaseMetrics
from lunet_networks.bundle.evaluation_report import case_names, case_rows, summary_rows, summary_table, write_csv

FOLD_MEAN = "mean_fold_"  # columns of summary.csv

Measured = Mapping[str, Mapping[str, CaseMetrics]]  # by the path of the case's image, then by label


def write_tables(output_dir: Path, folds: Sequence[Measured]) -> str:
    """Write ``cases.csv`` and ``summary.csv``. Their columns are those of an evaluation; of a case there is also the
    fold, of a label and metric also the mean of each fold.

    Args:
        output_dir: where to write.
        folds: what was measured of the cases of each.

    Returns:
        The summary as a text for the screen.
    """
    measured = {path: found for fold in folds for path, found in fold.items()}
    names = case_names(measured)
    fold_of = {names[path]: number for number, fold in enumerate(folds) for path in fold}
    summary = summary_rows(measured, "cross-validation", chose_best_model=True)
    for number, fold in enumerate(folds):
        for row, of_fold in zip(summary, summary_rows(fold, "validation", chose_best_model=True), strict=True):
            row[f"{FOLD_MEAN}{number}"] = of_fold["mean"]
    rows = [{"case": row["case"], "fold": fold_of[row["case"]], **row} for row in case_rows(measured)]
    write_csv(output_dir / "cases.csv", rows)
    write_csv(output_dir / "summary.csv", summary)
    return (
        f"{len(measured)} cases, each by the model that was not trained on its fold (these cases also chose the best "
        f"models):\n{summary_table(summary)}\n\n{_fold_table(summary)}\n"
        f"more in {output_dir / 'summary.csv'} and cases.csv beside it"
    )


def _fold_table(summary: Sequence[Mapping[str, Any]]) -> str:
    """Mean Dice of every fold, a line a label."""
    rows = [row for row in summary if row["metric"] == "dice"]
    columns = [column for column in rows[0] if column.startswith(FOLD_MEAN)]
    width = max(len("mean Dice"), *(len(row["label"]) for row in rows))
    titles = [f"fold {column.removeprefix(FOLD_MEAN)}" for column in columns]
    lines = [f"{'mean Dice':{width}}" + "".join(f"{title:>9}" for title in titles)]
    for row in rows:
        lines.append(f"{row['label']:{width}}" + "".join(f"{float(row[column]):>9.3f}" for column in columns))
    return "\n".join(lines)
