"""The record of a run's settings, kept in its output folder so that the outputs of two runs never mix."""

from __future__ import annotations

import json
import logging
import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import monai
import torch
from ignite.engine import Engine, Events
from torch import nn

import lunet_networks
from lunet_networks.bundle.data.datalist import check_label_names
from lunet_networks.bundle.runtime import outputs
from lunet_networks.bundle.runtime.distributed import from_rank_0
from lunet_networks.bundle.runtime.errors import shortened_list
from lunet_networks.bundle.runtime.files import as_path, next_numbered
from lunet_networks.bundle.runtime.locks import FolderLock
from lunet_networks.bundle.runtime.settings import SETTINGS
from lunet_networks.bundle.training.records import DATASET_DIR, WEIGHTS, read_record, write_record
from lunet_networks.bundle.training.replaced_outputs import (
    MOVING,
    REPLACED,
    bring_back,
    discard_replaced,
    set_aside,
)
from lunet_networks.bundle.training.schedules import SCHEDULES
from lunet_networks.bundle.training.trained_cases import found_in, recorded_names, same_cases
from lunet_networks.bundle.training.trained_network import (
    describe_network,
    differing_networks,
    network_name,
    settings_of_network,
)
from lunet_networks.kernels.choice import describe_kernels

__all__ = ["DatasetCases", "RunRecord", "RunRecordHandler", "dataset_of_run", "differing_settings"]

# what a training writes in an epoch before its checkpoint
BEFORE_CHECKPOINT = {outputs.HISTORY, outputs.PRUNING_HISTORY, outputs.PRUNING_PICTURE}
logger = logging.getLogger(__name__)


class DatasetCases(list):
    """Cases that the bundle has read from its own ``dataset_dir``.

    Programs that run a bundle on their own data, such as MONAI Label, replace it by a plain list.
    """


