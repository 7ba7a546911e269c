"""Training curves as a picture."""

from __future__ import annotations

import logging
import math
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import ignite.distributed as idist
from ignite.engine import Engine, Events

from lunet_networks.bundle.runtime import outputs
from lunet_networks.bundle.runtime.files import as_path, write_figure
from lunet_networks.bundle.training.history import KEY_METRIC, TRAIN_METRIC, History

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["CURVES", "Curves", "draw_dice", "draw_learning_rate", "draw_loss", "legend_height"]

logger = logging.getLogger(__name__)

LEGEND_LINE = 0.2  # inches
SHORT_NAME = 12  # characters, of which two fit beside each other


class Curves:
    """Handler that draws loss, Dice and learning rate over the epochs to ``OUTPUT_DIR/curves.png`` when the training
    ends.

    Args:
        output_dir: folder of the run.
        history: history of the run.
    """

    def __init__(self, output_dir: str | Path, history: History) -> None:
        self.path = as_path(output_dir) / outputs.CURVES
        self.history = history

    def attach(self, engine: Engine) -> None:
        """Attach this handler to a trainer."""
        engine.add_event_handler(Events.COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        if idist.get_rank() != 0 or not self.history.rows:
            return
        if find_spec("matplotlib") is None:
            logger.info(f"{self.path.name} is not drawn: matplotlib is not installed")
            return
        write_figure(self.path, self.draw())

    def draw(self) -> Figure:
        """The figure with the curves side by side."""
        from matplotlib.figure import Figure

        figure = Figure(figsize=(5 * len(CURVES), 4 + legend_height(self.history)), layout="constrained")
        for axes, draw in zip(figure.subplots(1, len(CURVES)), CURVES.values(), strict=True):
            draw(axes, self.history)
        return figure


def draw_loss(axes: Axes, history: History) -> None:
    """The mean loss of every epoch."""
    axes.plot(_epochs(history), [row["loss"] for row in history.rows])
    _finish(axes, "Training loss")


def draw_dice(axes: Axes, history: History) -> None:
    """Dice in training and in validation, the mean and each label; a vertical line marks the best model."""
    from matplotlib import rcParams

    axes.plot(_epochs(history), [row[TRAIN_METRIC] for row in history.rows], color="grey", label="training")
    # The labels have the first colours, as in all pictures; their mean has the colour of the text.
    columns = dict(zip(history.label_names, history.label_columns, strict=True))
    curves = [(name, column, None) for name, column in columns.items()]
    curves.append(("mean", KEY_METRIC, rcParams["text.color"]))
    epochs = [row["epoch"] for row in history.validated]
    for name, column, colour in curves if len(columns) > 1 else curves[:1]:
        values = [row[column] for row in history.validated]
        axes.plot(epochs, values, ".-" if len(epochs) < 30 else "-", color=colour, label=f"validation, {name}")
    if history.best is not None:
        epoch = history.best["epoch"]
        axes.axvline(epoch, color=rcParams["text.color"], linestyle=":", label=f"best model: epoch {epoch}")
    _finish(axes, "Dice")
    axes.set_ylim(0, 1)
    # below the axes, where it hides no curve
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.18), ncols=_legend_columns(history), borderaxespad=0)


def legend_height(history: History) -> float:
    """Height of the legend of the Dice in inches: of training, the mean and each label, and the best epoch."""
    return LEGEND_LINE * math.ceil((len(history.label_names) + 3) / _legend_columns(history))


def _legend_columns(history: History) -> int:
    return 2 if max(map(len, history.label_names)) <= SHORT_NAME else 1


def draw_learning_rate(axes: Axes, history: History) -> None:
    """The learning rate of every epoch."""
    axes.plot(_epochs(history), [row["learning_rate"] for row in history.rows])
    _finish(axes, "Learning rate")
    axes.set_ylim(bottom=0)


CURVES = {"loss": draw_loss, "Dice": draw_dice, "learning rate": draw_learning_rate}


def _epochs(history: History) -> list[int]:
    return [row["epoch"] for row in history.rows]


def _finish(axes: Axes, title: str) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.set(title=title, xlabel="epoch")
    axes.grid(alpha=0.3)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
