"""Put networks in eval mode for a while."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

__all__ = ["in_eval_mode"]


@contextmanager
def in_eval_mode(network: nn.Module) -> Iterator[None]:
    """Put all parts of a network in eval mode, without dropout and with fixed statistics; restore the mode of each
    part afterwards.

    Example:
        >>> network = nn.Sequential(nn.Dropout(), nn.Dropout().eval())
        >>> with in_eval_mode(network):
        ...     [module.training for module in network.modules()]
        [False, False, False]
        >>> [module.training for module in network.modules()]
        [True, True, False]
    """
    training = {module: module.training for module in network.modules()}
    network.eval()
    try:
        yield
    finally:
        for module, mode in training.items():
            module.training = mode
