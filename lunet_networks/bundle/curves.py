"""Training curves as a picture."""

from __future__ import annotations

import io
import logging
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from ignite.engine import Engine, Events

from lunet_networks.bundle.files import write_atomically
from lunet_networks.bundle.history import TRAIN_METRIC, History

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Curves"]

logger = logging.getLogger(__name__)


class Curves:
    """Handler that draws loss and Dice over the epochs to ``OUTPUT_DIR/curves.png`` when the training ends.

    Args:
        output_dir: folder of the run.
        history: of the run.
    """

    def __init__(self, output_dir: str | Path, history: History) -> None:
        self.path = Path(output_dir, "curves.png")
        self.history = history

    def attach(self, engine: Engine) -> None:
        """Follow a trainer."""
        engine.add_event_handler(Events.COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        if engine.state.rank != 0 or not self.history.rows:
            return
        if find_spec("matplotlib") is None:
            logger.info(f"{self.path.name} is left out: matplotlib is not installed")
            return
        image = io.BytesIO()
        self.draw().savefig(image, format="png", dpi=120)
        write_atomically(self.path, image.getbuffer())

    def draw(self) -> Figure:
        """The picture: losses to the left, Dice in training and of every validated epoch to the right."""
        from matplotlib.figure import Figure
        from matplotlib.ticker import MaxNLocator

        history = self.history
        figure = Figure(figsize=(10, 4), layout="constrained")
        loss, dice = figure.subplots(1, 2)
        epochs = [row["epoch"] for row in history.rows]
        loss.plot(epochs, [row["loss"] for row in history.rows])
        loss.set(title="Training loss", xlabel="epoch")
        dice.plot(epochs, [row[TRAIN_METRIC] for row in history.rows], color="grey", label="training")
        epochs = [row["epoch"] for row in history.validated]
        columns = dict(zip(["mean", *history.label_names], [history.key_metric, *history.label_columns], strict=True))
        for name, column in columns.items():
            dice.plot(epochs, [row[column] for row in history.validated], ".-", label=f"validation, {name}")
        if history.best is not None:
            epoch = history.best["epoch"]
            dice.axvline(epoch, color="black", linestyle=":", label=f"best model: epoch {epoch}")
        dice.set(title="Dice", xlabel="epoch", ylim=(0, 1))
        dice.legend()
        for axes in (loss, dice):
            axes.grid(alpha=0.3)
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        return figure
