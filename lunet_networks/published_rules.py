"""What is known about the published weights of each class: their keys, and where they differ from ours."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from lunet_networks.nets import (
    UKAN,
    AttentionUNet,
    EGEUNet,
    LVUNet,
    MALUNet,
    MedNeXt,
    PSPSeg,
    UNet,
    UNetPlusPlus,
    UNeXt,
)
from lunet_networks.published_rules_2d import (
    ATTENTION_UNET_RULES,
    EGE_UNET_RULES,
    MALUNET_RULES,
    NESTED_UNET_RULES,
    U_KAN_RULES,
    UNEXT_RULES,
    Rules,
)

__all__ = ["PUBLISHED", "Published", "find_published", "published_key"]

NO_KEY = re.compile(r"(?!)")


@dataclass(frozen=True)
class Published:
    """What is known about the published weights of a class.

    Args:
        rules: patterns of our keys, each with a function that makes the published key from the number of the last
            upsampling and the groups of the pattern.
        stamp_rules: the same for STAMP's keys; None: STAMP has no such network.
        upsamplings: the attribute that lists the upsamplings, which some published keys count from the other end.
        check: raises ValueError if no weights were published for a network with its arguments.
        convert: makes our tensor from the network, our key and the published tensor.
        unpublished: our keys that were not published.
        optional: published keys that a network need not have.
        warning: what a user has to know about a network with such weights.
    """

    rules: Rules
    stamp_rules: Rules | None = None
    upsamplings: str = "upsamples"
    check: Callable[[nn.Module], None] = lambda network: None
    convert: Callable[[nn.Module, str, torch.Tensor], torch.Tensor] = lambda network, key, tensor: tensor
    unpublished: re.Pattern = NO_KEY
    optional: re.Pattern = NO_KEY
    warning: Callable[[nn.Module], str] | None = None


def published_key(key: str, rules: Rules, deepest: int) -> str:
    """The published key for one of our keys, by the rule whose pattern matches the whole key.

    Args:
        key: of a network's state dict.
        rules: of its class.
        deepest: number of the network's last upsampling.
    """
    for pattern, rule in rules.items():
        if match := re.fullmatch(pattern, key):
            groups = [int(group) if group.isdecimal() else group for group in match.groups()]
            return rule(deepest, *groups)
    raise AssertionError(f"no rule for {key}")  # every entry of our own networks has one


_UNIT = r"(conv|adn\.N)\.(\w+)"  # the convolution or the norm of a unit, and its entry
_LEAN = {"conv": "conv", "adn.N": "bn"}  # their published names
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
_PLAIN_UNET_RULES: Rules = {  # of the U-Net that STAMP's was made from; our segmenter is a unit of its decoder1
    rf"segmenter\.{_UNIT}": lambda _, layer, entry: f"decoder1.dec1{_STAMP[layer]}2.{entry}",
    r"head\.(\w+)": lambda _, entry: f"conv.{entry}",
    r"(.+)": lambda last, key: published_key(key, _STAMP_RULES, last).removeprefix("unet."),
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
    r"encoders\.(\d)\.(.+)": lambda _, i, rest: f"enc_block_{i}.0.{published_key(rest, _REDUNDANT, 0)}",
    r"downsamples\.(\d)\.units\.(\d)\.conv\.(\w+)": lambda _, i, k, entry: f"down_{i}.{_pspseg_unit(k, entry)}",
    r"downsamples\.(\d)\.bypass\.conv\.(\w+)": lambda _, i, entry: f"down_{i}.bypassconv.{entry}",
    r"bottleneck\.(.+)": lambda _, rest: f"bottleneck.0.{published_key(rest, _REDUNDANT, 0)}",
    r"upsamples\.(\d)\.preconv\.(\w+)": lambda last, k, entry: f"up_{last - k}.conv.{entry}",
    r"decoders\.\d\.conv\.unit0\.conv\.(\w+)": lambda _, entry: f"dec_block_0.0.convs.0.{entry}",
    r"decoders\.(\d)\.(.+)": lambda last, k, rest: f"dec_block_{last - k}.0.{published_key(rest, _REDUNDANT, 0)}",
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


def _check_plain(network: UNet | UNetPlusPlus) -> None:
    bias, upsample = getattr(network, "bias", False), getattr(network, "upsample", "bilinear")
    if (network.adn_ordering, network.convs_per_block, bias, upsample) != ("NDA", 2, False, "bilinear"):
        raise ValueError(
            "published weights have units in the order 'AND', or two units of 'NDA' in a block, in a UNet without "
            "bias, in a UNetPlusPlus with upsample='bilinear'; this network has "
            f"{network.convs_per_block} of {network.adn_ordering!r}, bias={bias}, upsample={upsample!r}"
        )


def _convert_mednext(_: MedNeXt, key: str, tensor: torch.Tensor) -> torch.Tensor:
    """Transpose the head: here it is a transposed convolution, in the published network a plain one."""
    return tensor.transpose(0, 1) if key == "out_0.conv_out.weight" else tensor


def _warn_of_mednext(network: MedNeXt) -> str:
    return (
        "these MedNeXt weights now compute another function than in the code published with Lean Unet: its up "
        "blocks pad before the norm, those of MedNeXt's authors and MONAI after it. Train further, or evaluate again"
    )


def _convert_pspseg(network: PSPSeg, key: str, tensor: torch.Tensor) -> torch.Tensor:
    """Split the vectors of scales and masks, which keep their length when branches are deleted. Here every branch has
    its own scale, and masks belong to the branches that are there."""
    module, _, entry = key.rpartition(".")
    if entry not in ("scale", "_extra_state") or tensor.shape != (network.num_branches,):
        return tensor
    if entry == "scale":
        return tensor[int(module.rpartition(".")[2])]
    return tensor[network.get_submodule(module).numbers]


def _check_lv_unet(network: LVUNet) -> None:
    if network.mobilenet_blocks != 9 or network.skip != "add":
        raise ValueError("published weights need an LVUNet with mobilenet_blocks=9 and skip='add'")


def _warn_of_lv_unet(network: LVUNet) -> str:
    return (
        f"published weights of LV-UNet do not include their slope, so this network keeps its own, {network.slope:g}. A "
        "plain training has 0, deep training over 300 epochs ended at 0.9948. Set it with network.set_slope(slope)"
    )


# heads of deep supervision, and the scales of modules whose branches were all deleted
_PSPSEG_OPTIONAL = re.compile(r"out_[1-9]\.\w+|.+\.0\.weights")

PUBLISHED: dict[type[nn.Module], Published] = {
    UNet: Published(_UNET_RULES, _STAMP_RULES),
    UNetPlusPlus: Published(_UNET_PLUS_PLUS_RULES),
    MedNeXt: Published(_MEDNEXT_RULES, upsamplings="up_blocks", convert=_convert_mednext, warning=_warn_of_mednext),
    PSPSeg: Published(_PSPSEG_RULES, convert=_convert_pspseg, optional=_PSPSEG_OPTIONAL),
    LVUNet: Published(
        _LV_UNET_RULES,
        upsamplings="up_stages",
        check=_check_lv_unet,
        unpublished=re.compile(r".+\.slope"),
        warning=_warn_of_lv_unet,
    ),
    UNeXt: Published(UNEXT_RULES, upsamplings="decoders"),
    AttentionUNet: Published(ATTENTION_UNET_RULES, upsamplings="decoders"),
    UKAN: Published(U_KAN_RULES, upsamplings="decoders"),
    MALUNet: Published(MALUNET_RULES, upsamplings="decoders"),
    EGEUNet: Published(EGE_UNET_RULES, upsamplings="decoders"),
}
_PLAIN = {  # of the same classes, in the order norm, activation of most other code
    UNet: Published(_PLAIN_UNET_RULES, check=_check_plain),
    UNetPlusPlus: Published(NESTED_UNET_RULES, check=_check_plain),
}


def find_published(network: nn.Module) -> Published:
    """What is known about the published weights of a network.

    Raises:
        TypeError: if nothing is published of its class.
        ValueError: if it is deployed, and has no batch norms to take the published ones.
    """
    kind = type(network)
    if kind not in PUBLISHED:
        known = ", ".join(network_class.__name__ for network_class in PUBLISHED)
        raise TypeError(f"published weights are known for {known}, not for {kind.__name__}")
    if network.deployed:
        raise ValueError("published weights need a network before deployment")
    is_plain = kind in _PLAIN and (network.adn_ordering != "AND" or getattr(network, "upsample", "deconv") != "deconv")
    return _PLAIN[kind] if is_plain else PUBLISHED[kind]
