"""What a run was started with, kept beside its output so that two runs never mix."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import monai
import torch
from ignite.engine import Engine, Events

import lunet_networks
from lunet_networks.bundle.runtime import outputs
from lunet_networks.bundle.runtime.distributed import from_rank_0
from lunet_networks.bundle.runtime.errors import shortened_list
from lunet_networks.bundle.runtime.files import write_atomically
from lunet_networks.bundle.runtime.settings import SETTINGS

__all__ = ["DatasetCases", "RunRecord", "RunRecordHandler", "differing_settings"]

logger = logging.getLogger(__name__)


class DatasetCases(list):
    """Cases that the bundle read from its own ``dataset_dir``. Programs that run a bundle on data of theirs, such as
    MONAI Label, put a plain list in this one's place."""


class RunRecord:
    """The record ``OUTPUT_DIR/run.json`` of a training: its settings, cases and versions.

    A training on the bundle's own dataset is refused where another one has left its output, unless it is told what to
    do. A guest is never refused: MONAI Label, which brings cases of its own, and federated clients, which run the
    trainer without ``open``. What they find of a training on the bundle's dataset they move to ``set_aside_N``.

    Args:
        output_dir: folder of the run.
        settings: those that were checked, with "resume" and "overwrite" among them.
        training: cases to train on.
        validation: cases that choose the best model.

    Example::

        record = RunRecord("eval", settings, training, validation)
        record.open()
        SupervisedTrainer(..., train_handlers=[RunRecordHandler(record), ...]).run()
    """

    def __init__(
        self,
        output_dir: str | Path,
        settings: Mapping[str, Any],
        training: Sequence[Mapping[str, Any]],
        validation: Sequence[Mapping[str, Any]],
    ) -> None:
        self.output_dir = Path(output_dir)
        self.path = self.output_dir / outputs.RUN_RECORD
        self.settings = dict(settings)
        self.cases = {"training": _names(training), "validation": _names(validation)}
        self.guest = not isinstance(training, DatasetCases)
        self.is_open = False

    def open(self) -> None:
        """Start the record of this run, or take up that of the run to resume. Of several processes the first one does.

        Raises:
            FileExistsError: if ``output_dir`` holds another run's output and neither resume nor overwrite is set.
            ValueError: if the run to resume was another one, with what differs; or if both are set.
        """
        self.is_open = True
        from_rank_0(self._start)

    def open_as_guest(self) -> None:
        """Start the record of a run that may not be refused."""
        self.guest = True
        self.open()

    def _start(self) -> None:
        resume, overwrite = self.settings["resume"], self.settings["overwrite"]
        if resume and overwrite:
            raise ValueError("resume and overwrite are both True: one continues the run that is there, one deletes it")
        if self.guest:
            self._make_room()
        elif resume and (self.output_dir / outputs.CHECKPOINT).is_file():
            self._check_same_run()
        elif overwrite or resume:
            if resume:
                logger.info(f"there is nothing to resume in {self.output_dir}: starting anew")
            self._delete_outputs()
        elif self._holds_work():
            raise FileExistsError(
                f"{self.output_dir} holds the output of another training: --resume True continues it, "
                "--overwrite True deletes it and starts anew, --output_dir names another folder"
            )
        self._write()

    def _check_same_run(self) -> None:
        if not self.path.is_file():
            raise ValueError(
                f"{self.output_dir} has no {outputs.RUN_RECORD}, so that nobody knows what {outputs.CHECKPOINT} is of"
            )
        older = json.loads(self.path.read_text(encoding="utf-8"))
        differences = differing_settings(older["settings"], self.settings)
        processes = older.get("processes", 1)
        if processes != idist.get_world_size():
            differences.append(f"processes: {processes} then, {idist.get_world_size()} now")
        for section, cases in self.cases.items():
            then = older["cases"][section]
            if then != cases:
                others = len(set(then) ^ set(cases))
                differences.append(
                    f"{section} cases: {len(then)} then, {len(cases)} now, {others} of them not the same"
                )
        if differences:
            raise ValueError(
                f"{self.output_dir} cannot be resumed, it was another training:\n{shortened_list(differences)}\n"
                "give the same settings again, or start anew with --overwrite True or another --output_dir"
            )

    def _write(self) -> None:
        record = {
            "settings": self.settings,
            "guest": self.guest,
            "cases": self.cases,
            "processes": idist.get_world_size(),
            "versions": {
                "lunet_networks": lunet_networks.__version__,
                "monai": monai.__version__,
                "torch": torch.__version__,
            },
        }
        write_atomically(self.path, (json.dumps(record, indent=1) + "\n").encode())

    def _make_room(self) -> None:
        """Move the output of a training on the bundle's dataset out of a guest's way; that of a guest is replaced."""
        if self.path.is_file() and json.loads(self.path.read_text(encoding="utf-8"))["guest"]:
            self._delete_outputs()
            return
        outputs = self._outputs()
        if outputs:
            aside = self.output_dir / f"set_aside_{len(list(self.output_dir.glob('set_aside_*'))) + 1}"
            aside.mkdir()
            for path in outputs:
                path.rename(aside / path.name)
            logger.info(f"the output of another training is now in {aside}")

    def _holds_work(self) -> bool:
        """Whether a training has completed an epoch here; a record alone is of one that failed before."""
        return any(path.name != outputs.RUN_RECORD for path in self._outputs())

    def _outputs(self) -> list[Path]:
        return sorted(path for pattern in outputs.OF_TRAINING for path in self.output_dir.glob(pattern))

    def _delete_outputs(self) -> None:
        for path in self._outputs():
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()


class RunRecordHandler:
    """Handler that opens the record where the trainer runs without the bundle's own list of steps, as a federated
    client does.

    Args:
        run_record: of this run.
    """

    def __init__(self, run_record: RunRecord) -> None:
        self.run_record = run_record

    def attach(self, engine: Engine) -> None:
        """Follow a trainer."""
        engine.add_event_handler(Events.STARTED, self)

    def __call__(self, engine: Engine) -> None:
        if not self.run_record.is_open:
            self.run_record.open_as_guest()


def differing_settings(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """How the settings of a training differ from those in the record of another, but for those that may.

    Args:
        then: as ``run.json`` has them.
        now: as they were checked.

    Example:
        >>> differing_settings({"seed": 1, "resume": False}, {"seed": 2, "resume": True})
        ['seed: 1 then, 2 now']
    """
    now = json.loads(json.dumps(now))  # which turns tuples into lists
    return [
        f"{name}: {then.get(name)!r} then, {now.get(name)!r} now"
        for name in sorted((then.keys() | now.keys()) & SETTINGS.keys())
        if not SETTINGS[name].may_change and then.get(name) != now.get(name)
    ]


def _names(cases: Sequence[Mapping[str, Any]]) -> list[str]:
    """File names of the labels: the images may be several a case, and folders may move."""
    return [Path(case["label"]).name for case in cases]
