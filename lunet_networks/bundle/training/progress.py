"""Progress that a person watches while a training runs."""

from __future__ import annotations

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
    SummaryWriter, _ = optional_import("torch.utils.tensorboard", name="SummaryWriter")  # inference does without

__all__ = ["ProgressBar", "TensorBoard"]


class ProgressBar(ignite.handlers.ProgressBar):
    """Ignite's progress bar, one an epoch, with the loss of the last batch, in the first of several processes; nothing
    where stderr is no terminal."""

    def __init__(self) -> None:
        super().__init__(disable=None if idist.get_rank() == 0 else True)

    def attach(self, engine: Engine) -> None:
        """Follow a trainer."""
        super().attach(engine, output_transform=lambda output: {"loss": output["loss"].item()})


class TensorBoard:
    """Handler that writes every number of the history to ``OUTPUT_DIR/tensorboard``.

    After a run was killed and resumed TensorBoard drops what it had seen of the epochs that are run again. MONAI's
    ``TensorBoardStatsHandler`` writes what an engine measured, without learning rate, time and labels.

    Args:
        output_dir: folder of the run.
        history: attached before this handler.
    """

    def __init__(self, output_dir: str | Path, history: History) -> None:
        self.folder = Path(output_dir, outputs.TENSORBOARD)
        self.history = history
        self.writer: SummaryWriter | None = None

    def attach(self, engine: Engine) -> None:
        """Follow a trainer."""
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
            if name != "epoch":
                self.writer.add_scalar(name, value, row["epoch"])
        self.writer.flush()

    def _close(self, engine: Engine) -> None:
        if self.writer is not None:
            self.writer.close()
            self.writer = None

    def _close_and_raise(self, engine: Engine, error: BaseException) -> None:
        self._close(engine)
        raise error
