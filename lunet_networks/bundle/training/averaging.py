"""The moving average of the weights of a training, which is validated and saved in place of the newest weights."""

from __future__ import annotations

from typing import Any

from ignite.engine import Engine, Events
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from lunet_networks.bundle.runtime.distributed import AverageBuffers

__all__ = ["WeightAverage", "WeightAverageHandler"]


class WeightAverage:
    """The exponential moving average of the weights over the steps of a training.

    After each step, ``average = decay * average + (1 - decay) * weights``; the first step's weights start it. The
    running statistics of batch norm are averaged in the same way, so that they belong to the averaged weights. The
    optimizer goes on from the weights themselves.

    PyTorch's ``AveragedModel`` computes it. ignite's ``EMAHandler`` would start from the weights that the network has
    when the handler is made, before pretrained ones are loaded.

    Args:
        network: the one in training; not wrapped in DistributedDataParallel.
        decay: share of the older average, from 0 to below 1. It averages over about ``1 / (1 - decay)`` steps. 0:
            off, then ``self.network`` is ``network`` itself.

    Attributes:
        network: the network to validate and to save.

    Example:
        >>> layer = nn.Linear(1, 1, bias=False)
        >>> average = WeightAverage(layer, 0.75)
        >>> for weight in (1.0, 5.0, 3.0):
        ...     _ = nn.init.constant_(layer.weight, weight)
        ...     average.update()
        >>> average.network.weight.item(), layer.weight.item()
        (2.25, 3.0)
    """

    def __init__(self, network: nn.Module, decay: float = 0.0) -> None:
        self.source = network
        self.model: AveragedModel | None = None
        if decay:
            self.model = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True)
        self.network: nn.Module = network if self.model is None else self.model.module

    def update(self) -> None:
        """Take the weights after a step into the average."""
        if self.model is not None:
            self.model.update_parameters(self.source)

    def state_dict(self) -> dict[str, Any]:
        """The state for a checkpoint; empty if the average is off."""
        return {} if self.model is None else self.model.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the state from a checkpoint."""
        if self.model is not None:
            self.model.load_state_dict(state)


class WeightAverageHandler:
    """Handler that takes every step of a training into a :class:`WeightAverage`.

    With several processes the statistics of batch norm in the average are averaged over them after every epoch, as
    :class:`~lunet_networks.bundle.runtime.AverageBuffers` does for the network. So it stands before the validation.

    Args:
        average: of the weights of the trained network; nothing is done if it is off.

    Example::

        SupervisedTrainer(..., train_handlers=[WeightAverageHandler(average), ValidationHandler(1, evaluator)])
    """

    def __init__(self, average: WeightAverage) -> None:
        self.average = average

    def attach(self, engine: Engine) -> None:
        """Attach this handler to a trainer."""
        if self.average.model is not None:
            engine.add_event_handler(Events.ITERATION_COMPLETED, self.average.update)
            AverageBuffers(self.average.network).attach(engine)
