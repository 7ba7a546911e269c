"""Fuse batch norms into the convolutions beside them."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import nn

from lunet_networks.nets.layers import ConvUnit, FusedUnit, NormFirst

__all__ = ["Affine", "fold_norm", "fuse_norms", "fuse_units", "merge_pointwise"]

Affine = tuple[torch.Tensor, torch.Tensor]  # weight and bias


def fuse_units(network: nn.Module, form: nn.Module) -> nn.Module:
    """Give a network that is made of :class:`FusedUnit` the weights of the one that is made of :class:`ConvUnit`.

    Args:
        network: trained; unchanged.
        form: a new network of the same class and arguments with ``deployed=True``; changed in place.

    Returns:
        ``form``, on the device and of the type of ``network``.
    """
    form = form.to(next(network.parameters()))
    for name, module in form.named_modules():
        source = network.get_submodule(name)
        if isinstance(module, FusedUnit):
            _fuse(source, module)
        elif isinstance(module, (nn.modules.conv._ConvNd, nn.LayerNorm)) and not isinstance(
            form.get_submodule(name.rpartition(".")[0]), FusedUnit
        ):
            module.load_state_dict(source.state_dict())
    return form


def fuse_norms(network: nn.Module, form: nn.Module) -> nn.Module:
    """Give a network without the batch norms that follow a convolution in an ``nn.Sequential`` the weights of the one
    that has them.

    Args:
        network: trained; unchanged.
        form: a new network of the same class and arguments with ``deployed=True``; changed in place. Its convolutions
            have a bias, and the places in their ``nn.Sequential`` that they have in ``network``.

    Returns:
        ``form``, on the device and of the type of ``network``.
    """
    form = form.to(next(network.parameters()))
    state = network.state_dict()
    for name, module in network.named_modules():
        children = module.named_children() if isinstance(module, nn.Sequential) else ()
        for (place, convolution), (norm_place, norm) in pairwise(children):
            if isinstance(norm, nn.modules.batchnorm._BatchNorm):
                fused = f"{name}.{place}."
                state[f"{fused}weight"], state[f"{fused}bias"] = fold_norm(convolution, norm)
                for entry in norm.state_dict():
                    del state[f"{name}.{norm_place}.{entry}"]
    form.load_state_dict(state)
    return form


@torch.no_grad()
def _fuse(unit: ConvUnit, fused: FusedUnit) -> None:
    norm = unit.adn.N
    weight, bias = fold_norm(unit.conv, norm)
    fused.conv.weight.copy_(weight)
    fused.conv.bias.copy_(bias)
    if fused.limited and isinstance(unit.adn, NormFirst):
        fused.low.zero_()
        fused.high.fill_(math.inf)
    elif fused.limited:
        scale, shift = _scale_and_shift(norm)  # of a ReLU's output, which is at least 0
        fused.low.copy_(torch.where(scale < 0, -math.inf, shift))
        fused.high.copy_(torch.where(scale > 0, math.inf, shift))


def fold_norm(convolution: nn.Module, norm: nn.Module) -> Affine:
    """Weight and bias of a convolution fused with the batch norm after it. They are computed in
    float64: in float32 the fused network would be further from the exact result than the trained network is."""
    scale, shift = _scale_and_shift(norm)
    bias = 0 if convolution.bias is None else convolution.bias.double()
    return convolution.weight.double() * scale.view(-1, *[1] * (convolution.weight.dim() - 1)), bias * scale + shift


def _scale_and_shift(norm: nn.Module) -> Affine:
    """What a batch norm multiplies by and then adds."""
    scale = norm.weight.double() / (norm.running_var.double() + norm.eps).sqrt()
    return scale, norm.bias.double() - norm.running_mean.double() * scale


def merge_pointwise(first: Affine, second: Affine) -> Affine:
    """Weight and bias of the 1 x 1 convolution (2D) that replaces two consecutive ones."""
    (first_weight, first_bias), (second_weight, second_bias) = first, second
    matrix = second_weight.flatten(1)
    return (matrix @ first_weight.flatten(1))[:, :, None, None], second_bias + matrix @ first_bias
