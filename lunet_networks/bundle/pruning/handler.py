"""The base of the handlers that prune a network between the epochs of its training."""

from __future__ import annotations

from typing import Any

from ignite.engine import Engine, Events
from monai.engines import Evaluator
from torch import nn
from torch.optim import Optimizer

from lunet_networks.bundle.pruning.history import PruningHistory
from lunet_networks.bundle.pruning.pruned_bundle import PrunedBundle
from lunet_networks.bundle.runtime.memory_format import channels_last
from lunet_networks.bundle.training.history import KEY_METRIC, History

__all__ = ["PruningHandler", "replace_modules"]


def replace_modules(network: nn.Module, other: nn.Module) -> None:
    """Replace the modules of a network in place by those of another network of the same class."""
    for name, module in other.named_children():
        setattr(network, name, module)
    network.to(memory_format=channels_last(network.spatial_dims))  # a resumed run has this layout, too


class PruningHandler:
    """Handler that prunes the trained network in place, so all references to it see the pruned network.

    ``PruningCheckpoints`` attaches it, behind ``EpochRecorder``.

    Args:
        network: the one in training.
        optimizer: of the network.
        evaluator: of the validation.
        history: of the training, for the metrics of an epoch.
        steps: records each pruning step.
        bundle: where networks that are good enough are written.
        patch_shape: spatial shape for which multiply-accumulates are counted.
    """

    def __init__(
        self,
        network: nn.Module,
        optimizer: Optimizer,
        evaluator: Evaluator,
        history: History,
        steps: PruningHistory,
        bundle: PrunedBundle,
        patch_shape: tuple[int, ...],
    ) -> None:
        self.network, self.optimizer = network, optimizer
        self.evaluator, self.history = evaluator, history
        self.steps, self.bundle = steps, bundle
        self.patch_shape = tuple(patch_shape)

    def attach(self, engine: Engine) -> None:
        """Add the event handlers to a trainer."""
        engine.add_event_handler(Events.STARTED, self._begin)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._end_epoch)

    def state(self) -> dict[str, Any]:
        """The state for a checkpoint."""
        return self.steps.state()

    def load(self, state: dict[str, Any]) -> None:
        """Restore the state from a checkpoint."""
        self.steps.load(state)

    def _begin(self, engine: Engine) -> None:
        if engine.network is not self.network:
            raise ValueError(
                "a network that is compiled or trained by several processes cannot be pruned: train it in one "
                "process with --compile False"
            )

    def _end_epoch(self, engine: Engine) -> None:
        raise NotImplementedError

    def _dice_now(self, engine: Engine) -> float:
        """Mean Dice of the network right after a step."""
        self.evaluator.run(engine.state.epoch)
        return float(self.evaluator.state.metrics[KEY_METRIC])
