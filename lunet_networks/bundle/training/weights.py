"""Trained weights: those that an evaluation or an inference loads, and those that a training starts from."""

from __future__ import annotations

import logging
from pathlib import Path

import torch
from ignite.engine import Engine, Events
from torch import nn

from lunet_networks.nets.pspseg import without_supervision
from lunet_networks.state_dicts import read_state_dict

__all__ = ["CheckpointLoader", "load_pretrained", "load_weights", "read_weights"]

logger = logging.getLogger(__name__)


class CheckpointLoader:
    """Handler that loads trained weights when an evaluator starts.

    It bears the name of MONAI's handler because federated clients, who bring weights of their own, leave out whatever
    has that in its name. MONAI's raises errors that show every tensor and no way out.

    Args:
        path: of a state dict.
        network: to load into.

    Example::

        SupervisedEvaluator(..., val_handlers=[CheckpointLoader("models/model.pt", network)])
    """

    def __init__(self, path: str | Path, network: nn.Module) -> None:
        self.path = path
        self.network = network

    def attach(self, engine: Engine) -> None:
        """Called by the evaluator that this is a handler of."""
        engine.add_event_handler(Events.STARTED, lambda: load_weights(self.network, self.path))


def load_weights(network: nn.Module, path: str | Path) -> None:
    """Load a state dict that fits a network exactly.

    Args:
        network: to load into.
        path: of a state dict.

    Raises:
        FileNotFoundError, ValueError: as :py:func:`read_weights`.
    """
    network.load_state_dict(read_weights(network, path))


def read_weights(network: nn.Module, path: str | Path) -> dict[str, torch.Tensor]:
    """A state dict that fits a network exactly; the network stays as it is.

    Args:
        network: that the state dict is for.
        path: of the state dict.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it holds no plain state dict, or that of another network.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp(), "model.pt")
        >>> torch.save(nn.Linear(2, 1).state_dict(), path)
        >>> read_weights(nn.Linear(3, 1), path)  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        ValueError: ...model.pt is of another network: weight is 1 x 2 there and 1 x 3 here; is the preset right?
    """
    own, state = network.state_dict(), without_supervision(network, read_state_dict(path))
    for name in [*own, *state]:
        if name not in state or name not in own:
            where = "missing" if name not in state else "only"
            raise ValueError(f"{path} is of another network: {name} is {where} there; is the preset right?")
        if own[name].shape != state[name].shape:
            there, here = (" x ".join(map(str, tensors[name].shape)) for tensors in (state, own))
            raise ValueError(
                f"{path} is of another network: {name} is {there} there and {here} here; is the preset right?"
            )
    logger.info("weights of %s", path)
    return state


logger = logging.getLogger(__name__)


def load_pretrained(network: nn.Module, path: str | Path) -> None:
    """Start a network from the weights of another training. Where only the number of labels differs, the head keeps its
    fresh initialisation, and that is said.

    Args:
        network: to load into.
        path: of a state dict.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it holds no state dict, or that of another network.

    Example:
        >>> import tempfile
        >>> import torch
        >>> from lunet_networks import create_network
        >>> path = Path(tempfile.mkdtemp(), "model.pt")
        >>> torch.save(create_network("lunet_small_4f", out_channels=2).state_dict(), path)
        >>> load_pretrained(create_network("lunet_small_4f", out_channels=3), path)  # all but the head
    """
    own, state = network.state_dict(), without_supervision(network, read_state_dict(path))
    other = [name for name in own.keys() & state.keys() if own[name].shape != state[name].shape]
    head = _head(network)
    if own.keys() != state.keys() or any(_module_of(name) != head for name in other):
        faults = len(own.keys() ^ state.keys()) + len(other)
        raise ValueError(
            f"{path} is of another network: {faults} of its tensors or of this network's have no counterpart; "
            "name its preset, or start without pretrained"
        )
    if other:
        state.update((name, value) for name, value in own.items() if _module_of(name) == head)
        logger.info(f"{path} is of a network with other labels: its head, {head}, is not taken over")
    network.load_state_dict(state)
    logger.info(f"started from the weights in {path}")


def _head(network: nn.Module) -> str:
    """Name of the module that makes the output: the last one with parameters."""
    return _module_of([name for name, _ in network.named_parameters()][-1])


def _module_of(name: str) -> str:
    return name.rpartition(".")[0]
