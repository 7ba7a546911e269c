"""A report as one HTML page that opens from disk and loads nothing from elsewhere.

``page.html`` is its Jinja2 template and ``page.css`` its style. This module gathers the values for them.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jinja2

from lunet_networks.bundle.evaluation.contours import RANKS, CasePicture, label_figures, legend_entries
from lunet_networks.bundle.evaluation.metrics import WHOLE, CaseMetrics
from lunet_networks.bundle.evaluation.ranking import mean_dice, ranked_cases
from lunet_networks.bundle.evaluation.tables import COLUMNS, TABLE
from lunet_networks.bundle.report.charts import FONTS, POINTS_FROM, chart, draw_dice_of_cases, svg
from lunet_networks.bundle.report.found_training import Training
from lunet_networks.bundle.training.curves import CURVES, legend_height
from lunet_networks.bundle.training.history import CRITERIA, KEY_METRIC, History

__all__ = ["ReportContent", "report_page"]

Measured = Mapping[str, Mapping[str, CaseMetrics]]
Values = dict[str, Any]  # for the template: texts, numbers, and lists and dicts of these
DIGITS = {"dice": 3, "hd95": 2, "nsd": 3}
DASH = "\N{EN DASH}"


@dataclass(frozen=True)
class ReportContent:
    """The content of a report.

    Args:
        title: network and data of the evaluation.
        cases: the evaluated cases, as the end of a sentence.
        note: of the author; "" for none.
        tiles: numbers for the head of the page, by their name.
        measured: metrics by the case's name, then by label.
        summary: the rows of summary.csv.
        pictures: of single cases, by a key of ``chosen_cases``; there may be none.
        training: of the weights; None if no record of it was found.
        no_training: the reason why there is none; "" if the report is not about a training.
        sources: where the report comes from: a text for each heading.
    """

    title: str
    cases: str
    note: str
    tiles: Mapping[str, str]
    measured: Measured
    summary: Sequence[Mapping[str, Any]]
    pictures: Mapping[str, CasePicture]
    training: Training | None
    no_training: str
    sources: Mapping[str, str]


def report_page(content: ReportContent) -> str:
    """The page as HTML. Names and notes are escaped."""
    templates = jinja2.Environment(
        loader=jinja2.PackageLoader(__package__, "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return templates.get_template("page.html").render(
        title=content.title,
        cases=content.cases,
        note=content.note,
        tiles=content.tiles,
        fonts=FONTS,
        figures=_figures(content),
        pictures=_pictures(content.pictures) if content.pictures else None,
        training=content.training and _training(content.training),
        no_training=content.no_training,
        all_cases=_all_cases(content),
        sources=content.sources,
    )


def _figures(content: ReportContent) -> Values:
    cells = {(row["label"], row["metric"]): row for row in content.summary}
    labels = list(dict.fromkeys(row["label"] for row in content.summary))
    labels = labels if len(labels) > 2 else labels[:1]  # with a single label the union is the same
    rows = {
        label: [_mean_and_range(cells[label, COLUMNS[field]], DIGITS[field]) for field in TABLE] for label in labels
    }
    medians = ", ".join(
        f"{row['label']} median {_or_dash(float(row['median']), 3)}"
        for row in content.summary
        if row["metric"] == COLUMNS["dice"]
    )
    height = 1.1 + len(labels) * (0.62 if len(labels) < 8 else 0.36)
    picture = chart(lambda axes: draw_dice_of_cases(axes, content.measured), (4.5, max(2.0, height)))
    return {
        "columns": ["label", *TABLE.values()],
        "rows": rows,
        "union": WHOLE if len(labels) > 1 else "",
        "missing": any(row["missing"] for row in content.summary),
        "several": len(content.measured) > 1,
        "boxes": len(content.measured) >= POINTS_FROM,
        "chart": _data_uri(picture),
        "described": f"Dice of every case for {', '.join(labels)}: {medians}",
    }


def _mean_and_range(row: Mapping[str, Any], digits: int) -> Values:
    mean, sd, median, least, most = (float(row[name]) for name in ("mean", "sd", "median", "min", "max"))
    if math.isnan(mean):
        return {"mean": "", "spread": "", "lines": ["in no case"]}
    several = row["n"] > 1
    lines = [f"median {median:.{digits}f}", f"{least:.{digits}f} to {most:.{digits}f}"] if several else []
    if row["missing"]:
        lines.append(f"missing in {row['missing']} of {row['n'] + row['missing']}")
    return {"mean": f"{mean:.{digits}f}", "spread": f"{sd:.{digits}f}" if several else "", "lines": lines}


def _pictures(pictures: Mapping[str, CasePicture]) -> Values:
    first = next(iter(pictures.values()))
    legend = legend_entries(first.label_names)
    return {
        "volume": len(first.planes) > 1,
        "ignored": any(picture.ignored for picture in pictures.values()),
        "legend": [{"text": text, "colour": colour, "dashed": line == "dashed"} for text, colour, line in legend],
        "cards": [_card(rank, picture) for rank, picture in pictures.items()],
    }


def _card(rank: str, picture: CasePicture) -> Values:
    figures = label_figures(picture.found)
    panels = []
    for plane, panel in zip(picture.planes, picture.panels(svg), strict=True):
        where = f"{plane.title.capitalize()} plane of {picture.name}" if plane.title else picture.name
        described = f"{where} with the outlines of truth and prediction; {'; '.join(figures)}"
        panels.append({"picture": _data_uri(panel), "title": plane.title.capitalize(), "described": described})
    return {
        "rank": RANKS[rank],
        "name": picture.name,
        "dice": f"{mean_dice(picture.found):.3f}" if len(picture.label_names) > 1 else "",
        "figures": figures,
        "panels": panels,
        "outside": f"{picture.share_outside:.0%}" if picture.share_outside else "",
    }


def _training(training: Training) -> Values:
    history = training.history
    first, last = history.rows[0]["loss"], history.rows[-1]["loss"]
    described = {
        "loss": f"Training loss over the epochs, from {first:.3f} to {last:.3f}",
        "Dice": "Dice in training and validation over the epochs",
        "learning rate": "Learning rate over the epochs",
    }
    heights = {name: 3.1 + (legend_height(history) if name == "Dice" else 0) for name in CURVES}
    pictures = {
        name: chart(lambda axes, draw=draw: draw(axes, history), (3.75, heights[name])) for name, draw in CURVES.items()
    }
    return {
        "epochs": len(history.rows),
        "duration": training.duration,
        "cases": training.num_cases("training"),
        "validation_cases": training.num_cases("validation"),
        "best": _best(history),
        "curves": [{"picture": _data_uri(picture), "described": described[name]} for name, picture in pictures.items()],
        "settings": {name: str(value) for name, value in sorted(training.run["settings"].items())},
    }


def _best(history: History) -> Values | None:
    """The best epoch and what it was chosen by; None if no epoch was validated."""
    best, by = history.best, history.criterion
    if best is None:
        return None
    return {"by": CRITERIA[by], "value": f"{best[by]:.3f}", "epoch": best["epoch"], "validated": by == KEY_METRIC}


def _all_cases(content: ReportContent) -> Values:
    measured = content.measured
    labels = [label for label in next(iter(measured.values())) if label != WHOLE]
    shown = [*labels, WHOLE] if len(labels) > 1 else labels
    ranks = {picture.name: rank for rank, picture in content.pictures.items()}
    rows = [
        {
            "case": case,
            "rank": ranks.get(case, ""),
            "mean": _dice(mean_dice(found)),
            "labels": [_dice_and_hd95(found[label]) for label in shown],
            "remark": _remark(found),
        }
        for case, found in ((case, measured[case]) for case in ranked_cases(measured))
    ]
    return {"labels": shown, "remarks": any(row["remark"] for row in rows), "rows": rows}


def _dice_and_hd95(metrics: CaseMetrics) -> Values:
    return {"dice": _dice(metrics.dice), "hd95": _or_dash(metrics.hd95, 1)}


def _dice(value: float) -> Values:
    """The text of a Dice and the length of its bar in per cent."""
    return {"text": _or_dash(value, 3), "share": f"{0 if math.isnan(value) else 100 * value:.1f}"}


def _or_dash(value: float, digits: int) -> str:
    return DASH if math.isnan(value) else f"{value:.{digits}f}"


def _remark(found: Mapping[str, CaseMetrics]) -> str:
    """Which labels are missing in the truth or the prediction."""
    labels = {label: metrics for label, metrics in found.items() if label != WHOLE}
    missing = {
        "in neither": [name for name, one in labels.items() if not one.volume_truth and not one.volume_prediction],
        "missed": [name for name, one in labels.items() if one.volume_truth and not one.volume_prediction],
        "not in the truth": [name for name, one in labels.items() if not one.volume_truth and one.volume_prediction],
    }
    return "; ".join(f"{', '.join(names)} {what}" for what, names in missing.items() if names)


def _data_uri(picture: bytes) -> str:
    return f"data:image/svg+xml;base64,{base64.b64encode(picture).decode()}"
