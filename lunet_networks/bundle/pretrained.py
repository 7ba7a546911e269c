"""Starting from weights that another training left."""

from __future__ import annotations

import logging
from pathlib import Path

from torch import nn

from lunet_networks.nets.pspseg import without_supervision
from lunet_networks.state_dicts import read_state_dict

__all__ = ["load_pretrained"]

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
