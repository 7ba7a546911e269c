"""The history of a training: one row for each epoch, in history.csv, in the log and in TensorBoard."""

from __future__ import annotations

import csv
import io
import logging
import math
import statistics
import time
from collections.abc import Iterable, Mapping, Sequence
from itertools import takewhile
from pathlib import Path

import ignite.distributed as idist
import torch
from ignite.engine import Engine, Events
from monai.engines import Evaluator
from torch import nn
from torch.optim import Optimizer

from lunet_networks.bundle.runtime import outputs
from lunet_networks.bundle.runtime.distributed import from_rank_0
from lunet_networks.bundle.runtime.files import as_path, write_atomically
from lunet_networks.bundle.training.time_left import time_left

__all__ = [
    "CANDIDATE",
    "CRITERIA",
    "KEY_METRIC",
    "TRAIN_METRIC",
    "EpochRecorder",
    "History",
    "as_rows",
    "best_row",
    "deciding_column",
    "dice_text",
]

logger = logging.getLogger(__name__)

Row = dict[str, float | int]

TRAIN_METRIC = "train_mean_dice"
KEY_METRIC = "val_mean_dice"
CRITERIA = {  # the columns by the first of which, where it was measured, the best epoch is chosen; what they hold
    KEY_METRIC: "mean Dice of a validation",
    TRAIN_METRIC: "mean Dice in training",
    "loss": "training loss",
}
NOTHING_FOUND = 10  # epochs with a Dice of 0 in training, after which it is told what can be done
CANDIDATE = "candidate"  # 0 in this column: the epoch cannot be the best; without the column every epoch can


def deciding_column(rows: Sequence[Row]) -> str:
    """The column that the best of these epochs is chosen by: the first of ``CRITERIA`` that is a number in one of them.

    It is the key metric unless the truth of no validation case has a label.
    """
    columns = [name for name in CRITERIA if any(not math.isnan(row.get(name, math.nan)) for row in rows)]
    return columns[0] if columns else KEY_METRIC


def best_row(rows: Sequence[Row]) -> Row | None:
    """The best of some epochs, the earliest if several are equal; None if there is none.

    Example:
        >>> best_row([{"epoch": 1, KEY_METRIC: math.nan}, {"epoch": 2, KEY_METRIC: 0.7}])["epoch"]
        2
        >>> unmeasured = {KEY_METRIC: math.nan, TRAIN_METRIC: math.nan}
        >>> best_row([{"epoch": 1, **unmeasured, "loss": 0.4}, {"epoch": 2, **unmeasured, "loss": 0.3}])["epoch"]
        2
    """
    column = deciding_column(rows)
    measured = [row for row in rows if not math.isnan(row.get(column, math.nan))]
    sign = -1 if column == "loss" else 1
    return max(measured, key=lambda row: sign * row[column], default=None)


