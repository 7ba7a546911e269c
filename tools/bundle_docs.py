"""What a bundle's README says of it in figures and tables, each taken from where the fact stands."""

import csv
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lunet_networks import PRESETS, create_network
from lunet_networks.summary import count_macs, count_parameters

TEMPLATES = Path(__file__).parent / "templates"
RECORDS = {  # what a training and its evaluation wrote, by its name in docs of the bundle that has the weights
    "run.json": "training_run.json",
    "history.csv": "training_history.csv",
    "summary.csv": "evaluation_summary.csv",
    "cases.csv": "evaluation_cases.csv",
}

SETTING = re.compile(r"^(?P<name>[a-z_]+): (?P<default>.+?)(?: # (?P<comment>.+))?$")
END_OF_SETTINGS = "# ---- the rest follows"


def bundle_facts(values: Mapping[str, Any], bundle: Path) -> dict[str, str]:
    """What README.md's placeholders stand for, beyond the values that fill the configs too.

    Args:
        values: those of ``tools.build_bundles.complete``.
        bundle: the bundle's folder.
    """
    network = create_network(
        values["preset"],
        spatial_dims=values["spatial_dims"],
        in_channels=values["in_channels"],
        out_channels=values["out_channels"],
    )
    shape = (1, values["in_channels"], *[64] * values["spatial_dims"])
    return {
        "network": PRESETS.components[values["preset"]].description,
        "parameters": f"{count_parameters(network):,}",
        "macs": f"{count_macs(network, shape) / 1e9:.3f}",
        "labels": ", ".join(values["label_names"]),
        "performance": _performance(bundle / "docs"),
        "train_settings": settings_table(TEMPLATES / "train.yaml", values),
        "inference_settings": settings_table(TEMPLATES / "inference.yaml", values),
    }


def _performance(docs: Path) -> str:
    """How the weights that come with the bundle were trained, and the means of their evaluation, a row a label."""
    if not all((docs / name).is_file() for name in RECORDS.values()):
        return "No trained weights come with this bundle."
    run = json.loads((docs / RECORDS["run.json"]).read_text(encoding="utf-8"))
    history, summary = _rows(docs / RECORDS["history.csv"]), _rows(docs / RECORDS["summary.csv"])
    settings, versions, training, validation = run["settings"], run["versions"], *run["cases"].values()
    best = max((row for row in history if row["val_mean_dice"]), key=lambda row: float(row["val_mean_dice"]))
    minutes = sum(float(row["seconds"]) for row in history) / 60
    chose = ", which also chose the best epoch" if summary[0]["chose_best_model"] == "yes" else ""
    return (
        f"`models/model.pt` holds `{settings['preset']}` after epoch {best['epoch']} of {settings['epochs']}, trained "
        f"on {len(training)} cases in {minutes:.0f} minutes with torch {versions['torch']} and the settings "
        f"below (seed {settings['seed']}, fold {settings['fold']} of {settings['num_folds']}).\n\n"
        f"{_means(summary)}\n\n"
        f"Means over the {summary[0]['n']} {summary[0]['cases']} cases{chose}. `{RECORDS['run.json']}` lists the "
        f"{len(training)} training and the {len(validation)} validation cases, `{RECORDS['cases.csv']}` every case's "
        f"figures, `{RECORDS['history.csv']}` every epoch's."
    )


def _means(summary: list[dict[str, str]]) -> str:
    means = {(row["label"], row["metric"]): float(row["mean"]) for row in summary}
    metrics = {"dice": "Dice", "hd95_mm": "HD95 (mm)", "nsd_1mm": "NSD at 1 mm"}
    table = [f"| label | {' | '.join(metrics.values())} |", "|---|---:|---:|---:|"]
    for label in dict.fromkeys(row["label"] for row in summary):
        table.append(f"| {' | '.join([label, *(f'{means[label, metric]:.3f}' for metric in metrics)])} |")
    return "\n".join(table)


def _rows(path: Path) -> list[dict[str, str]]:
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def settings_table(template: str | Path, values: Mapping[str, Any]) -> str:
    """Table of the settings that stand before the line ``# ---- the rest follows``, or before the first nested key.

    Args:
        template: a YAML file, one setting a line, with what it means behind ``#``.
        values: fill the placeholders ``<key>`` of the defaults.

    Raises:
        ValueError: if a setting has no comment; every one is to be explained.
    """
    rows = ["| setting | default | |", "|---|---|---|"]
    for line in Path(template).read_text(encoding="utf-8").split(END_OF_SETTINGS)[0].splitlines():
        match = SETTING.match(line)
        if not match or line.startswith(("imports:", "#")):
            continue
        name, default, comment = match["name"], match["default"], match["comment"]
        if comment is None:
            raise ValueError(f"{template}: the setting {name!r} has no comment to explain it")
        default = re.sub(r"<([a-z_]+)>", lambda placeholder: str(values[placeholder[1]]), default)
        rows.append(f"| `{name}` | `{default}` | {comment.replace('|', 'or')} |")
    return "\n".join(rows)
