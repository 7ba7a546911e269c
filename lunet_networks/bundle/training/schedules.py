"""Learning rate schedules that depend on the epoch only, so that they have no state to save."""

from __future__ import annotations

import math
from collections.abc import Callable

from ignite.engine import Engine, Events
from torch.optim import Optimizer

from lunet_networks.bundle.runtime.checks import choose

__all__ = ["SCHEDULES", "LearningRateSchedule"]

STEP_EPOCHS, STEP_FACTOR = 30, 0.1  # as published
POLY_POWER = 0.9

SCHEDULES: dict[str, Callable[[int, int], float]] = {  # factor of the learning rate by completed and all epochs
    "none": lambda done, epochs: 1.0,
    "cosine": lambda done, epochs: (1 + math.cos(math.pi * done / epochs)) / 2,
    "step": lambda done, epochs: STEP_FACTOR ** (done // STEP_EPOCHS),
    "poly": lambda done, epochs: (1 - done / epochs) ** POLY_POWER,
}


class LearningRateSchedule:
    """Handler that sets the learning rate of every epoch.

    PyTorch's schedulers count their own steps. This handler reads the epoch and the number of epochs from the trainer.
    A resumed run therefore gets the same rates, and a run can be extended. Each federated round raises the number of
    epochs, so the rate does not stay at zero after the first round.

    Args:
        optimizer: the optimizer, with the initial learning rate that the schedule scales.
        scheduler_name: "none", "cosine" (to 0), "step" (a tenth every 30 epochs) or "poly" (power 0.9, to 0).

    Raises:
        ValueError: if no schedule has this name.

    Example:
        >>> [round(SCHEDULES["cosine"](done, 4), 2) for done in range(4)]
        [1.0, 0.85, 0.5, 0.15]
    """

    def __init__(self, optimizer: Optimizer, scheduler_name: str) -> None:
        self.optimizer = optimizer
        self.factor = choose("scheduler_name", scheduler_name, SCHEDULES)
        self.initial = [group["lr"] for group in optimizer.param_groups]

    def attach(self, engine: Engine) -> None:
        """Attach this handler to a trainer."""
        engine.add_event_handler(Events.EPOCH_STARTED, self)

    def __call__(self, engine: Engine) -> None:
        factor = self.factor(engine.state.epoch - 1, engine.state.max_epochs)
        for group, initial in zip(self.optimizer.param_groups, self.initial, strict=True):
            group["lr"] = initial * factor
