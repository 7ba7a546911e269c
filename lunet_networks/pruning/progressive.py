"""When branches are masked, removed or given back: PSP-Seg's progressive pruning as a function of logged losses."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

__all__ = ["LOSSES", "Action", "ProgressiveSchedule"]

LOSSES = ("total", "l1", "l2")  # of an epoch: the whole loss, its feature term and its decoder term
Action = Literal["nothing", "prune", "restore", "stop"]


class ProgressiveSchedule:
    """Decides after every epoch, from its losses alone, how the pruning goes on.

    The training has **converged** when the minimum of each loss since the last event is older than ``patience`` epochs.
    It is **over-pruned** when the minimum of any loss since the last event is above its overall minimum by more than
    ``tolerance`` times the range of this loss. The schedule answers with one of these actions:

    - ``"nothing"``: train on.
    - ``"prune"``: it has converged and is not over-pruned. Remove what is masked, then mask ``step`` more branches of
      every module. So a branch is removed only after a convergence without it.
    - ``"restore"``: it has converged and is over-pruned. Unmask what is masked, if anything is; ``step`` is one less
      from now on.
    - ``"stop"``: unmask what is masked, and prune no more. It comes when ``step`` has come down to 0, and at the latest
      after ``stop_fraction`` of the epochs, whether the training has converged or not. From then on there is
      nothing to do.

    Args:
        epochs: of the whole training.
        step: branches to mask in every module at first.
        patience: epochs without a new least loss.
        tolerance: share of a loss's range, from minimum to maximum, by which it may be worse. The published code takes
            an absolute 0.001 at every level of the loss, which is negative there.
        stop_fraction: share of the epochs in which pruning takes place.

    Raises:
        ValueError: if one of these numbers is invalid.

    Source:
        PSP-Seg, arXiv 2509.09267, and its code, which looks at the last epoch of pruning only when the training
        converges, and removes once more before it stops.

    Example:
        >>> schedule = ProgressiveSchedule(epochs=20, step=1, patience=2)
        >>> falling_then_flat = [1.0, 0.5, 0.25, 0.25, 0.25, 0.25, 0.25, 0.25]
        >>> [schedule.update({"total": loss, "l1": loss, "l2": loss}) for loss in falling_then_flat]
        ['nothing', 'nothing', 'nothing', 'nothing', 'prune', 'nothing', 'nothing', 'stop']
    """

    def __init__(
        self, epochs: int, step: int, patience: int = 10, tolerance: float = 0.001, stop_fraction: float = 0.4
    ) -> None:
        for name, value in {"epochs": epochs, "step": step, "patience": patience}.items():
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f"{name} is {value!r}: it has to be a whole number of at least 1")
        if not _is_number(tolerance) or tolerance < 0:
            raise ValueError(f"tolerance is {tolerance!r}: it has to be a share of at least 0")
        if not _is_number(stop_fraction) or not 0 < stop_fraction <= 1:
            raise ValueError(f"stop_fraction is {stop_fraction!r}: it has to be a share above 0 and up to 1")
        self.epochs = epochs
        self.step = step
        self.patience = patience
        self.tolerance = tolerance
        self.stop_fraction = stop_fraction
        self.losses: list[dict[str, float]] = []  # of every epoch
        self.last_event = 0  # number of epochs done at that time
        self.finished = False

    def update(self, losses: Mapping[str, float]) -> Action:
        """What to do after an epoch.

        Args:
            losses: of the epoch, by the names in ``LOSSES``.

        Raises:
            ValueError: if one of them is missing or not finite.
        """
        for name in LOSSES:
            if name not in losses or not math.isfinite(losses[name]):
                raise ValueError(
                    f"the loss {name} of epoch {len(self.losses) + 1} is {losses.get(name, 'missing')}, so the "
                    "pruning cannot depend on it"
                )
        self.losses.append({name: float(losses[name]) for name in LOSSES})
        if self.finished:
            return "nothing"
        if len(self.losses) >= self.stop_fraction * self.epochs:
            return self._stop()
        if not all(map(self._converged, LOSSES)):
            return "nothing"
        over_pruned = any(map(self._over_pruned, LOSSES))
        self.last_event = len(self.losses)
        if not over_pruned:
            return "prune"
        self.step -= 1
        return "restore" if self.step > 0 else self._stop()

    def finish(self) -> None:
        """End the pruning, because there is nothing left to prune."""
        self.finished = True

    def _stop(self) -> Action:
        self.finished = True
        return "stop"

    def _since_event(self, name: str) -> list[float]:
        return [losses[name] for losses in self.losses[self.last_event :]]

    def _converged(self, name: str) -> bool:
        since = self._since_event(name)
        return len(since) > self.patience and since.index(min(since)) < len(since) - self.patience

    def _over_pruned(self, name: str) -> bool:
        ever, since = [losses[name] for losses in self.losses], self._since_event(name)
        return min(since) - min(ever) > self.tolerance * (max(ever) - min(ever))

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps, of types that JSON has."""
        return {
            "step": self.step,
            "losses": [dict(losses) for losses in self.losses],
            "last_event": self.last_event,
            "finished": self.finished,
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Go on from the state of a checkpoint."""
        self.step = state["step"]
        self.losses = [dict(losses) for losses in state["losses"]]
        self.last_event = state["last_event"]
        self.finished = state["finished"]


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
