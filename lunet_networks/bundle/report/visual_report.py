"""The visual report of an evaluation: metrics, pictures, curves, settings and sources on one page."""

from __future__ import annotations

import hashlib
import logging
import math
import platform
import re
import statistics
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

import monai
import torch
from torch import nn

import lunet_networks
from lunet_networks.bundle.data.datalist import read_dataset_json
from lunet_networks.bundle.evaluation.contours import RANKS, CasePicture, CasePictures, case_title
from lunet_networks.bundle.evaluation.metrics import CaseMetrics
from lunet_networks.bundle.evaluation.ranking import chosen_cases, mean_dice
from lunet_networks.bundle.evaluation.tables import EvaluationReport, case_names, summary_rows
from lunet_networks.bundle.report.found_training import Training, find_training
from lunet_networks.bundle.report.page import ReportContent, report_page
from lunet_networks.bundle.runtime.files import as_path, write_atomically
from lunet_networks.bundle.training.trained_network import network_name

__all__ = ["VisualReport"]

logger = logging.getLogger(__name__)


class VisualReport:
    """Writes ``report.html``, ``case_best.png``, ``case_median.png`` and ``case_worst.png`` after an evaluation.

    Args:
        output_dir: of the evaluation. If it also holds a training, the report shows the training curves.
        bundle_root: the bundle's folder. Its docs hold the records of the training of its own weights.
        ckpt_dir: folder of the model.pt that was evaluated.
        dataset_dir: folder of the dataset.json that lists the cases.
        settings: of train.json.
        network: the evaluated one.
        report: has measured the cases.
        pictures: draws the cases.
        channel: of the image, from 0, that the pictures show; None: the first, or all of a 2D image with three.
        note: a sentence for the head of the page; None for none.

    Example::

        page = VisualReport(...)
        page.open()
        evaluator.run()
        page.write()
    """

    def __init__(
        self,
        output_dir: str | Path,
        bundle_root: str | Path,
        ckpt_dir: str | Path,
        dataset_dir: str | Path,
        settings: Mapping[str, Any],
        network: nn.Module,
        report: EvaluationReport,
        pictures: CasePictures,
        channel: int | None = None,
        note: str | None = None,
    ) -> None:
        self.output_dir = as_path(output_dir)
        self.bundle_root = as_path(bundle_root)
        self.ckpt_dir = as_path(ckpt_dir)
        self.dataset_dir = as_path(dataset_dir)
        self.settings = settings
        self.network = network
        self.report = report
        self.pictures = pictures
        self.channel = channel
        self.note = note

    def open(self) -> None:
        """Check the channel before the evaluation starts.

        Raises:
            ValueError: if the images have no such channel.
        """
        channels = self.settings["in_channels"]
        if self.channel is not None and self.channel not in range(channels):
            raise ValueError(f"channel is {self.channel!r}: the images have {channels} channel(s), counted from 0")

    def write(self) -> None:
        """Write the report.

        Raises:
            ValueError: if the truth of no case has a label.
        """
        measured = self.report.measured
        chosen = chosen_cases(measured)
        if not chosen:
            names = sorted(case_names(measured).values())
            raise ValueError(
                f"there is no case to draw: the labels of {', '.join(names[:5])}{', ...' if len(names) > 5 else ''} "
                f"hold none of {', '.join(self.report.label_names)}"
            )
        pictures = {rank: self.pictures.picture(path, self.channel) for rank, path in chosen.items()}
        for rank, picture in pictures.items():
            picture.write(self.output_dir / f"case_{rank}.png", case_title(picture.name, rank, picture.found))
        for rank in RANKS.keys() - pictures.keys():  # left by an earlier run
            (self.output_dir / f"case_{rank}.png").unlink(missing_ok=True)
        path = self.output_dir / "report.html"
        write_atomically(path, report_page(self._content(pictures)).encode())
        logger.info("%s: open it in a browser", path)

    def _content(self, pictures: Mapping[str, CasePicture]) -> ReportContent:
        names = case_names(self.report.measured)
        measured = {names[path]: found for path, found in self.report.measured.items()}
        training, no_training = find_training(self.output_dir, self.bundle_root, self.ckpt_dir, self.settings, measured)
        dataset = read_dataset_json(self.dataset_dir)
        # the configs of a packed bundle have no preset, but its training record has
        named = {**(training.run["settings"] if training else {}), **self.settings}
        network = network_name(named, self.network)
        return ReportContent(
            title=f"{network} on {dataset.get('name') or self.dataset_dir.name}",
            cases=self._cases(measured),
            note=self.note or "",
            tiles=self._tiles(),
            measured=measured,
            summary=summary_rows(measured, self.report.section, self.report.chose_best_model(measured)),
            pictures=pictures,
            training=training,
            no_training=no_training,
            sources=self._sources(dataset, training),
        )

    def _cases(self, measured: Mapping[str, Mapping[str, CaseMetrics]]) -> str:
        cases = f"{len(measured)} {self.report.section} case{'s' * (len(measured) > 1)}"
        if self.report.section == "validation" and "validation" not in read_dataset_json(self.dataset_dir):
            cases += f" (fold {self.settings['fold']} of {self.settings['num_folds']})"
        return f"{cases}, which also chose the best epoch" if self.report.chose_best_model(measured) else cases

    def _tiles(self) -> dict[str, str]:
        found = self.report.measured.values()
        dice = [value for value in map(mean_dice, found) if not math.isnan(value)]  # not empty: a case was drawn
        parameters = sum(parameter.numel() for parameter in self.network.parameters())
        return {
            "cases": str(len(found)),
            "mean Dice": f"{statistics.fmean(dice):.3f}",
            "lowest Dice of a case": f"{min(dice):.3f}",
            "parameters": f"{parameters:,}",
        }

    def _licence(self) -> str:
        """What the bundle says of the licence, if dataset.json does not."""
        path = self.bundle_root / "docs" / "data_license.txt"
        text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
        named = re.search(r"^Licence: (.+)\. The data are not part of this bundle\.", text, re.MULTILINE)
        return named[1] if named and not named[1].startswith("not named") else ""

    def _sources(self, dataset: Mapping[str, Any], training: Training | None) -> dict[str, str]:
        weights = self.ckpt_dir / "model.pt"
        content = weights.read_bytes()
        shown = weights.resolve()
        root = self.bundle_root.resolve()
        shown = shown.relative_to(root).as_posix() if shown.is_relative_to(root) else weights.name
        versions = {
            "lunet_networks": lunet_networks.__version__,
            "MONAI": monai.__version__,
            "PyTorch": torch.__version__,
            "Python": platform.python_version(),
        }
        trained = {}
        if training:
            with_versions = ", ".join(f"{name} {version}" for name, version in training.run["versions"].items())
            trained = {"Training": f"{' and '.join(training.sources)}, with {with_versions}"}
        data = [dataset.get(key) for key in ("name", "description", "reference")]
        return {
            "Figures": "measured on the voxels of the label files, and written to cases.csv and summary.csv",
            "Weights": f"{shown}, {len(content):,} bytes, SHA-256 {hashlib.sha256(content).hexdigest()[:16]}…",
            **trained,
            "Data": ". ".join(str(text).rstrip(".") for text in data if text) or self.dataset_dir.name,
            "Licence of the data": str(dataset.get("licence") or self._licence() or "not named"),
            "Made": f"{date.today().isoformat()}, with {', '.join(f'{name} {v}' for name, v in versions.items())}",
        }
