"""Weights of the published implementations, loaded into our networks."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Mapping

import torch
from torch import nn

from lunet_networks.nets import LVUNet, MedNeXt, PSPSeg, UNet, UNetPlusPlus

__all__ = ["SUPERVISION_HEAD", "load_published_weights", "published_keys"]

SUPERVISION_HEAD = re.compile(r"out_[1-9]\.\w+")  # a published key of PSP-Seg's that inference does without


def load_published_weights(network: nn.Module, state_dict: Mapping[str, torch.Tensor]) -> nn.Module:
    """Load a state dict of the published implementations, in place and strictly.

    Known are the networks published with Lean Unet (UNet, LUNet, UNet++, LUNet++, MedNeXt), those of PSP-Seg before
    anything is deleted in them, LV-UNet in its training form, and, for a UNet, STAMP's pair of a UNet and a Segmenter
    in one state dict with the prefixes ``unet.`` and ``segmenter.``. Those published with Lean Unet and STAMP's end in
    a sigmoid, ours in the logits before it. Heads of PSP-Seg's deep supervision are left out if the network has no such
    head.

    Args:
        network: a :class:`UNet`, :class:`UNetPlusPlus`, :class:`MedNeXt`, :class:`PSPSeg` or :class:`LVUNet`, with as
            many channels in
            and out as the published one.
        state_dict: tensors by the published key names.

    Returns:
        The same network. It is unchanged if an error is raised.

    Raises:
        TypeError: if the network is of another class.
        ValueError: if a key is missing, left over or of another shape; names the first such key and both shapes. If
            nothing was published of a network with these arguments.

    Warns:
        UserWarning: for MedNeXt. The implementation published with Lean Unet pads elsewhere in its up blocks than
            MedNeXt's own authors and MONAI do, and so computes another function with the same weights. For LVUNet,
            whose published weights do not tell the slope that belongs to them.

    Example:
        >>> network = UNet(channels=(4, 4, 4, 4, 4))
        >>> published = {theirs: network.state_dict()[ours] for ours, theirs in published_keys(network).items()}
        >>> _ = load_published_weights(network, published)
    """
    if "model_state_dict" in state_dict:
        raise ValueError("this is a whole checkpoint of the published trainer: pass its 'model_state_dict'")
    stamp = any(key.startswith("unet.") for key in state_dict)
    own = network.state_dict()
    keys = published_keys(network, stamp)
    converted = {}
    for key, published_key in keys.items():
        if published_key not in state_dict:
            raise ValueError(
                f"published weights lack {published_key!r} (no shape), which this network takes with shape "
                f"{_shape(own[key])}: are they of another preset?"
            )
        tensor = state_dict[published_key]
        if key == "out_0.conv_out.weight":  # MedNeXt's head is a transposed convolution here, a plain one there
            tensor = tensor.transpose(0, 1)
        if key.endswith(".scale"):  # PSP-Seg's modules have a vector of them there, each branch has its own here
            number = int(key.split(".")[-2])
            tensor = tensor[number] if number < len(tensor) else tensor
        if tensor.shape != own[key].shape:
            raise ValueError(
                f"published {published_key!r} has shape {_shape(state_dict[published_key])}, this network's {key!r} "
                f"takes {_shape(own[key])}: are the weights of another preset, or of other channels in or out?"
            )
        converted[key] = tensor
    left_over = [key for key in state_dict if key not in keys.values()]
    if isinstance(network, PSPSeg):
        left_over = [key for key in left_over if not SUPERVISION_HEAD.fullmatch(key)]
    if left_over:
        raise ValueError(
            f"published weights hold {left_over[0]!r} with shape {_shape(state_dict[left_over[0]])}, for which this "
            "network has no place, of any shape: are they of another preset?"
        )
    if isinstance(network, MedNeXt):
        warnings.warn(
            "these MedNeXt weights now compute another function than in the code published with Lean Unet, which pads "
            "before the norm in its up blocks where MedNeXt's authors and MONAI pad after: train on, or evaluate anew",
            stacklevel=2,
        )
    if isinstance(network, LVUNet):
        warnings.warn(
            f"published weights of LV-UNet do not tell their slope, this network keeps its own, {network.slope:g}: a "
            "plain training has 0, deep training over 300 epochs ended at 0.9948; network.set_slope(slope) sets it",
            stacklevel=2,
        )
    network.load_state_dict({**own, **converted})
    return network


def _shape(tensor: torch.Tensor) -> tuple[int, ...]:
    return tuple(tensor.shape)


def published_keys(network: nn.Module, stamp: bool = False) -> dict[str, str]:
    """Published key of each entry of a network's state dict, in the network's order.

    Args:
        network: a :class:`UNet`, :class:`UNetPlusPlus`, :class:`MedNeXt`, :class:`PSPSeg`, whose branches share the
            key of the vector that holds their scales, or :class:`LVUNet`, of whose entries the slopes are left out:
            they were not published.
        stamp: give STAMP's keys instead of Lean Unet's; for a :class:`UNet`.

    Raises:
        TypeError: if the network is of another class.
        ValueError: if STAMP's keys are asked for of another network than a UNet, or nothing was published of a network
            with these arguments.

    Example:
        >>> published_keys(UNet(), stamp=True)["encoders.0.1.adn.N.weight"]
        'unet.encoder1.enc1norm2.weight'
    """
    if stamp and not isinstance(network, UNet):
        raise ValueError(f"STAMP's keys (unet.*, segmenter.*) belong to a UNet, not to a {type(network).__name__}")
    if type(network) not in _RULES:
        known = ", ".join(network_class.__name__ for network_class in _RULES)
        raise TypeError(f"published weights are known of {known}, not of {type(network).__name__}")
    if isinstance(network, UNet) and network.adn_ordering != "AND":
        raise ValueError(f"published weights are of units in the order 'AND', this network has {network.adn_ordering}")
    if isinstance(network, LVUNet) and (network.mobilenet_blocks != 9 or network.skip != "add" or network.deployed):
        raise ValueError("published weights are of an LVUNet with mobilenet_blocks=9 and skip='add' before deployment")
    rules = _STAMP_RULES if stamp else _RULES[type(network)]
    ups = {MedNeXt: "up_blocks", LVUNet: "up_stages"}.get(type(network), "upsamples")
    deepest = len(getattr(network, ups)) - 1
    return {key: _rename(key, rules, deepest) for key in network.state_dict() if not key.endswith(".slope")}


Rules = dict[str, Callable[..., str]]


def _rename(key: str, rules: Rules, deepest: int) -> str:
    """Apply the rule whose pattern matches the whole key; its groups arrive as integers or strings."""
    for pattern, rule in rules.items():
        if match := re.fullmatch(pattern, key):
            groups = [int(group) if group.isdecimal() else group for group in match.groups()]
            return rule(deepest, *groups)
    raise AssertionError(f"no rule for {key}")  # every entry of our own networks has one


_UNIT = r"(conv|adn\.N)\.(\w+)"  # the convolution or the norm of a unit, and what of it
_LEAN = {"conv": "conv", "adn.N": "bn"}  # what they are called there
_STAMP = {"conv": "conv", "adn.N": "norm"}


def _decoder(last: int, k: int, j: int, layer: str, entry: str) -> str:
    return f"decoders.{k}.dec{'_final' if k == last else k}_{_LEAN[layer]}{j}.{entry}"


_SHARED_RULES: Rules = {
    rf"encoders\.(\d)\.(\d)\.{_UNIT}": lambda _, i, j, layer, entry: f"encoders.{i}.enc{i}_{_LEAN[layer]}{j}.{entry}",
    rf"segmenter\.{_UNIT}": lambda _, layer, entry: f"segmenter.seg_{_LEAN[layer]}.{entry}",
    r"head\.(\w+)": lambda _, entry: f"out_conv.{entry}",
}
_UNET_RULES: Rules = {
    **_SHARED_RULES,
    rf"bottleneck\.(\d)\.{_UNIT}": lambda _, j, layer, entry: f"bottleneck.bottleneck_{_LEAN[layer]}{j}.{entry}",
    r"upsamples\.(\d)\.(\w+)": lambda _, k, entry: f"upsamples.{k}.{entry}",
    rf"decoders\.(\d)\.(\d)\.{_UNIT}": _decoder,
}
_UNET_PLUS_PLUS_RULES: Rules = {
    **_SHARED_RULES,
    r"upsamples\.(\d)\.(\d)\.(\w+)": lambda _, column, i, entry: f"upsamples.{i}_{column + 1}.{entry}",
    rf"nodes\.(\d)\.(\d)\.(\d)\.{_UNIT}": lambda _, column, i, k, layer, entry: (
        f"nested_blocks.{i}_{column + 1}.node_{i}_{column + 1}_{_LEAN[layer]}{k}.{entry}"
    ),
}
_STAMP_RULES: Rules = {  # levels count from 1 at full resolution, units from 1
    rf"encoders\.(\d)\.(\d)\.{_UNIT}": lambda _, i, j, layer, entry: (
        f"unet.encoder{i + 1}.enc{i + 1}{_STAMP[layer]}{j + 1}.{entry}"
    ),
    rf"bottleneck\.(\d)\.{_UNIT}": lambda _, j, layer, entry: (
        f"unet.bottleneck.bottleneck{_STAMP[layer]}{j + 1}.{entry}"
    ),
    r"upsamples\.(\d)\.(\w+)": lambda last, k, entry: f"unet.upconv{last - k + 1}.{entry}",
    rf"decoders\.(\d)\.(\d)\.{_UNIT}": lambda last, k, j, layer, entry: (
        f"unet.decoder{last - k + 1}.dec{last - k + 1}{_STAMP[layer]}{j + 1}.{entry}"
    ),
    rf"segmenter\.{_UNIT}": lambda _, layer, entry: f"segmenter.decoder1.dec1{_STAMP[layer]}1.{entry}",
    r"head\.(\w+)": lambda _, entry: f"segmenter.conv.{entry}",
}
_MEDNEXT_LAYERS = {"conv1": "conv_dw", "conv2": "conv_expand", "conv3": "conv_compress"}  # others keep their names
_LAYER = r"(conv\d|norm|res_conv)\.(\w+)"


def _mednext_layer(layer: str, entry: str) -> str:
    return f"{_MEDNEXT_LAYERS.get(layer, layer)}.{entry}"


_MEDNEXT_RULES: Rules = {
    r"stem\.(\w+)": lambda _, entry: f"stem.{entry}",
    rf"enc_stages\.(\d)\.(\d)\.{_LAYER}": lambda _, i, j, *layer: f"enc_block_{i}.{j}.{_mednext_layer(*layer)}",
    rf"down_blocks\.(\d)\.{_LAYER}": lambda _, i, *layer: f"down_{i}.{_mednext_layer(*layer)}",
    rf"bottleneck\.(\d)\.{_LAYER}": lambda _, j, *layer: f"bottleneck.{j}.{_mednext_layer(*layer)}",
    rf"up_blocks\.(\d)\.{_LAYER}": lambda last, i, *layer: f"up_{last - i}.{_mednext_layer(*layer)}",
    rf"dec_stages\.(\d)\.(\d)\.{_LAYER}": lambda last, i, j, *layer: (
        f"dec_block_{last - i}.{j}.{_mednext_layer(*layer)}"
    ),
    r"out_0\.conv_out\.(\w+)": lambda _, entry: f"out_conv.{entry}",
}


def _pspseg_unit(k: int, entry: str) -> str:
    return f"convs.{3 * k}.{entry}"  # a norm and an activation stand between the two convolutions


_REDUNDANT = {  # entries of a redundant module
    r"_extra_state": lambda _: "active_paths",
    r"branches\.(\d)\.scale": lambda _, __: "weights",
    r"branches\.(\d)\.units\.(\d)\.conv\.(\w+)": lambda _, n, k, entry: f"blocks.{n}.{_pspseg_unit(k, entry)}",
}
_PSPSEG_RULES: Rules = {
    r"stem\.(\w+)": lambda _, entry: f"stem.{entry}",
    r"encoders\.0\.conv\.unit0\.conv\.(\w+)": lambda _, entry: f"enc_block_0.0.convs.0.{entry}",
    r"encoders\.(\d)\.(.+)": lambda _, i, rest: f"enc_block_{i}.0.{_rename(rest, _REDUNDANT, 0)}",
    r"downsamples\.(\d)\.units\.(\d)\.conv\.(\w+)": lambda _, i, k, entry: f"down_{i}.{_pspseg_unit(k, entry)}",
    r"downsamples\.(\d)\.bypass\.conv\.(\w+)": lambda _, i, entry: f"down_{i}.bypassconv.{entry}",
    r"bottleneck\.(.+)": lambda _, rest: f"bottleneck.0.{_rename(rest, _REDUNDANT, 0)}",
    r"upsamples\.(\d)\.preconv\.(\w+)": lambda last, k, entry: f"up_{last - k}.conv.{entry}",
    r"decoders\.\d\.conv\.unit0\.conv\.(\w+)": lambda _, entry: f"dec_block_0.0.convs.0.{entry}",
    r"decoders\.(\d)\.(.+)": lambda last, k, rest: f"dec_block_{last - k}.0.{_rename(rest, _REDUNDANT, 0)}",
    r"head\.(\w+)": lambda _, entry: f"out_0.{entry}",
    r"supervision_heads\.(\d)\.(\w+)": lambda _, k, entry: f"out_{k + 1}.{entry}",
}
_LV_PARTS = {0: "firstconv", 1: "encoder1.0", 2: "encoder1.1", 3: "encoder2.0", 4: "encoder2.1", 5: "encoder2.2"}
_LV_PARTS |= {block: f"encoder3.{block - 6}" for block in range(6, 10)}
_LV_LAYERS = {0: "conv1.0", 1: "conv1.1", 3: "conv2.0", 4: "conv2.1"}


def _lv_block(last: int, stages: str, k: int) -> str:
    if stages == "stages":
        return f"stages.{k}"
    return "final.0" if k == last else f"up_stages{1 + k // 3}.{k % 3}"


_LV_UNET_RULES: Rules = {
    r"features\.(\d)\.(.+)": lambda _, k, entry: f"{_LV_PARTS[k]}.{entry}",
    r"(stages|up_stages)\.(\d)\.pointwise\.(\d)\.(\w+)": lambda last, stages, k, layer, entry: (
        f"{_lv_block(last, stages, k)}.{_LV_LAYERS[layer]}.{entry}"
    ),
    r"(stages|up_stages)\.(\d)\.act\.(\d)\.(\w+)": lambda last, stages, k, layer, entry: (
        f"{_lv_block(last, stages, k)}.act.{entry if layer == 1 else f'bn.{entry}'}"
    ),
    r"head\.(\w+)": lambda _, entry: f"final.1.{entry}",
}
_RULES: dict[type[nn.Module], Rules] = {
    UNet: _UNET_RULES,
    UNetPlusPlus: _UNET_PLUS_PLUS_RULES,
    MedNeXt: _MEDNEXT_RULES,
    PSPSeg: _PSPSEG_RULES,
    LVUNet: _LV_UNET_RULES,
}
