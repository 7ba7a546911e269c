"""Transfer the state of a network to its pruned form."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn
from torch.optim import Optimizer

__all__ = ["transfer_state"]

Cut = Callable[[str, torch.Tensor], torch.Tensor]


def transfer_state(network: nn.Module, pruned: nn.Module, cut: Cut, optimizer: Optimizer | None = None) -> None:
    """Copy the state dict and the gradients of a network to its pruned form, and make an optimizer train that from now
    on, with the optimizer's state for the part that stays.

    Args:
        network: stays as it is.
        pruned: every key of its state dict is one of the network's.
        cut: takes a key and its entry in the network's state dict, or something of the same shape that belongs to it,
            and gives a copy of what stays.
        optimizer: that trains the network; changed in place.

    Raises:
        ValueError: if the optimizer trains something else.
    """
    state = network.state_dict()
    pruned.load_state_dict({key: cut(key, state[key]) for key in pruned.state_dict()}, assign=True)
    older = dict(network.named_parameters())
    for key, parameter in pruned.named_parameters():
        parameter.requires_grad_(older[key].requires_grad)
        if older[key].grad is not None:
            parameter.grad = cut(key, older[key].grad)
    if optimizer is not None:
        _transfer_optimizer_state(optimizer, network, pruned, cut)


def _transfer_optimizer_state(optimizer: Optimizer, network: nn.Module, pruned: nn.Module, cut: Cut) -> None:
    keys = {parameter: key for key, parameter in network.named_parameters()}
    new = dict(pruned.named_parameters())
    if any(parameter not in keys for group in optimizer.param_groups for parameter in group["params"]):
        raise ValueError("the optimizer trains parameters that are not this network's")
    for group in optimizer.param_groups:
        for older in group["params"]:
            key, state = keys[older], optimizer.state.pop(older, None)
            if state is not None and key in new:
                optimizer.state[new[key]] = {
                    name: cut(key, value) if _has_shape_of(value, older) else value for name, value in state.items()
                }
        group["params"] = [new[keys[older]] for older in group["params"] if keys[older] in new]


def _has_shape_of(value: object, parameter: torch.Tensor) -> bool:
    return isinstance(value, torch.Tensor) and value.shape == parameter.shape
