"""The form of a trained network that only has to predict: the same function of fewer layers."""

from __future__ import annotations

import copy

import torch
from torch import nn

from lunet_networks.nets import LVUNet

__all__ = ["deploy"]


def deploy(network: nn.Module) -> nn.Module:
    """The fused form of a trained network.

    Of an LV-UNet the two 1 x 1 convolutions of every block become one, and all batch norms, also those of the
    MobileNet, a part of the convolution before them.

    Args:
        network: a :class:`LVUNet` in evaluation, with a slope of 1; unchanged.

    Returns:
        A network of the same class in evaluation, on the same device and of the same type, with the same output but
        for rounding. Its ``describe()`` and its state dict are all that it takes to make it again. A network that is
        deployed already comes back as a copy.

    Raises:
        TypeError: if there is no such form of this class.
        ValueError: if the network is in training, or its slope is below 1: the leaky ReLU between the convolutions
            would be lost, and the output be another.

    Example:
        >>> network = LVUNet().eval()
        >>> network.set_slope(1)
        >>> fused = deploy(network)
        >>> [sum(p.numel() for p in each.parameters()) for each in (network, fused)]
        [934545, 510985]
        >>> again = LVUNet(**fused.describe())
        >>> again.load_state_dict(fused.state_dict())
        <All keys matched successfully>
    """
    if type(network) not in _FORMS:
        known = " or ".join(network_class.__name__ for network_class in _FORMS)
        raise TypeError(f"a {known} can be deployed, not a {type(network).__name__}")
    if network.training:
        raise ValueError("this network is in training, whose batch norms still move: deploy(network.eval())")
    return _FORMS[type(network)](network)


def _deploy_lv_unet(network: LVUNet) -> LVUNet:
    if network.deployed:
        return copy.deepcopy(network)
    if network.slope < 1:
        raise ValueError(
            f"the slope in the blocks of this LV-UNet is {network.slope:g}, it has to be 1 before they fuse: deep "
            "training raises it, and the best weights are of an epoch that had 1"
        )
    fused = LVUNet(**{**network.describe(), "dropout": 0.0, "deployed": True})
    fused = fused.to(next(network.parameters())).eval()
    for name, target in fused.named_modules():
        if isinstance(target, nn.Conv2d):
            weight, bias = _sources(network, name)
            with torch.no_grad():
                target.weight.copy_(weight)
                target.bias.copy_(bias)
    return fused


_FORMS = {LVUNet: _deploy_lv_unet}

Affine = tuple[torch.Tensor, torch.Tensor]  # weight and bias


def _sources(network: LVUNet, name: str) -> Affine:
    """Weight and bias that the convolution of this name has in the fused network."""
    module = network.get_submodule(name)
    if isinstance(module, nn.Sequential):  # the two convolutions that become one
        first, first_norm, _, second, second_norm = module
        return _merge(_fold(first, first_norm), _fold(second, second_norm))
    parent, _, place = name.rpartition(".")
    behind = getattr(network.get_submodule(parent), str(int(place) + 1), None) if place.isdecimal() else None
    return _fold(module, behind) if isinstance(behind, nn.BatchNorm2d) else (module.weight, module.bias)


def _fold(convolution: nn.Conv2d, norm: nn.BatchNorm2d) -> Affine:
    """A convolution that does what a batch norm does behind it. Computed in float64, as the fused network of another
    type would otherwise be further from the exact one than the network itself."""
    scale = norm.weight.double() / (norm.running_var.double() + norm.eps).sqrt()
    bias = -norm.running_mean.double() if convolution.bias is None else convolution.bias - norm.running_mean.double()
    return convolution.weight.double() * scale[:, None, None, None], norm.bias + bias * scale


def _merge(first: Affine, second: Affine) -> Affine:
    """The 1 x 1 convolution that does what two do one after the other."""
    (first_weight, first_bias), (second_weight, second_bias) = first, second
    matrix = second_weight.flatten(1)
    return (matrix @ first_weight.flatten(1))[:, :, None, None], second_bias + matrix @ first_bias
