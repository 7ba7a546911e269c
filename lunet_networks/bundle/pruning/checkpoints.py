"""Checkpoints of a training that prunes its network."""

from __future__ import annotations

from typing import Any

from ignite.engine import Engine, Events

from lunet_networks.bundle.pruning.handler import PruningHandler, replace_modules
from lunet_networks.bundle.runtime.memory_format import channels_last
from lunet_networks.bundle.training.checkpoints import Checkpoints

__all__ = ["PruningCheckpoints"]


class PruningCheckpoints(Checkpoints):
    """The checkpoints of a training that prunes: they store the form of the network and do not write ``model.pt``.

    Args:
        pruning: the handler that prunes the network.
        others: the arguments of :class:`Checkpoints`.
    """

    def __init__(self, pruning: PruningHandler, **others: Any) -> None:
        super().__init__(**others)
        self.pruning = pruning

    def attach(self, engine: Engine) -> None:
        """Add the event handlers to a trainer."""
        self.pruning.attach(engine)
        super().attach(engine)
        engine.add_event_handler(Events.STARTED, self._end_if_finished)

    def _end_if_finished(self, engine: Engine) -> None:
        if self.pruning.steps.finished:  # resumed after the pruning had ended
            engine.terminate()

    def form(self) -> dict[str, Any]:
        """The network's description and the state of the pruning."""
        return {"description": self.network.describe(), "pruning": self.pruning.state()}

    def restore_form(self, state: dict[str, Any]) -> None:
        """Give the network the form in a checkpoint, and the optimizer its parameters."""
        names = {parameter: name for name, parameter in self.network.named_parameters()}
        layout = {"device": next(iter(names)).device, "memory_format": channels_last(self.network.spatial_dims)}
        network = type(self.network)(**state["description"]).to(**layout)
        left = dict(network.named_parameters())
        for group in self.optimizer.param_groups:
            group["params"] = [left[names[older]] for older in group["params"] if names[older] in left]
        replace_modules(self.network, network.train(self.network.training))
        self.pruning.load(state["pruning"])

    def _tell_lost_model(self) -> None:
        """Say nothing: model.pt is that of the pruned bundle."""

    def save_model(self, epoch: int) -> None:
        """Write nothing: the best epoch may be from before the pruning. The pruned bundle holds the weights to keep."""
