"""Progress bar and TensorBoard, to watch a training while it runs."""

from __future__ import annotations

import logging
import math
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import ignite.distributed as idist
import ignite.handlers
from ignite.engine import Engine, Events
from monai.utils import optional_import

from lunet_networks.bundle.runtime import outputs
from lunet_networks.bundle.runtime.files import as_path
from lunet_networks.bundle.training.history import History
from lunet_networks.bundle.training.time_left import in_words

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter
else:
    SummaryWriter, _ = optional_import("torch.utils.tensorboard", name="SummaryWriter")  # not needed for inference

__all__ = ["ProgressBar", "TensorBoard"]

logger = logging.getLogger(__name__)

MINUTE = 60  # seconds


class ProgressBar(ignite.handlers.ProgressBar):
    """Ignite's progress bar, one for each epoch, with the loss of the last batch and the time that the training takes.

    If stderr is not a terminal, the log has a line a minute instead, where an epoch takes longer. With several
    processes only rank 0 shows either.
    """

    def __init__(self) -> None:
        super().__init__(
            bar_format="{desc}[{n_fmt}/{total_fmt}] {percentage:3.0f}%|{bar}{postfix}",
            disable=None if idist.get_rank() == 0 else True,
        )
        self._started = self._told = 0.0  # when
        self._done_before = 0.0  # epochs

    def attach(self, engine: Engine) -> None:
        """Attach this handler to a trainer."""
        engine.add_event_handler(Events.STARTED, self._begin)
        engine.add_event_handler(Events.EPOCH_STARTED, self._begin_epoch)
        super().attach(
            engine,
            output_transform=lambda output: {"loss": output["loss"].item(), "left": self._left(engine)},
        )
        if idist.get_rank() == 0 and not sys.stderr.isatty():
            engine.add_event_handler(Events.ITERATION_COMPLETED, self._tell)

    def _begin(self, engine: Engine) -> None:
        self._started = 0.0

    def _begin_epoch(self, engine: Engine) -> None:
        self._told = time.monotonic()
        if not self._started:  # after a resumed training has loaded its epoch
            self._started, self._done_before = self._told, engine.state.epoch - 1

    def _left(self, engine: Engine) -> str:
        state = engine.state
        done = (state.iteration / state.epoch_length) - self._done_before
        left = state.max_epochs - self._done_before - done
        return in_words((time.monotonic() - self._started) / done * left) if min(done, left) > 0 else "0 s"

    def _tell(self, engine: Engine) -> None:
        if time.monotonic() - self._told < MINUTE:
            return
        self._told, state = time.monotonic(), engine.state
        batch = (state.iteration - 1) % state.epoch_length + 1
        logger.info(
            f"epoch {state.epoch}/{state.max_epochs}: batch {batch} of {state.epoch_length}, "
            f"loss {state.output['loss'].item():.4f}; {self._left(engine)} left"
        )


class TensorBoard:
    """Handler that writes every number of the history to ``OUTPUT_DIR/tensorboard``.

    If a run was killed and is resumed, TensorBoard drops the earlier values of the epochs that are repeated. MONAI's
    ``TensorBoardStatsHandler`` writes the metrics of an engine, but no learning rate, time or values for each label.

    Args:
        output_dir: folder of the run.
        history: history of the run; its recorder is attached before this handler.
    """

    def __init__(self, output_dir: str | Path, history: History) -> None:
        self.folder = as_path(output_dir) / outputs.TENSORBOARD
        self.history = history
        self.writer: SummaryWriter | None = None

    def attach(self, engine: Engine) -> None:
        """Attach this handler to a trainer."""
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._write)
        engine.add_event_handler(Events.COMPLETED, self._close)
        engine.add_event_handler(Events.EXCEPTION_RAISED, self._close_and_raise)

    def _write(self, engine: Engine) -> None:
        if idist.get_rank() != 0:
            return
        row = self.history.rows[-1]
        if self.writer is None:
            self.writer = SummaryWriter(str(self.folder), purge_step=row["epoch"])
        for name, value in row.items():
            if name != "epoch" and not math.isnan(value):
                self.writer.add_scalar(name, value, row["epoch"])
        self.writer.flush()

    def _close(self, engine: Engine) -> None:
        if self.writer is not None:
            self.writer.close()
            self.writer = None

    def _close_and_raise(self, engine: Engine, error: BaseException) -> None:
        self._close(engine)
        raise error
