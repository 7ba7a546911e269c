"""The history of a pruning: pruning_history.csv with a row per channel or branch, and a picture."""

from __future__ import annotations

import csv
import io
import logging
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lunet_networks.bundle.runtime.files import write_atomically, write_figure
from lunet_networks.bundle.runtime.outputs import PRUNING_HISTORY, PRUNING_PICTURE
from lunet_networks.bundle.training.history import dice_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["PruningHistory"]

logger = logging.getLogger(__name__)

COSTS = ("parameters", "macs", "dice_before_recovery", "dice_after_recovery")

Row = dict[str, Any]


class PruningHistory:
    """The steps of a pruning, and the files ``OUTPUT_DIR/pruning_history.csv`` and ``pruning.png``.

    A step has: the epoch at whose end it was taken; for every part that was removed, masked or restored its layer, its
    number in the network at that time and its score; the parameters and multiply-accumulates after the step; the mean
    Dice right after the step and after recovery. Step 0 is the network before anything was removed.

    Args:
        output_dir: folder of the run.
        part: what is removed, "channel" or "branch".
    """

    def __init__(self, output_dir: str | Path, part: str = "channel") -> None:
        self.output_dir = Path(output_dir)
        self.part = part
        self.steps: list[Row] = []
        self.finished = False

    def begin(self, epoch: int, left: Mapping[str, int], parameters: int, macs: int, dice: float) -> None:
        """Record the network before anything is removed: the parts of each layer, its costs and its Dice."""
        self.steps = []
        self._add(epoch, left, "", [], parameters, macs, dice_after_recovery=dice)

    def changed(
        self,
        epoch: int,
        left: Mapping[str, int],
        event: str,
        parts: Sequence[tuple[str, int, float]],
        parameters: int,
        macs: int,
        dice: float,
    ) -> None:
        """Record a step: the event, the parts that it changed (layer, number and score of each), the costs of the
        remaining network and its Dice."""
        self._add(epoch, left, event, [list(part) for part in parts], parameters, macs, dice_before_recovery=dice)

    def recovered(self, dice: float) -> None:
        """Record the Dice after the recovery from the last step."""
        self.steps[-1]["dice_after_recovery"] = dice

    def _add(
        self, epoch: int, left: Mapping[str, int], event: str, parts: list, parameters: int, macs: int, **dice: float
    ) -> None:
        step = {"step": len(self.steps), "epoch": epoch, "event": event, "parts": parts, "left": dict(left)}
        step |= {"parameters": parameters, "macs": macs, "dice_before_recovery": None, "dice_after_recovery": None}
        self.steps.append(step | dice)

    def state(self) -> dict[str, Any]:
        """The state for a checkpoint."""
        return {"steps": self.steps, "finished": self.finished}

    def load(self, state: dict[str, Any]) -> None:
        """Restore the state from a checkpoint."""
        self.steps, self.finished = state["steps"], state["finished"]
        self.write()

    def rows(self) -> list[Row]:
        """The rows of pruning_history.csv."""
        rows = []
        for step in self.steps:
            for layer, number, score in step["parts"] or [("", "", "")]:
                rows.append({**step, "layer": layer, self.part: number, "score": score})
        return rows

    def write(self) -> None:
        """Write both files, replacing older ones."""
        text = io.StringIO()
        columns = ("step", "epoch", "event", "layer", self.part, "score", *COSTS)
        table = csv.DictWriter(text, columns, restval="", extrasaction="ignore", lineterminator="\n")
        table.writeheader()
        table.writerows(self.rows())
        write_atomically(self.output_dir / PRUNING_HISTORY, text.getvalue().encode())
        if find_spec("matplotlib") is None:
            logger.info(f"{PRUNING_PICTURE} is left out: matplotlib is not installed")
            return
        write_figure(self.output_dir / PRUNING_PICTURE, self.draw())

    def line(self) -> str:
        """The last step as a line for the log."""
        step, names = self.steps[-1], [f"{layer} {number}" for layer, number, _ in self.steps[-1]["parts"]]
        shown = ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
        return (
            f"step {step['step']}: {step['event']} {shown}; {step['parameters']:,} parameters, "
            f"{step['macs'] / 1e9:.3f} G MACs, Dice {dice_text(step['dice_before_recovery'])} before recovery"
        )

    def draw(self) -> Figure:
        """The picture: Dice against parameters, and the remaining share of every layer over the steps."""
        from matplotlib.figure import Figure

        layers = len(self.steps[0]["left"])
        figure = Figure(figsize=(12, max(4.0, 0.22 * layers + 1.5)), layout="constrained")
        left, right = figure.subplots(1, 2)
        self._draw_dice(left)
        self._draw_layers(right, figure)
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

    def _draw_layers(self, axes: Axes, figure: Figure) -> None:
        layers = list(self.steps[0]["left"])
        share = [[step["left"][layer] / self.steps[0]["left"][layer] for step in self.steps] for layer in layers]
        image = axes.imshow(share, aspect="auto", vmin=0, vmax=1, cmap="viridis", interpolation="nearest")
        first, last = self.steps[0]["left"], self.steps[-1]["left"]
        axes.set_yticks(
            range(len(layers)), [f"{layer}   {first[layer]} → {last[layer]}" for layer in layers], fontsize=8
        )
        axes.set(title=f"What every layer has left, {self.part} by {self.part}", xlabel="step")
        axes.locator_params(axis="x", integer=True)
        figure.colorbar(image, ax=axes, label="share that is left")
