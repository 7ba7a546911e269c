"""Ending a training that no longer gets better."""

from __future__ import annotations

import logging

from ignite.engine import Engine, Events

from lunet_networks.bundle.training.history import History

__all__ = ["EarlyStop"]

logger = logging.getLogger(__name__)


class EarlyStop:
    """Handler that ends the training after so many validations without a better model.

    It counts in the history, so that a resumed training stops where an uninterrupted one does.

    Args:
        patience: validations to wait.
        history: attached before this handler.
    """

    def __init__(self, patience: int, history: History) -> None:
        self.patience = patience
        self.history = history

    def attach(self, engine: Engine) -> None:
        """Follow a trainer."""
        engine.add_event_handler(Events.STARTED, self)  # a run resumed at the very end has nothing left to do
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        if self.history.validations_since_best >= self.patience:
            logger.info(f"stopped early: {self.patience} validations without a better model")
            engine.terminate()
