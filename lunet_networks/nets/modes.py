"""Networks in eval mode for a while."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

__all__ = ["in_eval_mode"]


@contextmanager
def in_eval_mode(network: nn.Module) -> Iterator[None]:
    """All parts of a network are in eval mode, so without dropout and with fixed statistics; afterwards each is in the
    mode in which it was before.

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
