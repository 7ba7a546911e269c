"""Progress bar and TensorBoard, to watch a training while it runs."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import ignite.distributed as idist
import ignite.handlers
from ignite.engine import Engine, Events
from monai.utils import optional_import

from lunet_networks.bundle.runtime import outputs
from lunet_networks.bundle.training.history import History

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter
else:
    SummaryWriter, _ = optional_import("torch.utils.tensorboard", name="SummaryWriter")  # not needed for inference

__all__ = ["ProgressBar", "TensorBoard"]


class ProgressBar(ignite.handlers.ProgressBar):
    """Ignite's progress bar, one for each epoch, with the loss of the last batch.

    With several processes only rank 0 shows it. It is not shown if stderr is not a terminal.
    """

    def __init__(self) -> None:
        super().__init__(disable=None if idist.get_rank() == 0 else True)

    def attach(self, engine: Engine) -> None:
        """Attach this handler to a trainer."""
        super().attach(engine, output_transform=lambda output: {"loss": output["loss"].item()})


class TensorBoard:
    """Handler that writes every number of the history to ``OUTPUT_DIR/tensorboard``.

    If a run was killed and is resumed, TensorBoard drops the earlier values of the epochs that are repeated. MONAI's
    ``TensorBoardStatsHandler`` writes the metrics of an engine, but no learning rate, time or values for each label.

    Args:
        output_dir: folder of the run.
        history: history of the run; its recorder is attached before this handler.
    """

    def __init__(self, output_dir: str | Path, history: History) -> None:
        self.folder = Path(output_dir, outputs.TENSORBOARD)
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
