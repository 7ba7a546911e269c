"""A report as one HTML page that opens from disk: nothing in it is fetched from anywhere."""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from lunet_networks.bundle.evaluation.contours import RANKS, CasePicture, label_figures, legend_entries
from lunet_networks.bundle.evaluation.metrics import WHOLE, CaseMetrics
from lunet_networks.bundle.evaluation.ranking import mean_dice, ranked_cases
from lunet_networks.bundle.evaluation.tables import COLUMNS, TABLE
from lunet_networks.bundle.report.charts import chart, draw_dice_of_cases, svg
from lunet_networks.bundle.report.style import STYLE
from lunet_networks.bundle.report.training_record import Training
from lunet_networks.bundle.training.curves import CURVES
from lunet_networks.bundle.training.history import KEY_METRIC

__all__ = ["ReportContent", "report_page"]

Measured = Mapping[str, Mapping[str, CaseMetrics]]
DIGITS = {"dice": 3, "hd95": 2, "nsd": 3}
DASH = "\N{EN DASH}"
UNDER_A_LABEL = '<th scope="col" class="number group">Dice</th><th scope="col" class="number">HD95, mm</th>'
LINES = {"solid": "", "dashed": ' stroke-dasharray="6 4"'}


@dataclass(frozen=True)
class ReportContent:
    """What a report says.

    Args:
        title: what was evaluated on which data.
        cases: which cases these are, as the end of a sentence.
        note: of the one who made it; "" for none.
        tiles: figures for the head of the page, by what they are.
        measured: metrics by the case's name, then by label.
        summary: the rows of summary.csv.
        pictures: of single cases, by a key of ``chosen_cases``.
        training: of the weights; None where nothing is known of it.
        no_training: why not.
        sources: what the report was made from, by what it is.
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
    """The page as HTML."""
    sections: dict[str, tuple[str, Callable[[ReportContent], str]]] = {
        "figures": ("Figures", _figures),
        "cases": ("Best, median and worst case" if len(content.pictures) > 2 else "Pictures of cases", _pictures),
        "training": ("Training", _training),
        "all": ("All cases", _all_cases),
        "sources": ("Where this comes from", _sources),
    }
    links = "".join(f'<a href="#{name}">{title}</a>' for name, (title, _) in sections.items())
    body = "".join(
        f'<section aria-labelledby="{name}"><h2 id="{name}">{title}</h2>{write(content)}</section>\n'
        for name, (title, write) in sections.items()
    )
    tiles = "".join(
        f"<div><dt>{escape(name)}</dt><dd>{escape(text)}</dd></div>" for name, text in content.tiles.items()
    )
    note = f"<p>{escape(content.note)}</p>" if content.note else ""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n<link rel="icon" href="data:,">\n'
        f"<title>{escape(content.title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        f'<header><h1>{escape(content.title)}</h1><p class="soft">Measured on {escape(content.cases)}.</p>{note}'
        f'<dl class="tiles">{tiles}</dl><nav aria-label="Sections">{links}</nav></header>\n'
        f"<main>\n{body}</main>\n"
        "<footer>Research only. Not a medical device, not validated for clinical use.</footer>\n</body>\n</html>\n"
    )


def _figures(content: ReportContent) -> str:
    cells = {(row["label"], row["metric"]): row for row in content.summary}
    labels = list(dict.fromkeys(row["label"] for row in content.summary))
    labels = labels if len(labels) > 2 else labels[:1]  # a single label is the whole
    rows = [
        [f'<th scope="row">{escape(label)}</th>']
        + [f"<td>{_mean_and_range(cells[label, COLUMNS[field]], DIGITS[field])}</td>" for field in TABLE]
        for label in labels
    ]
    table = _table(["label", *TABLE.values()], rows)
    size = 1.1 + len(labels) * (0.62 if len(labels) < 8 else 0.36)
    dice = _chart(
        chart(lambda axes: draw_dice_of_cases(axes, content.measured), (4.5, max(2.0, size))),
        f"Dice of every case for {', '.join(labels)}: {_in_words(content.summary)}",
        "A point is a case. The box holds the middle half of the cases, the line is the median.",
    )
    missing = any(row["missing"] for row in content.summary)
    explained = (
        "Mean ± standard deviation over the cases; Dice and NSD run from 0 to 1, where 1 is best, HD95 is a distance. "
        "NSD is the share of both surfaces that lies within 1 mm of the other one. "
        + (f"<em>{escape(WHOLE)}</em> takes all labels as one. " if len(labels) > 1 else "")
        + ("HD95 is missing where the truth or the prediction lacks the label. " if missing else "")
    )
    return f'<div class="pair"><div>{table}<p class="soft">{explained}</p></div>{dice}</div>'


def _mean_and_range(row: Mapping[str, Any], digits: int) -> str:
    mean, sd, median, least, most = (float(row[name]) for name in ("mean", "sd", "median", "min", "max"))
    if math.isnan(mean):
        return f"{DASH}<small>in no case</small>"
    missing = f"<small>missing in {row['missing']} of {row['n'] + row['missing']}</small>" if row["missing"] else ""
    if row["n"] == 1:
        return f"<strong>{mean:.{digits}f}</strong>{missing}"
    return (
        f'<strong>{mean:.{digits}f}</strong> <span class="spread">± {sd:.{digits}f}</span>'
        f"<small>median {median:.{digits}f}</small><small>{least:.{digits}f} to {most:.{digits}f}</small>{missing}"
    )


def _in_words(summary: Sequence[Mapping[str, Any]]) -> str:
    return ", ".join(
        f"{row['label']} median {float(row['median']):.3f}" for row in summary if row["metric"] == COLUMNS["dice"]
    )


def _pictures(content: ReportContent) -> str:
    first = next(iter(content.pictures.values()))
    legend = "".join(
        f'<li><svg viewBox="0 0 34 10" aria-hidden="true"><path d="M0 5H34" stroke="{colour}" stroke-width="2.5"'
        f"{LINES[line]}/></svg>{escape(text)}</li>"
        for text, colour, line in legend_entries(first.label_names)
    )
    volume = len(first.planes) > 1
    seen = (
        "Each plane is the one in which most of the true structure is seen, cropped to its surroundings. The patient's "
        "right is at the left of the picture (R right, L left, A front, P back, S head, I feet)."
        if volume
        else "The surroundings of the true structure; the first axis of the file runs to the right, the second upwards."
    )
    ignored = any(picture.ignored for picture in content.pictures.values())
    seen += " What nobody has annotated is darker and counts nowhere." if ignored else ""
    cards = "".join(_card(rank, picture) for rank, picture in content.pictures.items())
    return f'<p class="soft">{seen}</p><ul class="legend">{legend}</ul>{cards}'


def _card(rank: str, picture: CasePicture) -> str:
    dice = mean_dice(picture.found)
    several = len(picture.label_names) > 1
    figures = "".join(f"<li>{escape(text)}</li>" for text in label_figures(picture.found))
    panels = "".join(
        f'<figure><img src="{_data_uri(panel)}" alt="{escape(_described(picture, plane.title))}">'
        f"{f'<figcaption>{escape(plane.title.capitalize())}</figcaption>' if plane.title else ''}</figure>"
        for plane, panel in zip(picture.planes, picture.panels(svg), strict=True)
    )
    outside = picture.share_outside
    remark = f'<p class="soft">{outside:.0%} of the prediction lies outside of these pictures.</p>' if outside else ""
    mean = f", mean Dice {dice:.3f}" if several else ""
    return (
        f'<article class="case"><h3>{RANKS[rank]}: {escape(picture.name)}{mean}</h3><ul>{figures}</ul>'
        f'<div class="{"three" if len(picture.planes) > 1 else "single"}">{panels}</div>{remark}</article>'
    )


def _described(picture: CasePicture, plane: str) -> str:
    where = f"{plane.capitalize()} plane of {picture.name}" if plane else picture.name
    return f"{where} with the outlines of truth and prediction; {'; '.join(label_figures(picture.found))}"


def _training(content: ReportContent) -> str:
    training = content.training
    if training is None:
        return f"<p>Nothing is known of the training of these weights: {escape(content.no_training)}.</p>"
    history, best = training.history, training.history.best
    about = (
        f"{len(history.rows)} epochs in {training.duration}, on {training.num_cases('training')} cases, "
        f"with {training.num_cases('validation')} for validation. "
        + (f"The best mean Dice of a validation was {best[KEY_METRIC]:.3f}, " if best else "")
        + (f"in epoch {best['epoch']}, whose weights are these." if best else "")
    )
    first, last = history.rows[0]["loss"], history.rows[-1]["loss"]
    alts = {
        "loss": f"Training loss over the epochs, from {first:.3f} to {last:.3f}",
        "Dice": "Dice in training and validation over the epochs",
        "learning rate": "Learning rate over the epochs",
    }
    curves = "".join(
        _chart(chart(lambda axes, draw=draw: draw(axes, history), (3.75, 3.1)), alts[name], "")
        for name, draw in CURVES.items()
    )
    settings = "".join(
        f"<li><span>{escape(name)}</span> <code>{escape(str(value))}</code></li>"
        for name, value in sorted(training.run["settings"].items())
    )
    return (
        f'<p class="soft">{about}</p><div class="three">{curves}</div>'
        f'<h3>Settings</h3><ul class="settings">{settings}</ul>'
    )


def _all_cases(content: ReportContent) -> str:
    measured = content.measured
    labels = [label for label in next(iter(measured.values())) if label != WHOLE]
    shown = [*labels, WHOLE] if len(labels) > 1 else labels
    ranks = {picture.name: rank for rank, picture in content.pictures.items()}
    remarks = {case: _remarks(found) for case, found in measured.items()}
    head = [
        '<th scope="col" rowspan="2">case</th>',
        '<th scope="col" rowspan="2">mean Dice</th>' if len(labels) > 1 else "",
        *(f'<th scope="colgroup" colspan="2">{escape(label)}</th>' for label in shown),
        '<th scope="col" rowspan="2">remarks</th>' if any(remarks.values()) else "",
    ]
    rows = []
    for case in ranked_cases(measured):
        badge = f'<span class="badge">{ranks[case]}</span>' if case in ranks else ""
        cells = [f'<th scope="row">{escape(case)}{badge}</th>', *_case_cells(measured[case], shown)]
        if any(remarks.values()):
            cells.append(f'<td class="wide">{escape(remarks[case])}</td>')
        rows.append(f"<tr>{''.join(cells)}</tr>")
    dash = " A dash: there is no such figure, because the truth or the prediction lacks the label."
    return (
        f'<p class="soft">The worst first.{dash if any(remarks.values()) else ""}</p><div class="scroll">'
        f'<table class="cases"><thead><tr>{"".join(head)}</tr><tr>{UNDER_A_LABEL * len(shown)}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _case_cells(found: Mapping[str, CaseMetrics], shown: Sequence[str]) -> Iterator[str]:
    """Dice and HD95 of the labels, the Dice that the cases are sorted by with a bar."""
    if len(shown) > 1:
        yield _bar(mean_dice(found))
    for label in shown:
        metrics = found[label]
        absent = not metrics.volume_truth and not metrics.volume_prediction
        dice, hd95 = (math.nan, math.nan) if absent else (metrics.dice, metrics.hd95)
        yield _bar(dice) if len(shown) == 1 else f'<td class="number group">{_or_dash(dice, 3)}</td>'
        yield f'<td class="number">{_or_dash(hd95, 1)}</td>'


def _remarks(found: Mapping[str, CaseMetrics]) -> str:
    """Which labels are missing where."""
    labels = {label: metrics for label, metrics in found.items() if label != WHOLE}
    missing = {
        "in neither": [name for name, one in labels.items() if not one.volume_truth and not one.volume_prediction],
        "missed": [name for name, one in labels.items() if one.volume_truth and not one.volume_prediction],
        "not in the truth": [name for name, one in labels.items() if not one.volume_truth and one.volume_prediction],
    }
    return "; ".join(f"{', '.join(names)} {what}" for what, names in missing.items() if names)


def _bar(value: float) -> str:
    share = 0 if math.isnan(value) else 100 * value
    return f'<td class="bar" style="--share:{share:.1f}%">{_or_dash(value, 3)}</td>'


def _or_dash(value: float, digits: int) -> str:
    return DASH if math.isnan(value) else f"{value:.{digits}f}"


def _sources(content: ReportContent) -> str:
    facts = "".join(f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in content.sources.items())
    return f'<dl class="facts">{facts}</dl>'


def _table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f'<th scope="col">{escape(title)}</th>' for title in titles)
    body = "".join(f"<tr>{''.join(row)}</tr>" for row in rows)
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _chart(picture: bytes, described: str, caption: str) -> str:
    below = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""
    return f'<figure class="chart"><img src="{_data_uri(picture)}" alt="{escape(described)}">{below}</figure>'


def _data_uri(picture: bytes) -> str:
    return f"data:image/svg+xml;base64,{base64.b64encode(picture).decode()}"
