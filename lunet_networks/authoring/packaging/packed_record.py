"""The records of a training and its evaluation in a packed bundle: without the names of cases."""

import csv
import io
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lunet_networks.bundle.report.summaries import (
    TITLES,
    best_epoch,
    means_by_label,
    means_table,
    num_cases,
    other_settings,
)
from lunet_networks.bundle.runtime import outputs
from lunet_networks.bundle.runtime.files import as_csv
from lunet_networks.bundle.runtime.outputs import RECORDS
from lunet_networks.bundle.training.records import DATASET_DIR, WEIGHTS
from lunet_networks.bundle.training.trained_cases import OF_THE_MODEL
from lunet_networks.state_dicts import read_state_dict, weights_digest

TOLD = (outputs.RUN_RECORD, outputs.HISTORY, outputs.SUMMARY)  # cases.csv names every case


@dataclass(frozen=True)
class Records:
    """The record of a training and of the evaluation of its best weights.

    Args:
        run: run.json.
        history: text of history.csv.
        summary: text of summary.csv.
    """

    run: dict[str, Any]
    history: str
    summary: str

    def files(self) -> dict[str, str]:
        """The files for docs. Lists of cases become their number: names of cases may identify patients."""
        run = {**self.run, "cases": {section: _count(cases) for section, cases in self.run["cases"].items()}}
        run.pop(WEIGHTS, None)  # a packed network may lack heads that are only used in training
        run.pop(DATASET_DIR, None)
        if run["settings"].get("pretrained"):
            run["settings"] = {**run["settings"], "pretrained": Path(run["settings"]["pretrained"]).name}
        summary = as_csv([{name: row[name] for name in row if name != WEIGHTS} for row in self._rows()])
        contents = (json.dumps(run, indent=1, ensure_ascii=False) + "\n", self.history, summary)
        return {f"docs/{RECORDS[name]}": content for name, content in zip(TOLD, contents, strict=True)}

    def are_of(self, model: Path) -> bool:
        """Whether the evaluation was one of these weights. Evaluations of older versions do not tell."""
        evaluated = self._rows()[0].get(WEIGHTS)
        return not evaluated or evaluated == weights_digest(read_state_dict(model))

    def metrics(self) -> dict[str, float]:
        """Means over the cases, by metric and by label; ``mean_dice`` is that over the labels that a case has."""
        means = {"_".join(place): mean for place, mean in means_by_label(self._rows()).items()}
        of_labels = [means.get(f"{label}_dice", math.nan) for label in self.run["settings"]["label_names"]]
        dice = [mean for mean in of_labels if not math.isnan(mean)]
        means = {"mean_dice": sum(dice) / len(dice), **means} if dice else means
        told = [name for name in means if name.endswith(tuple(TITLES)) and math.isfinite(means[name])]
        return {name: round(means[name], 4) for name in told}

    def performance(self, defaults: dict[str, Any]) -> str:
        """Text for the model card.

        Args:
            defaults: settings of train.json; the text lists those that the training had otherwise.
        """
        settings, history = self.run["settings"], csv.DictReader(io.StringIO(self.history))
        others = other_settings(settings, defaults, besides=("preset", "pretrained"))
        rows = self._rows()
        training, validation = (_count(self.run["cases"][section]) for section in ("training", "validation"))
        return (
            f"`models/model.pt` holds the weights after epoch {best_epoch(history)} of {settings['epochs']}, "
            f"trained on {training} cases with torch {self.run['versions']['torch']} and the settings below"
            f"{f' but {others}' if others else ''} (seed {settings['seed']}, fold {settings['fold']} of "
            f"{settings['num_folds']}, {validation} validation cases). `models/model.ts` is the same as "
            "TorchScript.\n\n"
            f"{means_table(rows)}\n\nMeans over the {num_cases(rows)} {rows[0]['cases']} cases"
            f"{', which also chose the best epoch' if rows[0]['chose_best_model'] == 'yes' else ''}. "
            f"`{RECORDS[outputs.SUMMARY]}` has their spread, `{RECORDS[outputs.HISTORY]}` every epoch's figures, "
            f"`{RECORDS[outputs.RUN_RECORD]}` all settings."
        )

    def _rows(self) -> list[dict[str, str]]:
        return list(csv.DictReader(io.StringIO(self.summary)))


def read_records(folder: Path, preset: str | None, defaults: Mapping[str, Any]) -> Records:
    """The records in an output folder, or in docs of a bundle that has weights.

    Args:
        folder: ``output_dir`` of a training and of the evaluation after it.
        preset: to be packed.
        defaults: settings of the bundle's train.json.

    Raises:
        FileNotFoundError: if one of them is missing.
        ValueError: if they are of another preset, or of other labels, channels or voxels than the bundle's.
    """
    names = [RECORDS[name] if (folder / RECORDS[outputs.RUN_RECORD]).is_file() else name for name in TOLD]
    missing = [str(folder / name) for name in names if not (folder / name).is_file()]
    if missing:
        raise FileNotFoundError(f"there is no {', '.join(missing)}: train and evaluate first")
    run, history, summary = ((folder / name).read_text(encoding="utf-8") for name in names)
    try:
        records = Records(json.loads(run), history, summary)
        records.metrics()
        records.performance({})
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise ValueError(f"{folder} does not hold the records of a training and its evaluation ({error!r})") from None
    settings = records.run["settings"]
    packed = {name: defaults[name] for name in OF_THE_MODEL if name in defaults and name != "preset"}
    for name, value in (packed | ({} if preset is None else {"preset": preset})).items():
        if settings.get(name, value) != value:
            place = folder / names[0]
            raise ValueError(
                f"{place} is of another training: its {name} is {settings[name]}, that of the bundle {value}"
            )
    return records


def _count(cases: list[str] | int) -> int:
    return cases if isinstance(cases, int) else len(cases)  # a number where the records are of a packed bundle
