"""A network in plain words: the arguments with which its class makes one like it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from lunet_networks.nets import LMSCUNet, LVUNet, PSPSeg, UNet, UNetPlusPlus
from lunet_networks.nets.redundant import redundant_modules
from lunet_networks.pruning.channel_graph import prunable_convolutions

__all__ = ["describe_network", "set_dropout"]


def describe_network(network: nn.Module) -> dict[str, Any]:
    """The arguments of a network's class, of types that JSON has, with the width and the dropout of every unit, or the
    branches of every redundant module. Masks are no part of it, they are in the state dict.

    Args:
        network: a :class:`UNet`, :class:`UNetPlusPlus` or :class:`PSPSeg`, pruned or not, or a :class:`LMSCUNet` or
            :class:`LVUNet`, which describe themselves.

    Raises:
        TypeError: if the network is of another class.

    Example:
        >>> from lunet_networks import UNet
        >>> description = describe_network(UNet(channels=(2, 3), convs_per_block=1, conv_channels={"encoders.0.0": 1}))
        >>> description["channels"], description["conv_channels"]
        ([2, 3], {'encoders.0.0': 1, 'bottleneck.0': 3, 'decoders.0.0': 2})
        >>> describe_network(UNet(**description)) == description
        True
    """
    if isinstance(network, PSPSeg):
        return _describe_pspseg(network)
    if isinstance(network, (LMSCUNet, LVUNet)):
        return network.describe()
    units = {name: network.get_submodule(name) for name in prunable_convolutions(network)}
    conv_channels = {name: unit.conv.out_channels for name, unit in units.items()}
    if isinstance(network, UNetPlusPlus):
        upsamples, deepest = list(network.upsamples[0]), network.encoders[-1]
    else:
        upsamples, deepest = list(reversed(network.upsamples)), network.bottleneck
    description = {
        "spatial_dims": network.spatial_dims,
        "in_channels": network.in_channels,
        "out_channels": network.head.out_channels,
        # nothing but its units is as wide as the deepest level
        "channels": [upsample.out_channels for upsample in upsamples] + [deepest[-1].conv.out_channels],
        "convs_per_block": len(network.encoders[0]),
        "dropout": 0.0 if network.deployed else {name: unit.adn.D.p for name, unit in units.items()},
        "conv_channels": conv_channels,
    }
    if isinstance(network, UNet):
        description["adn_ordering"] = network.adn_ordering
    if network.deployed:
        description["deployed"] = True
    return description


def _describe_pspseg(network: PSPSeg) -> dict[str, Any]:
    names = (
        "spatial_dims",
        "in_channels",
        "out_channels",
        "channels",
        "expansion",
        "num_branches",
        "parallel",
        "deep_supervision",
        "dropout",
    )
    branches = {name: list(module.numbers) for name, module in redundant_modules(network).items()}
    return {**{name: getattr(network, name) for name in names}, "branches": branches}


def set_dropout(network: nn.Module, dropout: Mapping[str, float]) -> None:
    """Give units a dropout of their own, in place.

    Args:
        network: a :class:`UNet` or :class:`UNetPlusPlus`.
        dropout: probability by the name of the unit; the others keep theirs.

    Raises:
        ValueError: if the network has no such unit.

    Example:
        >>> from lunet_networks import UNet
        >>> network = UNet()
        >>> set_dropout(network, {"bottleneck.1": 0.1})
        >>> network.bottleneck[1].adn.D.p
        0.1
    """
    units = prunable_convolutions(network)
    for name, probability in dropout.items():
        if name not in units:
            raise ValueError(f"dropout names {name!r}, which this network has not; its units are {', '.join(units)}")
        network.get_submodule(name).adn.D.p = probability
