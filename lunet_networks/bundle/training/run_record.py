"""The record of a run's settings, kept in its output folder so that the outputs of two runs never mix."""

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
from lunet_networks.bundle.data.case_files import nfc
from lunet_networks.bundle.runtime import outputs
from lunet_networks.bundle.runtime.distributed import from_rank_0
from lunet_networks.bundle.runtime.errors import shortened_list
from lunet_networks.bundle.runtime.files import as_path, write_atomically
from lunet_networks.bundle.runtime.settings import SETTINGS

__all__ = ["DatasetCases", "RunRecord", "RunRecordHandler", "differing_settings"]

logger = logging.getLogger(__name__)


class DatasetCases(list):
    """Cases that the bundle has read from its own ``dataset_dir``.

    Programs that run a bundle on their own data, such as MONAI Label, replace it by a plain list.
    """


class RunRecord:
    """The record ``OUTPUT_DIR/run.json`` of a training: its settings, cases and versions.

    A training on the bundle's own dataset is refused if the output folder holds the output of another training, unless
    resume or overwrite is set. A guest is a run by MONAI Label, which brings its own cases, or by a federated client,
    which runs the trainer without ``open``. A guest is never refused: the output of a training on the bundle's dataset
    is moved to ``set_aside_N``.

    Args:
        output_dir: folder of the run.
        settings: the checked settings, including "resume" and "overwrite".
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
        self.output_dir = as_path(output_dir)
        self.path = self.output_dir / outputs.RUN_RECORD
        self.settings = dict(settings)
        self.cases = {"training": _names(training), "validation": _names(validation)}
        self.guest = not isinstance(training, DatasetCases)
        self.is_open = False

    def open(self) -> None:
        """Start the record of this run, or continue that of the run to resume. With several processes rank 0 does it.

        Raises:
            FileExistsError: if ``output_dir`` holds another run's output and neither resume nor overwrite is set.
            ValueError: if the run to resume had other settings, cases or number of processes, or if both are set.
        """
        self.is_open = True
        from_rank_0(self._start)

    def open_as_guest(self) -> None:
        """Start the record of a run by MONAI Label or a federated client, which is never refused."""
        self.guest = True
        self.open()

    def _start(self) -> None:
        resume, overwrite = self.settings["resume"], self.settings["overwrite"]
        if resume and overwrite:
            raise ValueError("resume and overwrite are both True: set resume to continue, or overwrite to start anew")
        if self.guest:
            self._make_room()
        elif resume and (self.output_dir / outputs.CHECKPOINT).is_file():
            self._check_same_run()
        elif overwrite or resume:
            if resume:
                logger.info(f"nothing to resume in {self.output_dir}: starting a new training")
            self._delete_outputs()
        elif self._holds_work():
            raise FileExistsError(
                f"{self.output_dir} holds the output of another training: continue it with --resume True, "
                "delete it and start a new one with --overwrite True, or choose another folder with --output_dir"
            )
        self._write()

    def _check_same_run(self) -> None:
        if not self.path.is_file():
            raise ValueError(
                f"{self.output_dir} cannot be resumed: it has no {outputs.RUN_RECORD}, so the settings of its "
                f"{outputs.CHECKPOINT} are unknown; start a new training with --overwrite True or another --output_dir"
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
                differences.append(f"{section} cases: {len(then)} then, {len(cases)} now, {others} of them differ")
        if differences:
            raise ValueError(
                f"{self.output_dir} cannot be resumed, it was another training:\n{shortened_list(differences)}\n"
                "give the same settings again, or start a new training with --overwrite True or another --output_dir"
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
        """Move the output of a training on the bundle's dataset aside for a guest; delete that of an earlier guest."""
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
        """Whether a training has completed an epoch here; a record alone is left by one that failed earlier."""
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
    """Handler that opens the record if the trainer runs without the bundle's own list of steps, as in a federated
    client.

    Args:
        run_record: record of this run.
    """

    def __init__(self, run_record: RunRecord) -> None:
        self.run_record = run_record

    def attach(self, engine: Engine) -> None:
        """Attach this handler to a trainer."""
        engine.add_event_handler(Events.STARTED, self)

    def __call__(self, engine: Engine) -> None:
        if not self.run_record.is_open:
            self.run_record.open_as_guest()


def differing_settings(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """List the settings that differ between two trainings, except those that may change.

    Args:
        then: the settings in ``run.json``.
        now: the checked settings of this run.

    Example:
        >>> differing_settings({"seed": 1, "resume": False}, {"seed": 2, "resume": True})
        ['seed: 1 then, 2 now']
    """
    now = json.loads(json.dumps(now))  # turns tuples into lists
    return [
        f"{name}: {then.get(name)!r} then, {now.get(name)!r} now"
        for name in sorted((then.keys() | now.keys()) & SETTINGS.keys())
        if not SETTINGS[name].may_change and then.get(name) != now.get(name)
    ]


def _names(cases: Sequence[Mapping[str, Any]]) -> list[str]:
    """File names of the labels: a case may have several images, and folders may move."""
    return [nfc(Path(case["label"]).name) for case in cases]