class RunRecord:
    """The record ``OUTPUT_DIR/run.json`` of a training: its settings, cases, versions, and the digest of its weights.

    A training on the bundle's own dataset is refused if the output folder holds the output of another training, unless
    overwrite is set, or resume and there is a checkpoint of the same training. A guest is a run by MONAI Label, which
    brings its own cases, or by a federated client, which runs the trainer without ``open``. A guest is never refused:
    the output of a training on the bundle's dataset is moved to ``set_aside_N``, that of an earlier guest is replaced.

    An output that is replaced waits in ``OUTPUT_DIR/.replaced`` until the new training has its first checkpoint. If the
    new training ends before, the older output is moved back, after a kill by the next start. While a training writes,
    its folders are locked.

    Args:
        output_dir: folder of the run.
        dataset_dir: the folder that holds dataset.json; cases are named by their path in it, and an evaluation
            that is given no dataset takes it from the record.
        settings: the checked settings, including "resume" and "overwrite".
        training: cases to train on.
        validation: cases that choose the best model.
        network: that is trained. The settings are kept without a preset that it is not of.
        ckpt_dir: folder of model.pt, which is locked too.

    Example::

        record = RunRecord("eval", "data", settings, training, validation, network, "models")
        record.open()
        record.run(SupervisedTrainer(..., train_handlers=[RunRecordHandler(record), ...]))
    """

    def __init__(
        self,
        output_dir: str | Path,
        dataset_dir: str | Path,
        settings: Mapping[str, Any],
        training: Sequence[Mapping[str, Any]],
        validation: Sequence[Mapping[str, Any]],
        network: nn.Module,
        ckpt_dir: str | Path | None = None,
    ) -> None:
        self.output_dir = as_path(output_dir)
        self.path = self.output_dir / outputs.RUN_RECORD
        self.settings = settings_of_network(settings, network)
        self.network_name = network_name(settings, network)
        self.network = describe_network(network)  # before the training may prune it
        names = recorded_names([*training, *validation], dataset_dir)
        self.cases = {"training": names[: len(training)], "validation": names[len(training) :]}
        self.dataset_dir = dataset_dir
        self.guest = not isinstance(training, DatasetCases)
        self.is_open = False
        folders = {"--output_dir": self.output_dir, **({} if ckpt_dir is None else {"--ckpt_dir": as_path(ckpt_dir)})}
        options = {folder.resolve(): option for option, folder in reversed(folders.items())}  # they may be the same
        self._locks = [FolderLock(folders[option], option) for option in reversed(options.values())]

    @property
    def resumes(self) -> bool:
        """Whether there is something to resume, and the run is told to."""
        return self.settings["resume"] and (self._has_checkpoint() or self._stopped_in_first_epoch())

    def open(self) -> None:
        """Start the record of this run, or continue that of the run to resume. With several processes rank 0 does it.

        Raises:
            FileExistsError: if ``output_dir`` holds another run's output and overwrite is not set.
            ValueError: if the run to resume had other settings, cases or number of processes, or has done more epochs,
                if resume and overwrite are both set, or if the dataset has other labels than the bundle.
            BlockingIOError: if another training writes in one of the folders.
        """
        self.is_open = True
        from_rank_0(self._start_alone)

    def open_as_guest(self) -> None:
        """Start the record of a run by MONAI Label or a federated client, which is never refused."""
        self.guest = True
        self.open()

    def lock(self) -> None:
        """Keep other trainings out of the folders of this one."""
        try:
            for lock in self._locks:
                lock.acquire()
        except BaseException:
            self._unlock()
            raise

    def run(self, trainer: Engine) -> None:
        """Run a trainer on the folders that ``open`` has locked."""
        try:
            trainer.run()
        finally:
            self.close()

    def close(self) -> None:
        """Let others write in the folders, after the older output was moved back if the training has failed too soon to
        replace it."""
        if any(lock.is_held for lock in self._locks):
            bring_back(self.output_dir, self._outputs)
            self._unlock()

    def _unlock(self) -> None:
        for lock in self._locks:
            lock.release()

    def _start_alone(self) -> None:
        self.lock()
        try:
            bring_back(self.output_dir, self._outputs)
            self._start()
        except BaseException:
            self.close()
            raise

    def _start(self) -> None:
        older: dict[str, Any] = {WEIGHTS: None}
        resume, overwrite = self.settings["resume"], self.settings["overwrite"]
        if resume and overwrite:
            raise ValueError("resume and overwrite are both True: set resume to continue, or overwrite to start anew")
        if not self.guest:
            check_label_names(self.dataset_dir, self.settings["label_names"], self.settings.get("ignore_label"))
        if self.guest:
            self._make_room()
        elif overwrite:
            self._replace_outputs()
        elif resume and self._has_checkpoint():
            older = self._check_same_run()
        elif self._work() and not self.resumes:
            raise FileExistsError(self._refusal())
        elif resume:
            logger.info(f"nothing to resume in {self.output_dir}: starting a new training")
        self._write({WEIGHTS: older[WEIGHTS]} if WEIGHTS in older else {})

    def _has_checkpoint(self) -> bool:
        """Also one that is moved back when this run starts."""
        return any((self.output_dir / folder / outputs.CHECKPOINT).is_file() for folder in ("", REPLACED, MOVING))

    def _stopped_in_first_epoch(self) -> bool:
        """Whether this same run was killed before its first checkpoint: its first epoch is all that there is."""
        work = {path.name for path in self._work()}
        if not work or not work <= BEFORE_CHECKPOINT or not self.path.is_file():
            return False
        history = self.output_dir / outputs.HISTORY
        epochs = len(history.read_text(encoding="utf-8").splitlines()) - 1 if history.is_file() else 0
        return epochs <= 1 and not self._differences()

    def _refusal(self) -> str:
        work = f"the output of another training ({', '.join(path.name for path in self._work())})"
        others = "start a new one with --overwrite True, which deletes it, or choose another folder with --output_dir"
        if self._has_checkpoint():
            return f"{self.output_dir} holds {work}: continue it with --resume True, {others}"
        nothing = f"has no {outputs.CHECKPOINT} to resume, but " if self.settings["resume"] else ""
        return f"{self.output_dir} {nothing}holds {work}: {others}"

    def _check_same_run(self) -> dict[str, Any]:
        """The record of the run to resume, if it is the same as this one."""
        if not self.path.is_file():
            raise ValueError(
                f"{self.output_dir} cannot be resumed: it has no {outputs.RUN_RECORD}, so the settings of its "
                f"{outputs.CHECKPOINT} are unknown; start a new training with --overwrite True or another --output_dir"
            )
        differences = self._differences()
        if differences:
            raise ValueError(
                f"{self.output_dir} cannot be resumed, it was another training:\n{shortened_list(differences)}\n"
                "give the same settings again, or start a new training with --overwrite True or another --output_dir"
            )
        older = read_record(self.path)
        self._compare_epochs(older["settings"])
        self._compare_kernels(older)
        return older

    def _compare_epochs(self, then: Mapping[str, Any]) -> None:
        """Refuse fewer epochs than are done; say it if all of them are, or if the learning rate will rise."""
        done, epochs = _epochs_done(self.output_dir / outputs.CHECKPOINT), self.settings["epochs"]
        if not done:
            return
        if epochs < done:
            raise ValueError(
                f"epochs is {epochs}, {done} are done: give --epochs {done} or more, or start a new training with "
                "--overwrite True or another --output_dir"
            )
        if epochs == done:
            logger.info(f"the training in {self.output_dir} is complete: all {done} epochs are done, nothing is run")
        elif epochs != then.get("epochs"):
            told = rising_rate(self.settings, then["epochs"], done)
            if told:
                logger.warning(told)

    def _compare_kernels(self, older: Mapping[str, Any]) -> None:
        """Say so if the rest of the training rounds differently from its beginning."""
        then, now = older.get("kernels"), describe_kernels()
        if then != now:
            logger.warning(
                f"the training in {self.output_dir} began with kernels {_in_words(then)} and resumes with "
                f"{_in_words(now)}: its weights will differ by rounding from those of a training without a break"
            )

    def _differences(self) -> list[str]:
        """What differs between this run and the one of the record."""
        older = read_record(self.path)
        differences = differing_settings(older["settings"], self.settings)
        differences += differing_networks(older.get("network", self.network), self.network)
        processes = older.get("processes", 1)
        if processes != idist.get_world_size():
            differences.append(f"processes: {processes} then, {idist.get_world_size()} now")
        for section, cases in self.cases.items():
            then = older["cases"][section]
            if not same_cases(cases, then):
                others = len(cases) + len(then) - 2 * sum(found_in(cases, then))
                differences.append(f"{section} cases: {len(then)} then, {len(cases)} now, {others} of them differ")
        return differences

    def _write(self, weights: Mapping[str, Any]) -> None:
        record = {
            **weights,
            "settings": self.settings,
            "network": self.network,
            "guest": self.guest,
            **self._place_of_data(),
            "cases": self.cases,
            "processes": idist.get_world_size(),
            "versions": {
                "lunet_networks": lunet_networks.__version__,
                "monai": monai.__version__,
                "torch": torch.__version__,
            },
            "kernels": describe_kernels(),
        }
        write_record(self.path, record)

    def _place_of_data(self) -> dict[str, str]:
        if self.guest:
            return {}
        return {DATASET_DIR: str(as_path(self.dataset_dir).resolve())}

    def _make_room(self) -> None:
        """Move the output of a training on the bundle's dataset aside for a guest; replace that of an earlier guest."""
        if self.path.is_file() and read_record(self.path).get("guest"):
            self._replace_outputs()
            return
        older = self._outputs()
        if older:
            aside = next_numbered(self.output_dir / "set_aside_*")
            aside.mkdir()
            for path in older:
                path.rename(aside / path.name)
            logger.info(f"the output of another training is now in {aside}")

    def _work(self) -> list[Path]:
        """What a training has left here after an epoch; a record alone is left by one that failed earlier."""
        return [path for path in self._outputs() if path.name != outputs.RUN_RECORD]

    def _outputs(self) -> list[Path]:
        return sorted(path for pattern in outputs.OF_TRAINING for path in self.output_dir.glob(pattern))

    def _replace_outputs(self) -> None:
        if self._outputs():
            set_aside(self.output_dir, self._outputs())


