"""Deep supervision: heads that compute logits of more than the last decoder block, in training only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import nn

from lunet_networks.nets.layers import pointwise

__all__ = ["SUPERVISION", "leave_out_supervision", "supervision_heads", "without_supervision"]

SUPERVISION = "supervision_heads."  # begins the names of the parameters that only deep supervision has


def supervision_heads(spatial_dims: int, widths: Iterable[int], out_channels: int) -> nn.ModuleList:
    """A head for each of the blocks, given by their channels, that deep supervision looks at besides the last one."""
    return nn.ModuleList(pointwise(spatial_dims, width, out_channels) for width in widths)


def without_supervision(network: nn.Module, state_dict: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """A state dict without the heads of deep supervision, if the network that is to take it has none.

    Example:
        >>> from lunet_networks import UNet
        >>> state = UNet(channels=(2, 2, 2), deep_supervision=True).state_dict()
        >>> len(state) - len(without_supervision(UNet(channels=(2, 2, 2)), state))
        2
    """
    heads = () if getattr(network, "deep_supervision", False) else SUPERVISION
    return {key: tensor for key, tensor in state_dict.items() if not key.startswith(heads)}


def leave_out_supervision(network: nn.Module, state_dict: dict, prefix: str, *_: object) -> None:
    """Hook before a network loads a state dict: a network without deep supervision takes one of a network with it."""
    own = {key.removeprefix(prefix): tensor for key, tensor in state_dict.items() if key.startswith(prefix)}
    for key in own.keys() - without_supervision(network, own).keys():
        del state_dict[prefix + key]