class History:
    """The rows of a training, one for each epoch, and the file ``OUTPUT_DIR/history.csv`` that holds them.

    A row holds the epoch, the mean loss over its batches, the mean Dice in training, the learning rate, the seconds and
    the seconds of processor time of the first process. If the epoch was validated, it also holds the key metric,
    overall and for each label as ``val_NAME``; nan is what cannot be measured, see ``dice_of_counts``. Handlers can add
    columns to the row of the current epoch with ``notes``; an epoch with the note ``CANDIDATE`` 0 is never the best.

    Args:
        output_dir: folder of the run.
        label_names: names of the foreground labels.
        loss_terms: parts of the loss; each gets a column with its mean over the batches.

    Example:
        >>> history = History("eval", ["tumour"])
        >>> for epoch, dice in enumerate([0.7, 0.8, 0.75, 0.8], start=1):
        ...     history.rows.append({"epoch": epoch, KEY_METRIC: dice})
        >>> history.best["epoch"], history.validations_since_best
        (2, 2)
    """

    def __init__(self, output_dir: str | Path, label_names: Sequence[str], loss_terms: Sequence[str] = ()) -> None:
        self.path = as_path(output_dir) / outputs.HISTORY
        self.label_names = list(label_names)
        self.loss_terms = list(loss_terms)
        self.rows: list[Row] = []
        self.notes: Row = {}

    @property
    def label_columns(self) -> list[str]:
        """Names of the columns that hold the key metric of each label."""
        return [f"val_{name}" for name in self.label_names]

    @property
    def validated(self) -> list[Row]:
        """The rows of the validated epochs."""
        return [row for row in self.rows if KEY_METRIC in row]

    @property
    def candidates(self) -> list[Row]:
        """The rows of the validated epochs that can be the best."""
        return [row for row in self.validated if row.get(CANDIDATE, 1)]

    @property
    def criterion(self) -> str:
        """The column that the best epoch is chosen by, one of ``CRITERIA``."""
        return deciding_column(self.candidates)

    @property
    def best(self) -> Row | None:
        """The row of the best epoch so far, the earliest if several are equal; None before the first candidate."""
        return best_row(self.candidates)

    @property
    def validations_since_best(self) -> int:
        """Number of validations since the best model."""
        best = self.best
        return 0 if best is None else sum(row["epoch"] > best["epoch"] for row in self.candidates)

    def write(self) -> None:
        """Write history.csv with all rows."""
        names = ["epoch", "loss", *self.loss_terms, TRAIN_METRIC, "learning_rate", "seconds", "cpu_seconds"]
        names += [KEY_METRIC, *self.label_columns]
        names += dict.fromkeys(name for row in self.rows for name in row if name not in names)
        text = io.StringIO()
        table = csv.DictWriter(text, names, restval="", lineterminator="\n")
        table.writeheader()
        table.writerows(self.rows)
        write_atomically(self.path, text.getvalue().encode())


def as_rows(table: Iterable[Mapping[str, str]]) -> list[Row]:
    """The rows of a history.csv as numbers, without empty cells.

    Example:
        >>> as_rows([{"epoch": "1", "loss": "0.5", KEY_METRIC: ""}])
        [{'epoch': 1, 'loss': 0.5}]
    """
    return [
        {name: int(value) if name == "epoch" else float(value) for name, value in row.items() if value} for row in table
    ]


