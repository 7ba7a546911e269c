"""``lunet score``: the figures of a folder of label maps, whoever made them."""

import math
import statistics
import sys
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

from tqdm import tqdm

import lunet_networks
from lunet_networks.authoring.command_line import as_bool
from lunet_networks.authoring.comparing.label_maps import Labels, measure_files
from lunet_networks.authoring.comparing.pairs import Pairs, find_pairs
from lunet_networks.bundle.data.readable import UnreadableFileError
from lunet_networks.bundle.evaluation.metrics import CaseMetrics
from lunet_networks.bundle.evaluation.ranking import mean_dice
from lunet_networks.bundle.evaluation.tables import case_rows, summary_rows, summary_table
from lunet_networks.bundle.report.page import ReportContent, report_page
from lunet_networks.bundle.runtime import outputs
from lunet_networks.bundle.runtime.errors import shortened_list
from lunet_networks.bundle.runtime.files import as_path, write_atomically, write_csv

PAGE = "report.html"
OUTPUTS = (outputs.CASES, outputs.SUMMARY, PAGE)
UNKNOWN = "unknown"  # nobody knows which cases chose the model

Measured = Mapping[str, Mapping[str, CaseMetrics]]  # by case, then by label


def score(
    labels: str,
    truth: str,
    output_dir: str = "score",
    label_names: str | tuple[str, ...] | None = None,
    overwrite: bool = False,
) -> None:
    """Measure a folder of label maps against the truth: cases.csv, summary.csv and report.html.

    Files are paired by name; suffixes such as _seg and _pred may differ. A label map on another grid than the truth is
    refused by name, the others are measured, and the exit status is 1. Labels that neither has are left out, a label
    that only one of them has counts as Dice 0.

    Args:
        labels: the folder of the label maps to measure.
        truth: the folder of the true label maps.
        output_dir: where to write.
        label_names: of the labels 1, 2, ..., such as liver,tumour; without it those of dataset.json in the folder of
            the truth or around it, else label_1, label_2 ...
        overwrite: whether to replace the files of an earlier score there.
    """
    folders, output = (as_path(labels), as_path(truth)), as_path(output_dir)
    _check_free(output, as_bool("overwrite", overwrite))
    pairs = find_pairs(*folders)
    chosen = _labels(label_names, folders[1], pairs)
    measured, refused = measure_pairs(pairs.files, chosen)
    if measured:
        _write(output, folders, pairs, measured)
    if refused:
        sys.exit(
            f"error: {len(refused)} of {len(pairs.files)} label maps could not be measured:\n{shortened_list(refused)}"
        )


def measure_pairs(
    files: Mapping[str, tuple[Path, Path]], labels: Labels
) -> tuple[dict[str, dict[str, CaseMetrics]], list[str]]:
    """Measure label maps.

    Args:
        files: the label map and the truth of each case.
        labels: that are measured.

    Returns:
        The metrics by case, then by label; and what is wrong with the files that were refused.
    """
    measured, refused = {}, []
    for name, (prediction, true) in tqdm(files.items(), desc="measuring", unit="case", disable=None):
        try:
            measured[name] = measure_files(prediction, true, labels)
        except UnreadableFileError as error:
            refused.append(str(error))
    return measured, refused


def _check_free(output: Path, overwrite: bool) -> None:
    there = [name for name in OUTPUTS if (output / name).exists()]
    if there and not overwrite:
        raise FileExistsError(
            f"{output} holds {', '.join(there)}: name another --output_dir, or replace them with --overwrite True"
        )


def _labels(names: str | Sequence[str] | None, truth: Path, pairs: Pairs) -> Labels:
    if names is not None:
        return Labels.named([str(name) for name in ([names] if isinstance(names, (str, int)) else names)])
    return Labels.beside(truth) or Labels.in_files(path for pair in pairs.files.values() for path in pair)


def _write(output: Path, folders: tuple[Path, Path], pairs: Pairs, measured: Measured) -> None:
    summary: list[dict[str, Any]] = [
        {**row, "chose_best_model": UNKNOWN} for row in summary_rows(measured, "scored", chose_best_model=False)
    ]
    page = report_page(_content(folders, pairs, measured, summary))
    by_path = {str(pairs.files[name][1]): found for name, found in measured.items()}
    write_csv(output / outputs.CASES, case_rows(by_path))
    write_csv(output / outputs.SUMMARY, summary)
    write_atomically(output / PAGE, page.encode())
    print(f"{len(measured)} cases:\n{summary_table(summary)}")
    for note in _notes(pairs):
        print(note)
    print(f"more in {output / outputs.SUMMARY}, {outputs.CASES} and {PAGE} beside it")


def _notes(pairs: Pairs) -> list[str]:
    """What is not in the figures."""
    notes = []
    if pairs.missing:
        number = len(pairs.files) + len(pairs.missing)
        notes.append(f"{len(pairs.missing)} of {number} cases have no label map to measure: {_some(pairs.missing)}")
    if pairs.extra:
        notes.append(f"label maps without a truth: {_some(pairs.extra)}")
    return notes


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:10]) + (", ..." if len(names) > 10 else "")


def _content(
    folders: tuple[Path, Path], pairs: Pairs, measured: Measured, summary: Sequence[Mapping[str, Any]]
) -> ReportContent:
    dice = [value for value in map(mean_dice, measured.values()) if not math.isnan(value)]
    best = {"mean Dice": f"{statistics.fmean(dice):.3f}", "lowest Dice of a case": f"{min(dice):.3f}"} if dice else {}
    found, true = folders
    return ReportContent(
        title=f"{found.name} against {true.name}",
        cases=f"{len(measured)} case{'s' * (len(measured) > 1)}",
        note=". ".join(_notes(pairs)),
        tiles={"cases": str(len(measured)), **best},
        measured=measured,
        summary=summary,
        pictures={},
        training=None,
        no_training="",
        sources={
            "Figures": "measured on the voxels of the true label maps, and written to cases.csv and summary.csv",
            "Label maps": str(found),
            "Truth": str(true),
            "Made": f"{date.today().isoformat()}, with lunet_networks {lunet_networks.__version__}",
        },
    )
