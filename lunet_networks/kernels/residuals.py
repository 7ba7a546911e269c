"""The blocks of PSP-Seg, each an operator: convolutions of many channels with their instance norms, leaky ReLUs and
sums. Their volumes lie in memory channels last.

The norms have neither weights nor running statistics, and take the bias of a convolution away, so none is given.
"""

from __future__ import annotations

import ctypes
import math

import torch
import torch.nn.functional as F

from lunet_networks.kernels.layers import CONV, LONGEST
from lunet_networks.kernels.operators import Operator, address, call

__all__ = ["GROUP", "downsample_unit", "redundant_module", "residual_unit"]

Tensor = torch.Tensor
GROUP = 16  # the channels of every layer are a multiple
FORMAT = {4: torch.channels_last, 5: torch.channels_last_3d}  # by the dimensions of the input


def residual_unit(
    input: Tensor,
    lower: list[Tensor],
    stem: list[Tensor],
    weight: Tensor,
    eps: float,
    slope: float,
    head: list[Tensor],
) -> Tensor:
    """``x + leaky_relu(norm(convolution(x)))``, and what stands before and behind it.

    Args:
        input: ``(B, C, [D,] H, W)``.
        lower: an image ``(B, C_lower, [D / 2,] H / 2, W / 2)``, weight and bias of a convolution of one voxel, whose
            output is added to the input by nearest neighbours; or nothing.
        stem: weight and bias of a convolution of one voxel that makes x of the input, or nothing.
        weight: ``(C, C, [3,] 3, 3)``.
        eps: of the norm.
        slope: of the leaky ReLU.
        head: weight and bias of a convolution of one voxel that follows, or nothing.

    Returns:
        ``(B, C, [D,] H, W)``, channels last; with a head ``(B, out_channels, [D,] H, W)``, contiguous.
    """
    return _RESIDUAL_UNIT(input, lower, stem, weight, eps, slope, head)


def _plain_residual(input, lower, stem, weight, eps, slope, head) -> Tensor:
    conv = CONV[weight.dim()]
    x = _with_lower(conv(input, *stem) if stem else input, lower)
    x = x + F.leaky_relu(F.instance_norm(conv(x, weight, padding=1), eps=eps), slope)
    return conv(x, *head).contiguous() if head else _channels_last(x)


def _takes_residual(input, lower, stem, weight, eps, slope, head) -> bool:
    dims = input.dim()
    return (
        _are_images(input)
        and _has_taps(weight, dims, weight.shape[0], 3)
        and weight.shape[0] == weight.shape[1]
        and (_is_affine(stem, weight.shape[0], dims) if stem else input.shape[1] == weight.shape[1])
        and (not stem or stem[0].shape[1] == input.shape[1])
        and (not head or (_is_affine(head, head[0].shape[0], dims) and head[0].shape[1] == weight.shape[0]))
        and _is_half(lower, (len(input), len(weight), *input.shape[2:]))
        and not (stem and lower)
    )


def _kernel_residual(input, lower, stem, weight, eps, slope, head) -> Tensor:
    input = input.contiguous() if stem else _channels_last(input)
    lower = [_channels_last(lower[0]), *(each.contiguous() for each in lower[1:])] if lower else []
    stem = [stem[0].flatten(1).t().contiguous(), stem[1].contiguous()] if stem else [None, None]
    head, weight = [each.contiguous() for each in head], weight.contiguous()
    channels, shape = weight.shape[0], input.shape
    output = input.new_empty((len(input), len(head[0]), *shape[2:])) if head else _empty((len(input), channels), shape)
    call(
        "lunet_residual_unit",
        "ppippppipddppilipiiii",
        input.data_ptr(),
        *_lower_arguments(lower),
        *map(address, stem),
        shape[1],
        weight.data_ptr(),
        eps,
        slope,
        *map(address, head or [None, None]),
        output.shape[1],
        len(input),
        channels,
        output.data_ptr(),
        *_as_volume(shape),
        3 if len(shape) == 5 else 1,
    )
    return output


def downsample_unit(
    input: Tensor, first: Tensor, second: Tensor, bypass: Tensor, bypass_bias: Tensor, eps: float, slope: float
) -> Tensor:
    """``leaky_relu(bypass(x) + norm(second(leaky_relu(norm(first(x))))))`` at half the resolution.

    Args:
        input: ``(B, C, [D,] H, W)``.
        first: weight of a convolution with stride 2, ``(out_channels, C, [3,] 3, 3)``.
        second: weight of a convolution, ``(out_channels, out_channels, [3,] 3, 3)``.
        bypass: weight of a convolution of one voxel with stride 2, ``(out_channels, C, [1,] 1, 1)``.
        bypass_bias: of that.
        eps: of the norms.
        slope: of the leaky ReLUs.

    Returns:
        ``(B, out_channels, [D / 2,] H / 2, W / 2)``, rounded up, channels last.
    """
    return _DOWNSAMPLE_UNIT(input, first, second, bypass, bypass_bias, eps, slope)


