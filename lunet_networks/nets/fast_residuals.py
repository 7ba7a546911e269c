"""One kernel for each block of PSP-Seg in evaluation on a CPU.

A function here computes a block if its layers are, at present, what the kernel computes, and nobody looks between them;
otherwise it returns None, and the layers compute. The kernels are for convolutions of many channels: all numbers of
channels must be multiples of 16. Between blocks, images lie channels last.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
from monai.networks.blocks import ADN, Convolution, ResidualUnit, UpSample
from torch import nn

from lunet_networks import kernels
from lunet_networks.nets.fast_layers import is_fast, is_pointwise
from lunet_networks.nets.layers import are_unobserved

__all__ = ["decode", "downsample", "redundant", "residual"]

Tensor = torch.Tensor
_CONVOLUTIONS = (nn.Conv2d, nn.Conv3d)
_NORMS = (nn.InstanceNorm2d, nn.InstanceNorm3d)
_DROPOUTS = (nn.Dropout, nn.Dropout2d, nn.Dropout3d)


class _Unit(NamedTuple):
    """A convolution and what follows it: an instance norm, and perhaps a leaky ReLU."""

    conv: nn.Module
    eps: float
    slope: float | None


def residual(
    block: nn.Module,
    x: Tensor,
    lower: Sequence[Tensor] = (),
    stem: nn.Module | None = None,
    head: nn.Module | None = None,
) -> Tensor | None:
    """A residual block, perhaps behind a stem, or after the addition of what is doubled, or before a head; stem and
    head are convolutions of one voxel."""
    if not kernels.apply_to(x):
        return None
    ends = [layer for layer in (stem, head) if layer is not None]
    if not (isinstance(block, ResidualUnit) and len(block.conv) == 1 and type(block.residual) is nn.Identity):
        return None
    if not (all(map(is_pointwise, ends)) and are_unobserved(block, block.conv, block.residual, *ends)):
        return None
    unit = _unit(block.conv[0], (3,))
    if unit is None or unit.slope is None or unit.conv.in_channels != unit.conv.out_channels:
        return None
    if not _can_compute([unit.conv, *ends], unit.conv.weight, x, *lower):
        return None
    stem_layer, head_layer = ([] if end is None else [end.weight, end.bias] for end in (stem, head))
    return kernels.residual_unit(x, list(lower), stem_layer, unit.conv.weight, unit.eps, unit.slope, head_layer)


def decode(up: nn.Module, decoder: nn.Module, x: Tensor, skip: Tensor, head: nn.Module | None = None) -> Tensor:
    """A level of the decoder: a block of the sum of the skip and of what is doubled; perhaps before a head. Here the
    layers compute where no kernel can."""
    lower = _doubled(up, x)
    if lower is not None:
        if isinstance(decoder, ResidualUnit):
            fused = residual(decoder, skip, lower, head=head)
        else:
            fused = redundant(decoder, skip, lower)
            fused = fused if head is None or fused is None else head(fused)
        if fused is not None:
            return fused
    output = decoder(up(x) + skip)
    return output if head is None else head(output)


def downsample(block: nn.Module, x: Tensor) -> Tensor | None:
    """A block that halves the resolution."""
    bypass = getattr(block.bypass, "conv", None)
    if not (
        kernels.apply_to(x)
        and len(block.units) == 2
        and type(block.bypass) is Convolution
        and len(block.bypass) == 1
        and is_pointwise(bypass)
        and type(block.act) is nn.LeakyReLU
        and are_unobserved(block, block.units, block.bypass, bypass, block.act)
    ):
        return None
    first, second = _unit(block.units[0], (3,), stride=2), _unit(block.units[1], (3,))
    if first is None or second is None or second.slope is not None:
        return None
    if not (first.eps == second.eps and first.slope == block.act.negative_slope):
        return None
    if not _can_compute([first.conv, second.conv, bypass], first.conv.weight, x):
        return None
    weights = first.conv.weight, second.conv.weight, bypass.weight, bypass.bias
    return kernels.downsample_unit(x, *weights, first.eps, first.slope)


def redundant(module: nn.Module, x: Tensor, lower: Sequence[Tensor] = ()) -> Tensor | None:
    """A redundant module, perhaps after the addition of what is doubled."""
    if not (kernels.apply_to(x) and are_unobserved(module, module.branches, module.act)):
        return None
    branches = [branch for branch, active in zip(module.branches.values(), module.active, strict=True) if active]
    pairs = [_units(branch) for branch in branches]
    if not pairs or None in pairs:
        return None
    units = [unit for pair in pairs for unit in pair]
    if len({unit.eps for unit in units}) > 1 or len({pair[0].slope for pair in pairs}) > 1:
        return None
    scales = [branch.scale for branch in branches]
    convs = [unit.conv for unit in units]
    if not _can_compute(convs, convs[0].weight, x, *lower, *scales):
        return None
    outer_slope = {nn.LeakyReLU: getattr(module.act, "negative_slope", None), nn.Identity: 1.0}.get(type(module.act))
    if outer_slope is None:
        return None
    first, second = ([conv.weight for conv in convs[place::2]] for place in (0, 1))
    norms = units[0].eps, units[0].slope
    if module.parallel:
        return kernels.redundant_module(x, list(lower), first, second, scales, *norms, outer_slope)
    for place, scale in enumerate(scales):
        slope = outer_slope if place == len(scales) - 1 else 1.0
        x = kernels.redundant_module(x, list(lower), [first[place]], [second[place]], [scale], *norms, slope)
        lower = ()  # has been added
    return x


def _units(branch: nn.Module) -> tuple[_Unit, _Unit] | None:
    if not (len(branch.units) == 2 and are_unobserved(branch, branch.units)):
        return None
    first, second = _unit(branch.units[0], (1,)), _unit(branch.units[1], (1, 3))
    if first is None or second is None or first.slope is None or second.slope is not None:
        return None
    return first, second


def _doubled(up: nn.Module, x: Tensor) -> list[Tensor] | None:
    """An image and the weight and bias of a convolution of one voxel, whose output is doubled by nearest neighbours."""
    layers = [*up.children()]
    if not (kernels.apply_to(x) and type(up) is UpSample and len(layers) == 2 and are_unobserved(up, *layers)):
        return None
    conv, doubling = layers
    factor = doubling.scale_factor if type(doubling) is nn.Upsample else None
    is_by_two = (factor if isinstance(factor, tuple) else (factor,)) in ((2,), (2,) * (x.dim() - 2))
    if not (is_pointwise(conv) and is_by_two and doubling.mode == "nearest"):
        return None
    return [x, conv.weight, conv.bias]


def _unit(unit: nn.Module, lengths: Iterable[int], stride: int = 1) -> _Unit | None:
    """A unit whose convolution has one of these lengths along each axis and keeps the size, but for its stride."""
    if type(unit) is not Convolution or [*unit._modules] != ["conv", "adn"]:
        return None
    conv, adn = unit.conv, unit.adn
    parts = [*adn._modules.values()]
    if type(adn) is not ADN or not are_unobserved(unit, conv, adn, *parts):
        return None
    norm, *acts = [part for part in parts if type(part) not in _DROPOUTS] or [None]
    if not (
        is_fast(conv, _CONVOLUTIONS)
        and all(length in lengths for length in conv.kernel_size)
        and conv.padding == tuple(length // 2 for length in conv.kernel_size)
        and {*conv.stride} == {stride}
        and {*conv.dilation} == {conv.groups} == {1}
        and conv.padding_mode == "zeros"
        and is_fast(norm, _NORMS)
        and norm.weight is None
        and not norm.track_running_stats
        and [type(act) for act in acts] in ([], [nn.LeakyReLU])
    ):
        return None
    return _Unit(conv, norm.eps, acts[0].negative_slope if acts else None)


def _can_compute(convs: list[nn.Module], weight: Tensor, x: Tensor, *others: Tensor | None) -> bool:
    """Whether the kernels take these convolutions and tensors; ends that make or take an image may have any number of
    channels, which the operator checks."""
    tensors = [tensor for conv in convs for tensor in (conv.weight, conv.bias)]
    return (
        x.dim() == weight.dim()
        and x.numel() > 0
        and weight.shape[0] % kernels.GROUP == weight.shape[1] % kernels.GROUP == 0
        and kernels.apply_to(x, *tensors, *others)
    )