class EpochRecorder:
    """Handler that adds a row to the history after every epoch, writes history.csv and logs a line.

    Attach it after the validation handler, and before all handlers that use the best epoch of the history.

    Args:
        history: the history to add rows to.
        evaluator: runs the validation; its key metric is a :class:`MeanDice` that keeps the values of every case.
        optimizer: the optimizer whose learning rate is recorded.
        loss: the loss whose ``last_terms`` hold the ``loss_terms`` of the history; None if there are none.

    Raises:
        FloatingPointError: during the training, if the loss becomes nan or infinite.

    Example::

        recorder = EpochRecorder(history, evaluator, optimizer)
        SupervisedTrainer(..., train_handlers=[ValidationHandler(1, evaluator), recorder])
    """

    def __init__(
        self, history: History, evaluator: Evaluator, optimizer: Optimizer, loss: nn.Module | None = None
    ) -> None:
        self.history = history
        self.evaluator = evaluator
        self.optimizer = optimizer
        self.loss = loss
        self._losses: dict[str, list[float]] = {}
        self._start = self._cpu_start = 0.0
        self._told = False  # which labels are absent

    def attach(self, engine: Engine) -> None:
        """Attach this handler to a trainer."""
        engine.add_event_handler(Events.EPOCH_STARTED, self._start_epoch)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._note_loss)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._end_epoch)

    def _start_epoch(self, engine: Engine) -> None:
        self._losses = {name: [] for name in ("loss", *self.history.loss_terms)}
        self._start, self._cpu_start = time.perf_counter(), time.process_time()

    def _note_loss(self, engine: Engine) -> None:
        loss = engine.state.output["loss"].item()
        if not math.isfinite(loss):
            raise FloatingPointError(
                f"the loss is {loss} in epoch {engine.state.epoch}: try a lower learning_rate, or amp False"
            )
        self._losses["loss"].append(loss)
        for name in self.history.loss_terms:
            self._losses[name].append(self.loss.last_terms[name].item())

    def _end_epoch(self, engine: Engine) -> None:
        means = {name: statistics.fmean(losses) for name, losses in self._losses.items()}
        of_processes = idist.all_gather(means)
        row: Row = {
            "epoch": engine.state.epoch,
            **{name: statistics.fmean(part[name] for part in of_processes) for name in means},
            TRAIN_METRIC: float(engine.state.metrics[TRAIN_METRIC]),
            "learning_rate": self.optimizer.param_groups[0]["lr"],
            "seconds": round(time.perf_counter() - self._start, 2),
            "cpu_seconds": round(time.process_time() - self._cpu_start, 2),
            **self._validation(engine.state.epoch),
            **self.history.notes,
        }
        # all processes use the row of rank 0, so that they all decide alike
        self.history.rows.append(from_rank_0(lambda: row))
        if idist.get_rank() == 0:
            self.history.write()
            self._tell_absent_labels(row)
            logger.info(self._line(row, engine.state.max_epochs))
            self._tell_nothing_found()

    def _validation(self, epoch: int) -> Row:
        """The key metric, overall and for each label; empty if this epoch was not validated."""
        state = self.evaluator.state
        if state.epoch != epoch or KEY_METRIC not in state.metrics:
            return {}
        of_labels = torch.nanmean(state.metric_details[KEY_METRIC].double(), dim=0).tolist()
        return {
            KEY_METRIC: float(state.metrics[KEY_METRIC]),
            **dict(zip(self.history.label_columns, of_labels, strict=True)),
        }

    def _tell_absent_labels(self, row: Row) -> None:
        """Say at the first validation which labels the truth of no case has, and what chooses the best model then."""
        if self._told or KEY_METRIC not in row:
            return
        self._told = True
        held = self.evaluator.state.held_labels
        absent = [name for name, anywhere in zip(self.history.label_names, held, strict=True) if not anywhere]
        if not any(held):
            by = CRITERIA[deciding_column([row])]
            logger.warning(f"no validation case holds {' or '.join(absent)}: the best model is chosen by the {by}")
        elif absent:
            names = ", ".join(absent)
            logger.warning(f"no validation case holds {names}: the best model is chosen by the other labels")

    def _tell_nothing_found(self) -> None:
        """Say once what to do about a network that finds nothing for some epochs."""
        empty = sum(1 for _ in takewhile(lambda row: row[TRAIN_METRIC] == 0, reversed(self.history.rows)))
        if empty == NOTHING_FOUND:
            logger.warning(
                f"nothing was found in training for {NOTHING_FOUND} epochs: a network of few channels can die at its "
                "start; if it stays so, start again with --foreground_prior 0.1, or with another --seed"
            )

    def _line(self, row: Row, max_epochs: int) -> str:
        line = (
            f"epoch {row['epoch']}/{max_epochs}: loss {row['loss']:.4f}, Dice in training "
            f"{dice_text(row[TRAIN_METRIC])}, {row['seconds']:.1f} s"
        )
        if KEY_METRIC in row:
            names = zip(self.history.label_names, self.history.label_columns, strict=True)
            of_labels = ", ".join(f"{name} {dice_text(row[column])}" for name, column in names)
            line += f"; validation {dice_text(row[KEY_METRIC])} ({of_labels}){self._rank(row)}"
        left = time_left(self.history.rows, max_epochs)
        return f"{line}; {left}" if left else line

    def _rank(self, row: Row) -> str:
        """Whether the epoch is the best. Where some cannot be, a worse one may follow them as the best so far."""
        if not row.get(CANDIDATE, 1):
            return ", cannot be the best model yet"
        if row is not self.history.best:
            return ""
        first = len(self.history.candidates) == 1 and len(self.history.validated) > 1
        return ", best so far: the first epoch that can be the best model" if first else ", best so far"


def dice_text(dice: float) -> str:
    """A Dice as text; "-" if it could not be measured."""
    return "-" if math.isnan(dice) else f"{dice:.3f}"
