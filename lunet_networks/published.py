"""Weights of the published implementations, loaded into our networks."""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import torch
from torch import nn

from lunet_networks.published_rules import find_published, published_key

__all__ = ["convert_published", "load_published_weights", "published_keys"]


def load_published_weights(network: nn.Module, state_dict: Mapping[str, torch.Tensor]) -> nn.Module:
    """Load a state dict of the published implementations, in place and strictly.

    It reads the networks published with Lean Unet (UNet, LUNet, UNet++, LUNet++, MedNeXt), those of PSP-Seg, LV-UNet in
    its training form, UNeXt, U-KAN, MALUNet, EGE-UNet, and three that papers on 2D networks compare with: the U-Net of
    mateuszbuda, the UNet++ of 4uiiurz1 without deep supervision, the Attention U-Net of LeeJunHyun. For a UNet it also
    reads STAMP's UNet and Segmenter in one state dict with the prefixes ``unet.`` and ``segmenter.``. The networks of
    Lean Unet, STAMP and mateuszbuda, MALUNet and EGE-UNet end in a sigmoid, ours end in the logits before it.

    Of PSP-Seg, branches that are masked in the published weights (``active_paths``) are masked here. If some were
    deleted, name those that are left in ``branches`` of the network. In both cases a module without an active branch is
    the identity, as published. Heads of deep supervision are skipped if the network has none.

    Args:
        network: of any class of this package but :class:`LMSCUNet` and :class:`MobileNetV3UNet`, with as many channels
            in and out as the published one.
        state_dict: tensors by the published key names.

    Returns:
        The same network. It is unchanged if an error is raised.

    Raises:
        TypeError: if the network is of another class.
        ValueError: if a key is missing, left over or has another shape (the message names the first such key and both
            shapes), or if no weights were published for a network with these arguments.

    Warns:
        UserWarning: for MedNeXt: the implementation published with Lean Unet pads at another place in its up blocks
            than MedNeXt's own authors and MONAI, so it computes another function with the same weights. For LVUNet:
            the published weights do not include their slope.

    Example:
        >>> from lunet_networks import UNet
        >>> network = UNet(channels=(4, 4, 4, 4, 4))
        >>> published = {theirs: network.state_dict()[ours] for ours, theirs in published_keys(network).items()}
        >>> _ = load_published_weights(network, published)
    """
    converted = convert_published(network, state_dict)
    if warning := find_published(network).warning:
        warnings.warn(warning(network), stacklevel=2)
    network.load_state_dict({**network.state_dict(), **converted})
    return network


def convert_published(network: nn.Module, state_dict: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Convert a published state dict to the entries of a network's state dict, in the network's order.

    Args and errors are those of :py:func:`load_published_weights`. Nothing is loaded: the network may be on PyTorch's
    meta device.
    """
    if "model_state_dict" in state_dict:
        raise ValueError("this is a whole checkpoint of the published trainer: pass its 'model_state_dict'")
    keys = published_keys(network, stamp=any(key.startswith("unet.") for key in state_dict))
    published, own = find_published(network), network.state_dict()
    converted = {}
    for key, theirs in keys.items():
        if theirs not in state_dict:
            raise ValueError(
                f"published weights lack {theirs!r} (no shape), which this network needs with shape "
                f"{_shape(own[key])}: do they belong to another preset?"
            )
        tensor = published.convert(network, key, state_dict[theirs])
        if tensor.shape != own[key].shape:
            raise ValueError(
                f"published {theirs!r} has shape {_shape(state_dict[theirs])}, this network's {key!r} "
                f"takes {_shape(own[key])}: do they belong to another preset, or to other channels in or out?"
            )
        converted[key] = tensor
    known = {*keys.values()}
    left_over = [key for key in state_dict if key not in known and not published.optional.fullmatch(key)]
    if left_over:
        raise ValueError(
            f"published weights hold {left_over[0]!r} with shape {_shape(state_dict[left_over[0]])}, but this "
            "network has no such entry, of any shape: do they belong to another preset?"
        )
    return converted


def _shape(tensor: torch.Tensor) -> tuple[int, ...]:
    return tuple(tensor.shape)


def published_keys(network: nn.Module, stamp: bool = False) -> dict[str, str]:
    """Published key of each entry of a network's state dict, in the network's order.

    Args:
        network: as for :py:func:`load_published_weights`. The branches of a :class:`PSPSeg` share the key of the vector
            that holds their scales. The slopes of an :class:`LVUNet` are left out: they were not published.
        stamp: give STAMP's keys instead of Lean Unet's; for a :class:`UNet`.

    Raises:
        TypeError: if the network is of another class.
        ValueError: if you ask for STAMP's keys of another network than a UNet, or no weights were published for a
            network with these arguments.

    Example:
        >>> from lunet_networks import UNet
        >>> published_keys(UNet(), stamp=True)["encoders.0.1.adn.N.weight"]
        'unet.encoder1.enc1norm2.weight'
    """
    published = find_published(network)
    rules = published.stamp_rules if stamp else published.rules
    if rules is None:
        raise ValueError(
            f"STAMP's keys (unet.*, segmenter.*) belong to a UNet of 'AND', not to this {type(network).__name__}"
        )
    published.check(network)
    deepest = len(getattr(network, published.upsamplings)) - 1
    return {
        key: published_key(key, rules, deepest)
        for key in network.state_dict()
        if not published.unpublished.fullmatch(key)
    }
