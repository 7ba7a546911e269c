"""Deep training of an LV-UNet: the activation inside its blocks fades away, so that they fuse at the end."""

from __future__ import annotations

import math
from collections.abc import Callable

from ignite.engine import Engine, Events
from torch import nn

from lunet_networks.bundle.runtime.checks import choose
from lunet_networks.bundle.training.history import CANDIDATE, History
from lunet_networks.nets import LVUNet

__all__ = ["SLOPES", "DeepTraining"]

LINEAR_SHARE = 0.1

SLOPES: dict[str, Callable[[float], float]] = {  # slope by the share of the rise that is done
    "cosine": lambda done: 1 - math.cos(math.pi * done / 2),
    "linear": lambda done: done,
}


class DeepTraining:
    """Handler that raises the slope in the blocks of an LV-UNet from 0 to 1.

    The slope is a function of the epoch and of the number of epochs alone, so that a resumed training is the same. It
    rises over the first nine tenths of the epochs and is 1 in the last tenth, at least in the last epoch: what is
    published stops just below 1, and its fusion gives another function. Only the epochs with a slope of 1 may give the
    best model, as only these can be deployed; until the first of them has been validated ``Checkpoints`` keeps the
    newest weights.

    Args:
        network: a :class:`LVUNet`; not wrapped in DistributedDataParallel.
        history: of the training, in whose rows the slope is noted; its recorder is attached as usual.
        deep_training: the course of the slope, "cosine" (``1 - cos(pi e / 2E)``, as published) or "linear".

    Raises:
        ValueError: if there is no such course, or the network has no slope.

    Source:
        LV-UNet, arXiv 2408.16886, after VanillaNet (Chen et al., NeurIPS 2023), whose course is the linear one.

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
            raise ValueError(f"deep_training is {deep_training!r}, but {what} has no slope: --deep_training none")
        self.network = network
        self.history = history

    def attach(self, engine: Engine) -> None:
        """Follow a trainer."""
        engine.add_event_handler(Events.EPOCH_STARTED, self)

    def slope(self, epoch: int, epochs: int) -> float:
        """Of an epoch, counted from 1, of so many."""
        rising = epochs - max(1, round(LINEAR_SHARE * epochs))
        return 1.0 if epoch > rising else self.course((epoch - 1) / rising)

    def __call__(self, engine: Engine) -> None:
        slope = self.slope(engine.state.epoch, engine.state.max_epochs)
        self.network.set_slope(slope)
        self.history.notes.update({"slope": slope, CANDIDATE: int(slope == 1)})
