"""Ending a training that no longer improves."""

from __future__ import annotations

import logging

from ignite.engine import Engine, Events

from lunet_networks.bundle.training.history import History

__all__ = ["EarlyStop"]

logger = logging.getLogger(__name__)


class EarlyStop:
    """Handler that ends the training after a number of validations without a better model.

    It counts them in the history, so a resumed training stops at the same epoch as an uninterrupted one.

    Args:
        patience: number of validations to wait.
        history: history of the run; its recorder is attached before this handler.
    """

    def __init__(self, patience: int, history: History) -> None:
        self.patience = patience
        self.history = history

    def attach(self, engine: Engine) -> None:
        """Attach this handler to a trainer."""
        engine.add_event_handler(Events.STARTED, self)  # a run that has stopped early may be resumed
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        if self.history.validations_since_best >= self.patience:
            logger.info(f"stopped early: {self.patience} validations without a better model")
            engine.terminate()
