"""What a training tells the user: what it trains, labels that are not found, how it went, and what to do next."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any

import ignite.distributed as idist
from ignite.engine import Engine, Events

from lunet_networks.bundle.runtime import outputs
from lunet_networks.bundle.runtime.commands import next_command, running_command
from lunet_networks.bundle.runtime.errors import stop_if_asked, tell_if_stopped
from lunet_networks.bundle.runtime.files import as_path
from lunet_networks.bundle.runtime.settings import SETTINGS
from lunet_networks.bundle.training.history import KEY_METRIC, History, Row
from lunet_networks.bundle.training.run_record import RunRecord
from lunet_networks.bundle.training.time_left import in_words

__all__ = ["Summary"]

logger = logging.getLogger(__name__)

PATIENCE = (10, 20)  # least and most epochs, after which a label should be found: otherwise half of a training
VALIDATIONS = 3  # at least
OF_NETWORK = ("bundle_root", "preset", "network_def", "label_names", "in_channels", "pixdim", "roi_size", "device")


class Summary:
    """Handler that logs what a training is about, a hint on labels that are not found, and a summary at its end.

    The summary names the best epoch, its Dice of each label, the files and the commands for an evaluation and for an
    inference. If Ctrl-C stops the training, the last line says how to go on. In a run by MONAI Label or a federated
    client, which has its own way of telling, only the hint is logged.

    Args:
        run_record: record of this run.
        history: of this run; its recorder is attached before this handler.
        ckpt_dir: folder of model.pt.
        dataset_dir: folder of the dataset.
        data: the cases that validate.
    """

    def __init__(
        self,
        run_record: RunRecord,
        history: History,
        ckpt_dir: str | Path,
        dataset_dir: str | Path,
        data: Sequence[Mapping[str, Any]],
    ) -> None:
        self.run_record = run_record
        self.history = history
        self.model = as_path(ckpt_dir) / "model.pt"
        self.dataset_dir = as_path(dataset_dir)
        self.data = data
        self.hinted: set[str] = set()

    def attach(self, engine: Engine) -> None:
        """Attach this handler to a trainer."""
        engine.add_event_handler(Events.STARTED, self._begin)
        engine.add_event_handler(Events.ITERATION_STARTED, stop_if_asked)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._hint)
        engine.add_event_handler(Events.COMPLETED, self._end)

    def _begin(self, engine: Engine) -> None:
        if self.run_record.guest:
            return
        tell_if_stopped(lambda: self._stopped(engine))
        cases = self.run_record.cases
        logger.info(
            f"training {self.run_record.network_name} on {len(cases['training'])} cases, "
            f"{len(cases['validation'])} validate; the files are written to {self.run_record.output_dir} and "
            f"{self.model.parent}"
        )

    def _hint(self, engine: Engine) -> None:
        epoch = engine.state.epoch
        if idist.get_rank() != 0 or epoch < min(PATIENCE[1], max(PATIENCE[0], engine.state.max_epochs // 2)):
            return
        names = []
        for name, column in zip(self.history.label_names, self.history.label_columns, strict=True):
            dice = [row[column] for row in self.history.validated if not math.isnan(row[column])]
            if len(dice) >= VALIDATIONS and not any(dice) and name not in self.hinted:
                names.append(name)
        if names:
            self.hinted.update(names)
            logger.warning(self._causes(names, epoch))

    def _causes(self, names: Sequence[str], epoch: int) -> str:
        settings = self.run_record.settings
        loss = "" if settings.get("loss_name") == "dice_focal" else " or --loss_name dice_focal"
        return (
            f"the Dice of {', '.join(names)} is still 0 after {epoch} epochs. Usual causes: the label is small or rare "
            f"(more --epochs{loss}); it vanishes at the pixdim {settings.get('pixdim')} (lunet fingerprint shows "
            "volumes of labels); label_names are in another order than the values in the label files; the "
            f"learning_rate {settings.get('learning_rate')} is too high"
        )

    def _end(self, engine: Engine) -> None:
        tell_if_stopped(None)
        if idist.get_rank() == 0 and not self.run_record.guest and self.history.rows:
            logger.info("\n".join([self._best(engine), self._files(), *self._next()]))

    def _best(self, engine: Engine) -> str:
        rows, best = self.history.rows, self.history.best
        spent = f"{rows[-1]['epoch']} of {engine.state.max_epochs} epochs, {in_words(_seconds(rows))}"
        if best is None:
            return f"trained {spent}; no epoch was validated, so {self.model} has the newest weights"
        names = zip(self.history.label_names, self.history.label_columns, strict=True)
        of_labels = ", ".join(f"{name} {best[column]:.3f}" for name, column in names if not math.isnan(best[column]))
        return f"trained {spent}; the best is epoch {best['epoch']}: Dice {best[KEY_METRIC]:.3f} ({of_labels})"

    def _files(self) -> str:
        folder = self.run_record.output_dir
        names = (outputs.HISTORY, outputs.CURVES, outputs.TENSORBOARD, outputs.RUN_RECORD, outputs.CHECKPOINT)
        there = [str(path) for path in (self.model, *(folder / name for name in names)) if path.exists()]
        return "\n  ".join(["files:", *there])

    def _next(self) -> list[str]:
        arguments = running_command()
        if arguments[:1] != ["training"]:
            return []
        folder = self.run_record.output_dir
        places = {
            "ckpt_dir": str(self.model.parent),
            "dataset_dir": self._example(),
            "output_dir": f"{folder / 'labels'}",
        }
        evaluate = next_command(arguments, "visualize", _of_evaluation, _of_weights)
        infer = next_command(
            arguments,
            "inference",
            lambda files: [str(PurePath(files[0]).with_name("inference.json"))],
            lambda given: {**_of_network(given), **places},
        )
        if not evaluate:
            return []
        return [
            f"next, measure it case by case; {folder / 'report.html'} will show the cases:",
            f"  {evaluate}",
            "and label images:",
            f"  {infer}",
        ]

    def _example(self) -> str:
        """Images to label: those to test with, otherwise one that validated."""
        for_tests = self.dataset_dir / "imagesTs"
        if for_tests.is_dir() and any(for_tests.iterdir()):
            return str(for_tests)
        image = self.data[0]["image"] if self.data else self.dataset_dir
        return str(image) if isinstance(image, (str, Path)) else str(Path(image[0]).parent)

    def _stopped(self, engine: Engine) -> str:
        arguments = running_command()
        epoch, done = engine.state.epoch, self.history.rows[-1]["epoch"] if self.history.rows else 0
        where = f"stopped {'after' if epoch == done else 'in'} epoch {epoch} of {engine.state.max_epochs}"
        if not done:
            return f"{where}, before an epoch was complete: start the training again"
        command = next_command(arguments, arguments[0], list, _resumed) if arguments else ""
        return f"{where}; the training up to epoch {done} is in {self.run_record.output_dir}: go on with " + (
            f"\n  {command}" if command else "resume True"
        )


def _resumed(given: dict[str, str]) -> dict[str, str]:
    return {**{name: given[name] for name in given if name != "overwrite"}, "resume": "True"}


def _of_evaluation(files: list[str]) -> list[str]:
    of_training = [file for file in files if PurePath(file).name != "multi_gpu_train.json"]
    return [*of_training, *(str(PurePath(files[0]).with_name(name)) for name in ("evaluate.json", "visualize.json"))]


def _of_network(given: dict[str, str]) -> dict[str, str]:
    """The settings of a training that an inference has, too, and what was changed inside the network, such as
    network_def#channels."""
    return {name: value for name, value in given.items() if name.replace("::", "#").partition("#")[0] in OF_NETWORK}


def _of_weights(given: dict[str, str]) -> dict[str, str]:
    """The settings of a training that an evaluation needs, too: without those that may change in the course of it."""
    during = {name for name, setting in SETTINGS.items() if setting.recorded and setting.may_change}
    return {name: value for name, value in given.items() if name not in during}


def _seconds(rows: Sequence[Row]) -> float:
    return sum(row["seconds"] for row in rows)