class RunRecordHandler:
    """Handler that opens the record if the trainer runs without the bundle's own list of steps, as in a federated
    client, and locks the folders of the record while the trainer runs.

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
        else:
            from_rank_0(self.run_record.lock)  # another federated round
        if not engine.has_event_handler(self._end, Events.COMPLETED):
            engine.add_event_handler(Events.COMPLETED, self._end)  # now, so that it comes after all other handlers

    def _end(self, engine: Engine) -> None:
        if idist.get_rank() == 0:
            discard_replaced(self.run_record.output_dir)  # by now also where nothing writes checkpoints
        self.run_record.close()


def _epochs_done(checkpoint: Path) -> int:
    """Number of epochs in a checkpoint; 0 if it cannot be read, which ``Checkpoints`` will explain."""
    try:
        return int(torch.load(checkpoint, map_location="cpu", weights_only=True, mmap=True)["epoch"])
    except (OSError, RuntimeError, ValueError, KeyError, TypeError, EOFError, pickle.UnpicklingError):
        return 0


def rising_rate(settings: Mapping[str, Any], epochs_then: int, done: int) -> str:
    """What is to be said if more epochs make the learning rate rise in a resumed training; "" if it does not rise.

    Args:
        settings: of the training now.
        epochs_then: the epochs that it was to have before.
        done: the epochs that it has done.

    Example:
        >>> rising_rate({"scheduler_name": "cosine", "learning_rate": 0.01, "epochs": 20}, 10, 10)
        'epochs is 20 instead of 10: the learning rate (cosine), 0.000245 in epoch 10, rises to 0.005 in epoch 11'
        >>> rising_rate({"scheduler_name": "none", "learning_rate": 0.01, "epochs": 20}, 10, 10)
        ''
    """
    factor = SCHEDULES[settings["scheduler_name"]]
    last, first = factor(done - 1, epochs_then), factor(done, settings["epochs"])
    if first <= last:
        return ""
    last, first = (settings["learning_rate"] * share for share in (last, first))
    return (
        f"epochs is {settings['epochs']} instead of {epochs_then}: the learning rate ({settings['scheduler_name']}), "
        f"{last:.3g} in epoch {done}, rises to {first:.3g} in epoch {done + 1}"
    )


def dataset_of_run(dataset_dir: str | Path, default: str, output_dir: str | Path) -> str:
    """The folder of the dataset to evaluate: that of the training in ``output_dir``, if the user has named none.

    Args:
        dataset_dir: the setting.
        default: its value in the bundle's config, which is free of paths of one machine. If ``dataset_dir`` is another
            one, or there is such a folder, it is used.
        output_dir: of the training.
    """
    path = as_path(output_dir) / outputs.RUN_RECORD
    if str(dataset_dir) != default or as_path(dataset_dir).is_dir() or not path.is_file():
        return str(dataset_dir)
    recorded = json.loads(path.read_text(encoding="utf-8")).get(DATASET_DIR)
    if recorded is None:
        return str(dataset_dir)
    logger.info(f"the cases are those of the training in {output_dir}: {recorded}; --dataset_dir takes others")
    return str(recorded)


def _in_words(kernels: Mapping[str, str] | None) -> str:
    return "off" if kernels is None else f"{kernels['source']} for {kernels['instructions']}"


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
