"""The form of a trained network that only has to predict: the same function of fewer layers."""

from __future__ import annotations

import copy
import math

import torch
from torch import nn

from lunet_networks.nets import LMSCUNet, LVUNet, MedNeXt, PSPSeg, UNet, UNetPlusPlus
from lunet_networks.nets.layers import ConvUnit, FusedUnit, NormFirst
from lunet_networks.nets.pspseg import without_supervision
from lunet_networks.pruning import describe_network

__all__ = ["deploy"]


def deploy(network: nn.Module) -> nn.Module:
    """The form of a trained network that only predicts.

    Batch norms become a part of the convolutions beside them: behind a ReLU (U-Net, UNet++) as limits between which
    its channels are clamped, in front of it (LMSC-UNet, LV-UNet) as weights. Of an LV-UNet the two 1 x 1 convolutions
    of every block become one besides. The instance norms of PSP-Seg and MedNeXt depend on the image and stay: a
    PSP-Seg loses the heads of its deep supervision, a MedNeXt is copied.

    Args:
        network: of any class of this package, in evaluation; unchanged. An LV-UNet has a slope of 1.

    Returns:
        A network of the same class in evaluation, on the same device and of the same type, with the same output but
        for rounding; its parameters ask for no gradients. The arguments of its class, with ``deployed=True``, and its
        state dict are all that it takes to make it again. A network that is deployed already comes back as a copy.

    Raises:
        TypeError: if it is none of these classes.
        ValueError: if the network is in training, or its slope is below 1: the leaky ReLU between the convolutions
            would be lost, and the output be another.

    Example:
        >>> network = UNet(channels=(4, 4, 4, 4, 4)).eval()  # lunet_small_4f
        >>> deployed = deploy(network)
        >>> image = torch.rand(1, 1, 32, 32, 32)
        >>> torch.allclose(deployed(image), network(image), atol=1e-5)
        True
        >>> again = UNet(channels=(4, 4, 4, 4, 4), deployed=True)
        >>> again.load_state_dict(deployed.state_dict())
        <All keys matched successfully>
    """
    if type(network) not in _FORMS:
        known = ", ".join(network_class.__name__ for network_class in _FORMS)
        raise TypeError(f"one of {known} can be deployed, not a {type(network).__name__}")
    if network.training:
        raise ValueError("this network is in training, whose batch norms still move: deploy(network.eval())")
    form = copy.deepcopy(network) if getattr(network, "deployed", False) else _FORMS[type(network)](network)
    return form.eval().requires_grad_(False)


def _as_deployed(network: nn.Module) -> nn.Module:
    """A new network of the deployed form, not yet with the weights of the trained one."""
    form = type(network)(**{**describe_network(network), "dropout": 0.0, "deployed": True})
    return form.to(next(network.parameters()))


def _deploy_units(network: UNet | UNetPlusPlus | LMSCUNet) -> nn.Module:
    fused = _as_deployed(network)
    for name, module in fused.named_modules():
        source = network.get_submodule(name)
        if isinstance(module, FusedUnit):
            _fuse(source, module)
        elif isinstance(module, nn.modules.conv._ConvNd) and not name.endswith(".conv"):
            module.load_state_dict(source.state_dict())
    return fused


@torch.no_grad()
def _fuse(unit: ConvUnit, fused: FusedUnit) -> None:
    norm = unit.adn.N
    weight, bias = _fold(unit.conv, norm)
    fused.conv.weight.copy_(weight)
    fused.conv.bias.copy_(bias)
    if fused.limited and isinstance(unit.adn, NormFirst):
        fused.low.zero_()
        fused.high.fill_(math.inf)
    elif fused.limited:
        scale, shift = _scale_and_shift(norm)  # of a ReLU's output, which is at least 0
        fused.low.copy_(torch.where(scale < 0, -math.inf, shift))
        fused.high.copy_(torch.where(scale > 0, math.inf, shift))


def _deploy_pspseg(network: PSPSeg) -> PSPSeg:
    description = {**describe_network(network), "deep_supervision": False, "dropout": 0.0}
    form = PSPSeg(**description).to(next(network.parameters()))
    form.load_state_dict(without_supervision(form, network.state_dict()))
    return form


def _deploy_lv_unet(network: LVUNet) -> LVUNet:
    if network.slope < 1:
        raise ValueError(
            f"the slope in the blocks of this LV-UNet is {network.slope:g}, it has to be 1 before they fuse: deep "
            "training raises it, and the best weights are of an epoch that had 1"
        )
    fused = _as_deployed(network)
    for name, target in fused.named_modules():
        if isinstance(target, nn.Conv2d):
            weight, bias = _sources(network, name)
            with torch.no_grad():
                target.weight.copy_(weight)
                target.bias.copy_(bias)
    return fused


_FORMS = {
    UNet: _deploy_units,
    UNetPlusPlus: _deploy_units,
    LMSCUNet: _deploy_units,
    LVUNet: _deploy_lv_unet,
    MedNeXt: copy.deepcopy,
    PSPSeg: _deploy_pspseg,
}

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


def _fold(convolution: nn.Module, norm: nn.Module) -> Affine:
    """A convolution that does what a batch norm does behind it. Computed in float64, as the fused network of another
    type would otherwise be further from the exact one than the network itself."""
    scale, shift = _scale_and_shift(norm)
    bias = 0 if convolution.bias is None else convolution.bias.double()
    return convolution.weight.double() * scale.view(-1, *[1] * (convolution.weight.dim() - 1)), bias * scale + shift


def _scale_and_shift(norm: nn.Module) -> Affine:
    """What a batch norm multiplies by and then adds."""
    scale = norm.weight.double() / (norm.running_var.double() + norm.eps).sqrt()
    return scale, norm.bias.double() - norm.running_mean.double() * scale


def _merge(first: Affine, second: Affine) -> Affine:
    """The 1 x 1 convolution that does what two do one after the other."""
    (first_weight, first_bias), (second_weight, second_bias) = first, second
    matrix = second_weight.flatten(1)
    return (matrix @ first_weight.flatten(1))[:, :, None, None], second_bias + matrix @ first_bias