def _plain_downsample(input, first, second, bypass, bypass_bias, eps, slope) -> Tensor:
    conv = CONV[first.dim()]
    x = F.leaky_relu(F.instance_norm(conv(input, first, stride=2, padding=1), eps=eps), slope)
    x = F.instance_norm(conv(x, second, padding=1), eps=eps)
    return _channels_last(F.leaky_relu(conv(input, bypass, bypass_bias, stride=2) + x, slope))


def _takes_downsample(input, first, second, bypass, bypass_bias, eps, slope) -> bool:
    dims, channels = input.dim(), first.shape[0]
    return (
        _are_images(input)
        and _has_taps(first, dims, channels, 3)
        and _has_taps(second, dims, channels, 3)
        and first.shape[1] == input.shape[1]
        and second.shape[1] == channels
        and _is_affine([bypass, bypass_bias], channels, dims)
        and bypass.shape[1] == input.shape[1]
        and math.prod((length + 1) // 2 for length in input.shape[2:]) > 1
    )


def _kernel_downsample(input, first, second, bypass, bypass_bias, eps, slope) -> Tensor:
    input = _channels_last(input)
    layers = [each.contiguous() for each in (first, second, bypass, bypass_bias)]
    shape = input.shape
    output = _empty((shape[0], first.shape[0]), (0, 0, *((length + 1) // 2 for length in shape[2:])))
    call(
        "lunet_downsample_unit",
        "pliippppddpiiii",
        input.data_ptr(),
        shape[0],
        shape[1],
        first.shape[0],
        *map(address, layers),
        eps,
        slope,
        output.data_ptr(),
        *_as_volume(shape),
        3 if len(shape) == 5 else 1,
    )
    return output


def redundant_module(
    input: Tensor,
    lower: list[Tensor],
    first: list[Tensor],
    second: list[Tensor],
    scales: list[Tensor],
    eps: float,
    slope: float,
    outer_slope: float,
) -> Tensor:
    """``leaky_relu(x + sum of the branches)``, a branch being ``scale * norm(second(leaky_relu(norm(first(x)))))``.

    Args:
        input: ``(B, C, [D,] H, W)``.
        lower: an image ``(B, C_lower, [D / 2,] H / 2, W / 2)``, weight and bias of a convolution of one voxel, whose
            output is added to the input by nearest neighbours; or nothing.
        first: of each branch the weight of a convolution of one voxel, ``(hidden, C, [1,] 1, 1)``.
        second: of each branch the weight of a convolution with 1 or 3 taps along each axis, ``(C, hidden, ...)``.
        scales: of each branch, tensors without dimensions.
        eps: of the norms.
        slope: of the leaky ReLUs inside the branches.
        outer_slope: of the last one; 1 for none.

    Returns:
        ``(B, C, [D,] H, W)``, channels last.
    """
    return _REDUNDANT_MODULE(input, lower, first, second, scales, eps, slope, outer_slope)


def _plain_module(input, lower, first, second, scales, eps, slope, outer_slope) -> Tensor:
    x = total = _with_lower(input, lower)
    for before, after, scale in zip(first, second, scales, strict=True):
        conv = CONV[before.dim()]
        inside = F.leaky_relu(F.instance_norm(conv(x, before), eps=eps), slope)
        padding = [length // 2 for length in after.shape[2:]]
        total = total + scale * F.instance_norm(conv(inside, after, padding=padding), eps=eps)
    return _channels_last(F.leaky_relu(total, outer_slope))


def _takes_module(input, lower, first, second, scales, eps, slope, outer_slope) -> bool:
    if not (_are_images(input) and len(first) == len(second) == len(scales) > 0):
        return False
    dims, channels, hidden = input.dim(), input.shape[1], first[0].shape[0]
    return (
        channels % GROUP == 0
        and all(_has_taps(each, dims, hidden, 1) and each.shape[1] == channels for each in first)
        and all(
            _has_taps(each, dims, channels, 1, 3) and each.shape[1] == hidden and each.numel() > 0 for each in second
        )
        and all(each.dim() == 0 for each in scales)
        and _is_half(lower, input.shape)
    )


def _kernel_module(input, lower, first, second, scales, eps, slope, outer_slope) -> Tensor:
    input = _channels_last(input)
    lower = [_channels_last(lower[0]), *(each.contiguous() for each in lower[1:])] if lower else []
    first, second = ([each.contiguous() for each in weights] for weights in (first, second))
    shape, branches = input.shape, len(first)
    taps = [length for each in second for length in (1, *each.shape[2:])[-3:]]
    output = _empty(shape[:2], shape)
    call(
        "lunet_redundant_module",
        "ppippliiippppdddpiii",
        input.data_ptr(),
        *_lower_arguments(lower),
        shape[0],
        shape[1],
        first[0].shape[0],
        branches,
        _addresses(first),
        _addresses(second),
        (ctypes.c_int * len(taps))(*taps),
        _addresses(scales),
        eps,
        slope,
        outer_slope,
        output.data_ptr(),
        *_as_volume(shape),
    )
    return output


def _with_lower(input: Tensor, lower: list[Tensor]) -> Tensor:
    if not lower:
        return input
    image, *layer = lower
    return input + F.interpolate(CONV[image.dim()](image, *layer), scale_factor=2.0, mode="nearest")


def _lower_arguments(lower: list[Tensor]) -> tuple:
    """Address and channels of the image, addresses of the layer."""
    return (lower[0].data_ptr(), lower[0].shape[1], *map(address, lower[1:])) if lower else (None, 0, None, None)


def _channels_last(tensor: Tensor) -> Tensor:
    return tensor.contiguous(memory_format=FORMAT[tensor.dim()])


def _empty(channels: tuple[int, ...], shape: tuple[int, ...]) -> Tensor:
    """Batch and channels of the first, size of the second."""
    return torch.empty((*channels, *shape[2:]), memory_format=FORMAT[len(shape)])


def _addresses(tensors: list[Tensor]) -> ctypes.Array:
    return (ctypes.c_void_p * len(tensors))(*[each.data_ptr() for each in tensors])


def _as_volume(shape: torch.Size) -> tuple[int, ...]:
    return tuple(shape[2:]) if len(shape) == 5 else (1, *shape[2:])


def _are_images(input: Tensor) -> bool:
    """Whether it is a batch of images that have a variance."""
    return input.dim() in CONV and input.numel() > 0 and math.prod(input.shape[2:]) > 1 and max(input.shape) <= LONGEST


def _has_taps(weight: Tensor, dims: int, out_channels: int, *lengths: int) -> bool:
    """Whether it is the weight of a convolution of whole groups of channels, whose kernel has one of these lengths
    along each axis."""
    return (
        weight.dim() == dims
        and weight.shape[0] == out_channels > 0
        and weight.shape[1] > 0
        and weight.shape[0] % GROUP == weight.shape[1] % GROUP == 0
        and all(length in lengths for length in weight.shape[2:])
    )


def _is_affine(layer: list[Tensor], out_channels: int, dims: int) -> bool:
    """Whether these are weight and bias of a convolution of one voxel."""
    return (
        len(layer) == 2
        and layer[0].dim() == dims
        and layer[0].shape[0] == out_channels > 0
        and layer[0].shape[2:].numel() == 1
        and layer[1].shape == (out_channels,)
    )


def _is_half(lower: list[Tensor], shape: tuple[int, ...]) -> bool:
    """Whether these are an image of half of this size, and the layer that makes as many channels of its own."""
    if not lower:
        return True
    image, *layer = lower
    return (
        image.dim() == len(shape)
        and len(image) == shape[0]
        and image.shape[1] % GROUP == 0
        and tuple(2 * length for length in image.shape[2:]) == tuple(shape[2:])
        and _is_affine(layer, shape[1], len(shape))
        and layer[0].shape[1] == image.shape[1]
    )


def _of_residual(input, lower, stem, weight, _eps, _slope, head, out) -> int:
    of_voxel = sum(math.prod(each) for each in (weight, *stem[:1], *head[:1]))
    return out[0] * math.prod(out[2:]) * of_voxel + _of_lower(lower)


def _of_downsample(input, first, second, bypass, *others) -> int:
    out = others[-1]
    return out[0] * math.prod(out[2:]) * sum(map(math.prod, (first, second, bypass)))


def _of_module(input, lower, first, second, *_) -> int:
    return input[0] * math.prod(input[2:]) * sum(map(math.prod, (*first, *second))) + _of_lower(lower)


def _of_lower(lower) -> int:
    return lower[0][0] * math.prod(lower[0][2:]) * math.prod(lower[1]) if lower else 0


_RESIDUAL_UNIT = Operator(
    "residual_unit(Tensor input, Tensor[] lower, Tensor[] stem, Tensor weight, float eps, float slope, Tensor[] head) "
    "-> Tensor",
    plain=_plain_residual,
    takes=_takes_residual,
    kernel=_kernel_residual,
    multiplications=_of_residual,
    contiguous=False,
)
_DOWNSAMPLE_UNIT = Operator(
    "downsample_unit(Tensor input, Tensor first, Tensor second, Tensor bypass, Tensor bypass_bias, float eps, "
    "float slope) -> Tensor",
    plain=_plain_downsample,
    takes=_takes_downsample,
    kernel=_kernel_downsample,
    multiplications=_of_downsample,
    contiguous=False,
)
_REDUNDANT_MODULE = Operator(
    "redundant_module(Tensor input, Tensor[] lower, Tensor[] first, Tensor[] second, Tensor[] scales, float eps, "
    "float slope, float outer_slope) -> Tensor",
    plain=_plain_module,
    takes=_takes_module,
    kernel=_kernel_module,
    multiplications=_of_module,
    contiguous=False,
)
