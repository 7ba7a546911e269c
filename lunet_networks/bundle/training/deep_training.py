"""Deep training of an LV-UNet: the activation inside its blocks becomes linear, so that the blocks can be fused."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable

from ignite.engine import Engine, Events
from torch import nn

from lunet_networks.bundle.runtime.checks import choose
from lunet_networks.bundle.training.history import CANDIDATE, History
from lunet_networks.nets import LVUNet

__all__ = ["SLOPES", "DeepTraining"]

logger = logging.getLogger(__name__)

LINEAR_SHARE = 0.1

SLOPES: dict[str, Callable[[float], float]] = {  # slope as a function of the completed share of the rise
    "cosine": lambda done: 1 - math.cos(math.pi * done / 2),
    "linear": lambda done: done,
}


class DeepTraining:
    """Handler that raises the slope in the blocks of an LV-UNet from 0 to 1.

    The slope depends on the epoch and the number of epochs only, so a resumed training gets the same slopes. It rises
    over the first nine tenths of the epochs and is 1 in the last tenth, at least in the last epoch. The published
    slope stops just below 1, so the fused network computes a different function. Only an epoch with a slope of 1 can
    be the best one, as only its weights can be deployed. Until the first of them is validated, ``Checkpoints`` keeps
    the newest weights.

    Args:
        network: an :class:`LVUNet`; not wrapped in DistributedDataParallel.
        history: history of the training; the slope is added to its rows.
        deep_training: how the slope rises, "cosine" (``1 - cos(pi e / 2E)``, as published) or "linear".

    Raises:
        ValueError: if ``deep_training`` is another name, or the network has no slope.

    Source:
        LV-UNet, arXiv 2408.16886, after VanillaNet (Chen et al., NeurIPS 2023), where the slope rises linearly.

    Example:
        >>> from lunet_networks import create_network
        >>> history = History("eval", ["tumour"])
        >>> deep_training = DeepTraining(create_network("lv_unet"), history, "linear")
        >>> [deep_training.slope(epoch, 6) for epoch in range(1, 7)]
        [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    """

    def __init__(self, network: nn.Module, history: History, deep_training: str = "cosine") -> None:
        self.course = choose("deep_training", deep_training, SLOPES)
        if not isinstance(network, LVUNet) or network.deployed:
            what = "a deployed network" if isinstance(network, LVUNet) else f"a {type(network).__name__}"
            raise ValueError(f"deep_training is {deep_training!r}, but {what} has no slope: use --deep_training none")
        self.network = network
        self.history = history

    def attach(self, engine: Engine) -> None:
        """Attach this handler to a trainer."""
        engine.add_event_handler(Events.STARTED, self._tell)
        engine.add_event_handler(Events.EPOCH_STARTED, self)

    def slope(self, epoch: int, epochs: int) -> float:
        """The slope in an epoch, counted from 1, of a training with so many epochs."""
        rising = _rising(epochs)
        return 1.0 if epoch > rising else self.course((epoch - 1) / rising)

    def _tell(self, engine: Engine) -> None:
        epochs = engine.state.max_epochs
        first = _rising(epochs) + 1
        logger.info(
            f"deep training: the best model is one of the epochs {first} to {epochs}, as only their blocks can be "
            f"fused. The blocks become linear until then: Dice often falls in epoch {first} and rises again"
        )

    def __call__(self, engine: Engine) -> None:
        slope = self.slope(engine.state.epoch, engine.state.max_epochs)
        self.network.set_slope(slope)
        self.history.notes.update({"slope": slope, CANDIDATE: int(slope == 1)})


def _rising(epochs: int) -> int:
    """The last epoch in which the slope is below 1."""
    return epochs - max(1, round(LINEAR_SHARE * epochs))
