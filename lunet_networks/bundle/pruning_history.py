"""What was pruned so far: a row a channel, in pruning_history.csv, and as a picture."""

from __future__ import annotations

import csv
import io
import logging
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

from lunet_networks.bundle.files import write_atomically, write_figure
from lunet_networks.pruning import describe_network

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["PRUNING_HISTORY", "PRUNING_PICTURE", "PruningHistory"]

logger = logging.getLogger(__name__)

PRUNING_HISTORY, PRUNING_PICTURE = "pruning_history.csv", "pruning.png"
COLUMNS = (
    "step",
    "epoch",
    "layer",
    "channel",
    "score",
    "parameters",
    "macs",
    "dice_before_recovery",
    "dice_after_recovery",
)

Row = dict[str, Any]


class PruningHistory:
    """The steps of a pruning, and the files ``OUTPUT_DIR/pruning_history.csv`` and ``pruning.png``.

    A step has the epoch at whose end it was taken; of every channel the layer, its number as the network counted them
    then and its score; parameters and multiply-accumulates behind it; the mean Dice right behind it and after recovery.
    Step 0 is the network before anything was removed.

    Args:
        output_dir: folder of the run.
    """

    def __init__(self, output_dir: str | Path) -> None:
        self.output_dir = Path(output_dir)
        self.steps: list[Row] = []
        self.finished = False

    def begin(self, epoch: int, network: nn.Module, parameters: int, macs: int, dice: float) -> None:
        """Note the network before anything is removed."""
        self.steps = []
        self._add(epoch, network, [], parameters, macs, dice_after_recovery=dice)

    def pruned(
        self,
        epoch: int,
        network: nn.Module,
        removed: Sequence[tuple[str, int, float]],
        parameters: int,
        macs: int,
        dice: float,
    ) -> None:
        """Note a step: layer, channel and score of what was removed, the network that is left, and its Dice."""
        self._add(epoch, network, [list(entry) for entry in removed], parameters, macs, dice_before_recovery=dice)

    def recovered(self, dice: float) -> None:
        """Note the Dice that the network of the last step has recovered to."""
        self.steps[-1]["dice_after_recovery"] = dice

    def _add(self, epoch: int, network: nn.Module, removed: list, parameters: int, macs: int, **dice: float) -> None:
        widths = describe_network(network)["conv_channels"]
        step = {"step": len(self.steps), "epoch": epoch, "removed": removed, "parameters": parameters, "macs": macs}
        self.steps.append({**step, "dice_before_recovery": None, "dice_after_recovery": None, **dice, "widths": widths})

    def state(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {"steps": self.steps, "finished": self.finished}

    def load(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.steps, self.finished = state["steps"], state["finished"]
        self.write()

    def rows(self) -> list[Row]:
        """Those of the file."""
        rows = []
        for step in self.steps:
            for layer, channel, score in step["removed"] or [("", "", "")]:
                rows.append({**step, "layer": layer, "channel": channel, "score": score})
        return rows

    def write(self) -> None:
        """Write both files, the whole of them."""
        text = io.StringIO()
        table = csv.DictWriter(text, COLUMNS, restval="", extrasaction="ignore", lineterminator="\n")
        table.writeheader()
        table.writerows(self.rows())
        write_atomically(self.output_dir / PRUNING_HISTORY, text.getvalue().encode())
        if find_spec("matplotlib") is None:
            logger.info(f"{PRUNING_PICTURE} is left out: matplotlib is not installed")
            return
        write_figure(self.output_dir / PRUNING_PICTURE, self.draw())

    def line(self) -> str:
        """The last step in words."""
        step, names = self.steps[-1], [f"{layer} {channel}" for layer, channel, _ in self.steps[-1]["removed"]]
        shown = ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
        return (
            f"step {step['step']}: removed {shown}; {step['parameters']:,} parameters, {step['macs'] / 1e9:.3f} G "
            f"MACs, Dice {step['dice_before_recovery']:.3f} before recovery"
        )

    def draw(self) -> Figure:
        """The picture: Dice against parameters, and the channels of every layer over the steps."""
        from matplotlib.figure import Figure

        layers = len(self.steps[0]["widths"])
        figure = Figure(figsize=(12, max(4.0, 0.22 * layers + 1.5)), layout="constrained")
        left, right = figure.subplots(1, 2)
        self._draw_dice(left)
        self._draw_widths(right, figure)
        return figure

    def _draw_dice(self, axes: Axes) -> None:
        for column, style, label in (
            ("dice_before_recovery", {"color": "0.6", "marker": ".", "linestyle": ":"}, "before recovery"),
            ("dice_after_recovery", {"color": "C0", "marker": "o", "markersize": 4}, "after recovery"),
        ):
            known = [step for step in self.steps if step[column] is not None]
            axes.plot([step["parameters"] for step in known], [step[column] for step in known], label=label, **style)
        axes.set(
            title="Dice while the network shrinks", xlabel="parameters", ylabel="mean Dice of the validation cases"
        )
        axes.locator_params(axis="x", nbins=5)
        axes.xaxis.set_major_formatter("{x:,.0f}")
        axes.set_ylim(0, 1)
        axes.invert_xaxis()
        axes.grid(alpha=0.3)
        axes.legend()

    def _draw_widths(self, axes: Axes, figure: Figure) -> None:
        layers = list(self.steps[0]["widths"])
        share = [[step["widths"][layer] / self.steps[0]["widths"][layer] for step in self.steps] for layer in layers]
        image = axes.imshow(share, aspect="auto", vmin=0, vmax=1, cmap="viridis", interpolation="nearest")
        first, last = self.steps[0]["widths"], self.steps[-1]["widths"]
        axes.set_yticks(
            range(len(layers)), [f"{layer}   {first[layer]} → {last[layer]}" for layer in layers], fontsize=8
        )
        axes.set(title="Channels of every layer", xlabel="step")
        axes.locator_params(axis="x", integer=True)
        figure.colorbar(image, ax=axes, label="share that is left")
