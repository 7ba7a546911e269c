"""How the layers of a U-Net train by :py:mod:`lunet_networks.kernels.training` on a CPU.

A layer takes its kernel where this computes what the layer would, and is faster. Any other layer runs as it is: one
with hooks, in evaluation, of another type or precision, or wide at low resolution. So a network may mix both. What
layers hand on is a :class:`~lunet_networks.kernels.training.Scaled`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from monai.networks.blocks import ADN
from torch import nn
from torch.nn.modules import module as torch_module

from lunet_networks.kernels.library import library
from lunet_networks.kernels.operators import in_plain_eager_mode
from lunet_networks.kernels.training import Scaled, train_head, train_pool, train_unit, train_upsample
from lunet_networks.nets.fast_layers import is_standard

__all__ = ["run_block", "run_head", "run_pool", "run_unit", "run_upsample", "trains_on_kernels"]

# Channels up to which a kernel is faster than PyTorch's layers, forward and backward together, as measured. A network
# that is wider at full resolution, where most of the work is, leaves all its layers to PyTorch.
WIDEST_UNIT, WIDEST_DOUBLING, WIDEST_HEAD = 12, 16, 32
ORDERS = (["A", "N"], ["A", "N", "D"])  # of the layers after a convolution that a kernel knows
NORMS, DROPOUTS = (nn.BatchNorm2d, nn.BatchNorm3d), (nn.Dropout2d, nn.Dropout3d)
GLOBAL_HOOKS = (
    "_global_forward_hooks",
    "_global_forward_pre_hooks",
    "_global_backward_hooks",
    "_global_backward_pre_hooks",
)


def trains_on_kernels(network: nn.Module, x: torch.Tensor) -> bool:
    """Whether the layers of a network may take kernels in this forward pass: it trains in float32 on a CPU, nothing is
    traced or transformed, and there is a compiler."""
    return (
        network.training
        and network.channels[0] <= WIDEST_UNIT
        and type(x) is torch.Tensor
        and in_plain_eager_mode(x)
        and not any(getattr(torch_module, name) for name in GLOBAL_HOOKS)
        and library() is not None
    )


def run_block(block: nn.Module, inputs: Sequence[Scaled]) -> Scaled:
    """A :class:`~lunet_networks.nets.layers.Block` of the concatenated inputs."""
    if _has_hooks(block):
        return Scaled(block([each.plain() for each in inputs]))
    for unit in block:
        inputs = [run_unit(unit, inputs)]
    return inputs[0]


def run_unit(unit: nn.Module, inputs: Sequence[Scaled]) -> Scaled:
    """A :class:`~lunet_networks.nets.layers.ConvUnit` of the concatenated inputs."""
    if not _takes_unit(unit, inputs[0].values):
        return Scaled(unit([each.plain() for each in inputs]))
    conv, norm, values = unit.conv, unit.adn.N, inputs[0].values
    mask = _draw_mask(getattr(unit.adn, "D", None), len(values), conv.out_channels)
    output, mean, variance = train_unit(inputs, conv.weight, conv.bias, norm.weight, norm.bias, norm.eps, mask)
    with torch.no_grad():
        count = len(values) * values[0, 0].numel()
        norm.num_batches_tracked.add_(1)
        momentum = 1 / float(norm.num_batches_tracked) if norm.momentum is None else norm.momentum
        norm.running_mean.mul_(1 - momentum).add_(mean, alpha=momentum)
        norm.running_var.mul_(1 - momentum).add_(variance, alpha=momentum * count / (count - 1))
    return output


def run_pool(pool: nn.Module, input: Scaled) -> Scaled:
    """Max pooling that halves the resolution."""
    values = input.values
    takes = is_standard(pool, (nn.MaxPool2d, nn.MaxPool3d)) and _is_unobserved(pool) and min(values.shape[2:]) > 1
    if not takes or not _halves(pool) or values.dim() not in (4, 5):
        return Scaled(pool(input.plain()))
    return train_pool(input)


def run_upsample(upsample: nn.Module, input: Scaled) -> Scaled:
    """Transposed convolution that doubles the resolution."""
    standard = is_standard(upsample, (nn.ConvTranspose2d, nn.ConvTranspose3d)) and _takes_layer(upsample, 2, 2, 0)
    if standard and upsample.in_channels <= WIDEST_DOUBLING and set(upsample.output_padding) == {0}:
        return Scaled(train_upsample(input, upsample.weight, upsample.bias))
    return Scaled(upsample(input.plain()))


def run_head(head: nn.Module, input: Scaled) -> torch.Tensor:
    """Convolution of one voxel, which gives the logits."""
    if is_standard(head, (nn.Conv2d, nn.Conv3d)) and _takes_layer(head, 1, 1, 0) and head.in_channels <= WIDEST_HEAD:
        return train_head(input, head.weight, head.bias)
    return head(input.plain())


def _takes_unit(unit: nn.Module, values: torch.Tensor) -> bool:
    if _has_hooks(unit) or not hasattr(unit, "adn") or type(unit.adn) is not ADN:
        return False
    conv, layers = unit.conv, unit.adn._modules
    return (
        list(layers) in ORDERS
        and is_standard(conv, (nn.Conv2d, nn.Conv3d))
        and _takes_layer(conv, 3, 1, 1)
        and values.dim() == conv.weight.dim()
        and type(layers["A"]) is nn.ReLU
        and _takes_norm(layers["N"])
        and ("D" not in layers or (type(layers["D"]) in DROPOUTS and layers["D"].p < 1))
        and all(map(_is_unobserved, (unit.adn, *layers.values())))
        and len(values) * values[0, 0].numel() > 1  # else batch norm says what is wrong
        and min(conv.in_channels, conv.out_channels) <= WIDEST_UNIT
    )


def _takes_norm(norm: nn.Module) -> bool:
    return type(norm) in NORMS and norm.training and norm.affine and norm.track_running_stats and _is_plain(norm.weight)


def _takes_layer(conv: nn.Module, kernel: int, stride: int, padding: int) -> bool:
    return (
        _is_unobserved(conv)
        and _are(conv.kernel_size, kernel)
        and _are(conv.stride, stride)
        and _are(conv.padding, padding)
        and _are(conv.dilation, 1)
        and conv.groups == 1
        and conv.padding_mode == "zeros"
        and _is_plain(conv.weight)
    )


def _are(sizes: Sequence[int] | str, size: int) -> bool:
    return sizes in ((size, size), (size, size, size))


def _halves(pool: nn.Module) -> bool:
    return (
        (pool.kernel_size, pool.padding, pool.dilation) == (2, 0, 1)
        and pool.stride in (2, None)
        and not (pool.return_indices or pool.ceil_mode)
    )


def _has_hooks(module: nn.Module) -> bool:
    inside = vars(module)
    return (
        "forward" in inside  # written out, because it is asked for every layer in every step
        or inside["_forward_hooks"]
        or inside["_forward_pre_hooks"]
        or inside["_backward_hooks"]
        or inside["_backward_pre_hooks"]
    )


def _is_unobserved(module: nn.Module) -> bool:
    return not _has_hooks(module)


def _is_plain(tensor: torch.Tensor) -> bool:
    return tensor.is_cpu and tensor.dtype is torch.float32 and tensor.layout is torch.strided


def _draw_mask(dropout: nn.Module | None, samples: int, channels: int) -> torch.Tensor | None:
    """The factor of each channel of each sample, by the same random numbers as the layer would draw."""
    if dropout is None or not dropout.training or dropout.p == 0:
        return None
    mask = torch.empty(samples, channels, dtype=torch.float32, device="cpu")
    return mask.bernoulli_(1 - dropout.p).div_(1 - dropout.p)
