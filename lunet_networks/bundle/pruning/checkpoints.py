"""Checkpoints of a training that changes the form of its network."""

from __future__ import annotations

from typing import Any

from ignite.engine import Engine, Events

from lunet_networks.bundle.pruning.handler import PruningHandler, replace_modules
from lunet_networks.bundle.runtime.memory_format import channels_last
from lunet_networks.bundle.training.checkpoints import Checkpoints

__all__ = ["PruningCheckpoints"]


class PruningCheckpoints(Checkpoints):
    """The checkpoints of a training that prunes: they know the form of the network, and write no model.pt of their own.

    Args:
        pruning: what prunes the network.
        others: those of :class:`Checkpoints`.
    """

    def __init__(self, pruning: PruningHandler, **others: Any) -> None:
        super().__init__(**others)
        self.pruning = pruning

    def attach(self, engine: Engine) -> None:
        """Follow a trainer."""
        self.pruning.attach(engine)
        super().attach(engine)
        engine.add_event_handler(Events.STARTED, self._end_if_finished)

    def _end_if_finished(self, engine: Engine) -> None:
        if self.pruning.steps.finished:  # resumed at the very end
            engine.terminate()

    def form(self) -> dict[str, Any]:
        """The network's description and what the pruning has to know."""
        return {"description": self.network.describe(), "pruning": self.pruning.state()}

    def restore_form(self, state: dict[str, Any]) -> None:
        """Make the network what it was, with an optimizer of its parameters."""
        names = {parameter: name for name, parameter in self.network.named_parameters()}
        layout = {"device": next(iter(names)).device, "memory_format": channels_last(self.network.spatial_dims)}
        network = type(self.network)(**state["description"]).to(**layout)
        left = dict(network.named_parameters())
        for group in self.optimizer.param_groups:
            group["params"] = [left[names[older]] for older in group["params"] if names[older] in left]
        replace_modules(self.network, network.train(self.network.training))
        self.pruning.load(state["pruning"])

    def save_model(self, epoch: int) -> None:
        """The best epoch was before the pruning: what is kept is in the pruned bundle."""
