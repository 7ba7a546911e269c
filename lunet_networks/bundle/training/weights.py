"""Trained weights, loaded by an evaluation or inference, or used as the start of a training."""

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

    It has the name of MONAI's handler because federated clients, which bring their own weights, skip every handler with
    that name. The errors of MONAI's handler show every tensor but do not say what to do.

    Args:
        path: path of a state dict.
        network: the network to load into.

    Example::

        SupervisedEvaluator(..., val_handlers=[CheckpointLoader("models/model.pt", network)])
    """

    def __init__(self, path: str | Path, network: nn.Module) -> None:
        self.path = path
        self.network = network

    def attach(self, engine: Engine) -> None:
        """Attach this handler to an evaluator."""
        engine.add_event_handler(Events.STARTED, lambda: load_weights(self.network, self.path))


def load_weights(network: nn.Module, path: str | Path) -> None:
    """Load a state dict that fits a network exactly.

    Args:
        network: the network to load into.
        path: path of a state dict.

    Raises:
        FileNotFoundError, ValueError: as for :py:func:`read_weights`.
    """
    network.load_state_dict(read_weights(network, path))


def read_weights(network: nn.Module, path: str | Path) -> dict[str, torch.Tensor]:
    """Read a state dict that fits a network exactly, without changing the network.

    Args:
        network: the network that the state dict belongs to.
        path: path of the state dict.

    Raises:
        FileNotFoundError: if the file does not exist.
        ValueError: if it is not a plain state dict, or belongs to another network.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp(), "model.pt")
        >>> torch.save(nn.Linear(2, 1).state_dict(), path)
        >>> read_weights(nn.Linear(3, 1), path)  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        ValueError: ...model.pt is from another network: weight is 1 x 2 in the file, not 1 x 3; is the preset right?
    """
    own, state = network.state_dict(), without_supervision(network, read_state_dict(path))
    for name in [*own, *state]:
        if name not in state or name not in own:
            where = "is missing in the file" if name not in state else "is not part of this network"
            raise ValueError(f"{path} is from another network: {name} {where}; is the preset right?")
        if own[name].shape != state[name].shape:
            there, here = (" x ".join(map(str, tensors[name].shape)) for tensors in (state, own))
            raise ValueError(
                f"{path} is from another network: {name} is {there} in the file, not {here}; is the preset right?"
            )
    logger.info("loaded the weights in %s", path)
    return state


logger = logging.getLogger(__name__)


def load_pretrained(network: nn.Module, path: str | Path) -> None:
    """Start a network from the weights of another training.

    If only the number of labels differs, the head keeps its random initialisation, and a log message says so.

    Args:
        network: the network to load into.
        path: path of a state dict.

    Raises:
        FileNotFoundError: if the file does not exist.
        ValueError: if it is not a state dict, or belongs to another network.

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
            f"{path} is from another network: {faults} tensors differ or exist on one side only; "
            "use the preset of that network, or train without pretrained"
        )
    if other:
        state.update((name, value) for name, value in own.items() if _module_of(name) == head)
        logger.info(f"{path} is from a network with other labels: its head, {head}, is not loaded")
    network.load_state_dict(state)
    logger.info(f"started from the weights in {path}")


def _head(network: nn.Module) -> str:
    """Name of the module that computes the output: the last one with parameters."""
    return _module_of([name for name, _ in network.named_parameters()][-1])


def _module_of(name: str) -> str:
    return name.rpartition(".")[0]
