"""Trained weights, loaded by an evaluation or inference, or used as the start of a training."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

import torch
from ignite.engine import Engine, Events
from torch import nn

from lunet_networks.bundle.runtime.files import as_path
from lunet_networks.nets.supervision import SUPERVISION, without_supervision
from lunet_networks.state_dicts import read_state_dict, weights_digest

__all__ = ["CheckpointLoader", "load_pretrained", "load_weights", "name_of_head", "read_weights"]

DOUBT = "are preset and network_def those of its training?"
logger = logging.getLogger(__name__)


class CheckpointLoader:
    """Handler that loads trained weights when an evaluator starts.

    It has the name of MONAI's handler because federated clients, which bring their own weights, skip every handler with
    that name. The errors of MONAI's handler show every tensor but do not say what to do. ``digest`` tells which weights
    it has loaded, as :py:func:`lunet_networks.state_dicts.weights_digest` does; it is empty until then.

    Args:
        path: path of a state dict.
        network: the network to load into.

    Example::

        SupervisedEvaluator(..., val_handlers=[CheckpointLoader("models/model.pt", network)])
    """

    def __init__(self, path: str | Path, network: nn.Module) -> None:
        self.path = as_path(path)
        self.network = network
        self.digest = ""

    def attach(self, engine: Engine) -> None:
        """Attach this handler to an evaluator."""
        engine.add_event_handler(Events.STARTED, self.load)

    def load(self) -> None:
        """Load the weights.

        Raises:
            FileNotFoundError, ValueError: as for :py:func:`read_weights`.
        """
        state = read_state_dict(self.path)
        self.network.load_state_dict(_fitting(self.network, state, self.path))
        self.digest = weights_digest(state)


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
        ValueError: ...model.pt is from another network: weight is 1 x 2 in the file, not 1 x 3; ...
    """
    return _fitting(network, read_state_dict(path), path)


def _fitting(network: nn.Module, state: Mapping[str, torch.Tensor], path: str | Path) -> dict[str, torch.Tensor]:
    own, state = network.state_dict(), without_supervision(network, state)
    for name in [*own, *state]:
        if name not in state or name not in own:
            where = "is missing in the file" if name not in state else "is not part of this network"
            raise ValueError(f"{path} is from another network: {name} {where}; {DOUBT}")
        if own[name].shape != state[name].shape:
            there, here = (" x ".join(map(str, tensors[name].shape)) for tensors in (state, own))
            raise ValueError(f"{path} is from another network: {name} is {there} in the file, not {here}; {DOUBT}")
    logger.info("loaded the weights in %s", path)
    return state


def load_pretrained(network: nn.Module, path: str | Path) -> None:
    """Start a network from the weights of another training.

    Heads, the layers that compute the output, keep their random initialisation if the number of labels differs, as do
    other layers that see a mask of every label (EGE-UNet); those of deep supervision also if the weights are those of a
    network without it. A log message says what is taken.

    Args:
        network: the network to load into.
        path: path of a state dict.

    Raises:
        FileNotFoundError: if the file does not exist.
        ValueError: if it is not a state dict, takes other images, or belongs to another network.

    Example:
        >>> import tempfile
        >>> import torch
        >>> from lunet_networks import create_network
        >>> path = Path(tempfile.mkdtemp(), "model.pt")
        >>> torch.save(create_network("lunet_small_4f", out_channels=2).state_dict(), path)
        >>> load_pretrained(create_network("lunet_small_4f", out_channels=3), path)  # all but the head
    """
    path = as_path(path)
    own, state = network.state_dict(), without_supervision(network, read_state_dict(path))
    differing = [name for name in own if name not in state or state[name].shape != own[name].shape]
    head = name_of_head(network)
    of_labels = tuple(getattr(network, "label_parts", ())) if f"{head}.bias" in differing else ()
    anew = {
        name
        for name in differing
        if ((_module_of(name) == head or name.startswith(of_labels)) and name in state) or name.startswith(SUPERVISION)
    }
    if left := [name for name in [*differing, *sorted(state.keys() - own.keys())] if name not in anew]:
        raise ValueError(f"{path} {_difference(own, state, left)}")
    why = _why_anew(own, state, head) if anew else ""
    network.load_state_dict({**state, **{name: own[name] for name in anew}})
    logger.info(f"started from the weights in {path}: {len(own) - len(anew)} of {len(own)} tensors are taken{why}")


def _why_anew(own: Mapping[str, torch.Tensor], state: Mapping[str, torch.Tensor], head: str) -> str:
    """Why heads start anew."""
    there, here = (len(tensors[f"{head}.bias"]) for tensors in (state, own))
    if there != here:
        return (
            f"; the others, those of its heads, start anew, as the weights are from a network with other labels: "
            f"{there} outputs, not {here}"
        )
    return "; the others, the heads of deep supervision, start anew, as the file does not have them"


def _difference(own: Mapping[str, torch.Tensor], state: Mapping[str, torch.Tensor], names: list[str]) -> str:
    """Why the weights do not fit: other images, or another network."""
    first = names[0]
    shapes = [tuple(tensors[first].shape) if first in tensors else None for tensors in (state, own)]
    there, here = shapes
    if len(names) == 1 and there and here and len(there) > 2 and (there[0], there[2:]) == (here[0], here[2:]):
        return (
            f"takes images of {there[1]} channels, but in_channels is {here[1]}: use weights for as many channels, or "
            "train without pretrained"
        )
    in_file, wanted = (" x ".join(map(str, shape)) if shape else "missing" for shape in shapes)
    return (
        f"is from another network: {len(names)} tensors differ or exist on one side only, the first is {first} ("
        f"{in_file} in the file, {wanted} in the network); use the preset of that network, or train without pretrained"
    )


def name_of_head(network: nn.Module) -> str:
    """Name of the module that computes the output: the last one with parameters."""
    return _module_of([name for name, _ in network.named_parameters()][-1])


def _module_of(name: str) -> str:
    return name.rpartition(".")[0]
