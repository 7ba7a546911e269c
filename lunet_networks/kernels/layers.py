"""Convolution with what follows it, transposed convolution, the depthwise forms of both, and max pooling."""

from __future__ import annotations

import ctypes
import math

import torch
import torch.nn.functional as F

from lunet_networks.kernels.operators import Operator, address, call

__all__ = ["convolve", "depthwise", "depthwise_upsample", "max_pool", "upsample"]

Tensor = torch.Tensor
CONV = {4: F.conv2d, 5: F.conv3d}  # by the dimensions of the input
TRANSPOSED = {4: F.conv_transpose2d, 5: F.conv_transpose3d}
POOL = {4: F.max_pool2d, 5: F.max_pool3d}
_NO_NORM, _NO_LIMITS = [None] * 4, [None] * 2
LONGEST = 2**31 - 1  # of what is an int in the kernels


def convolve(
    inputs: list[Tensor],
    weight: Tensor,
    bias: Tensor | None,
    norm: list[Tensor] | tuple[Tensor, ...] = (),
    eps: float = 0.0,
    norm_first: bool = False,
    limits: list[Tensor] | tuple[Tensor, ...] = (),
) -> Tensor:
    """A convolution (kernel 3, padding 1) of the concatenated inputs, followed by a ReLU and a batch norm, by limits
    or by nothing. The concatenation itself is not made.

    Args:
        inputs: ``(B, C_i, [D,] H, W)`` each.
        weight: ``(out_channels, sum of C_i, [3,] 3, 3)``.
        bias: ``(out_channels,)``.
        norm: weight, bias, mean and variance of a batch norm in evaluation; a ReLU comes before it.
        eps: of the norm.
        norm_first: the ReLU comes after the norm.
        limits: least and greatest value of each channel, instead of the norm.

    Returns:
        ``(B, out_channels, [D,] H, W)``, contiguous.
    """
    return _CONVOLVE(list(inputs), weight, bias, list(norm), eps, norm_first, list(limits))


def _plain_convolution(inputs, weight, bias, norm, eps, norm_first, limits) -> Tensor:
    x = torch.cat(inputs, dim=1) if len(inputs) > 1 else inputs[0]
    x = CONV[weight.dim()](x, weight, bias, padding=1)
    if norm:
        scale, shift, mean, variance = norm
        x = x if norm_first else x.relu()
        x = F.batch_norm(x, mean, variance, scale, shift, eps=eps)
        x = x.relu() if norm_first else x
    if limits:
        low, high = (each.view(-1, *[1] * (weight.dim() - 2)) for each in limits)
        x = torch.minimum(torch.maximum(x, low), high)
    return x


def _takes_convolution(inputs, weight, bias, norm, eps, norm_first, limits) -> bool:
    if not inputs or not _has_form(weight, inputs[0], 3):
        return False
    first, out = inputs[0].shape, weight.shape[:1]
    for each in inputs[1:]:
        if each.shape[:1] != first[:1] or each.shape[2:] != first[2:]:
            return False
    for each in (bias, *norm, *limits):
        if each is not None and each.shape != out:
            return False
    channels = sum([each.shape[1] for each in inputs])
    return channels == weight.shape[1] and (len(norm), len(limits)) in ((0, 0), (4, 0), (0, 2))


def _kernel_convolution(inputs, weight, bias, norm, eps, norm_first, limits) -> Tensor:
    inputs = [each.contiguous() for each in inputs]
    weight, *others = [each.contiguous() for each in (weight, *norm, *limits)]
    bias = bias if bias is None else bias.contiguous()
    pointers = [each.data_ptr() for each in others]
    batch, _, *size = inputs[0].shape
    count, out_channels = len(inputs), weight.shape[0]
    output = inputs[0].new_empty((batch, out_channels, *size))
    call(
        "lunet_conv",
        "ppilippppppdipppiiii",
        (ctypes.c_void_p * count)(*[each.data_ptr() for each in inputs]),
        (ctypes.c_int * count)(*[each.shape[1] for each in inputs]),
        count,
        batch,
        out_channels,
        weight.data_ptr(),
        address(bias),
        *(pointers if norm else _NO_NORM),
        eps,
        norm_first,
        *(pointers if limits else _NO_LIMITS),
        output.data_ptr(),
        *_as_volume(size, 3),
    )
    return output


def max_pool(input: Tensor) -> Tensor:
    """Max pooling, kernel 2 and stride 2, of ``(B, C, [D,] H, W)``."""
    return _MAX_POOL(input)


def _takes_pooling(input: Tensor) -> bool:
    return input.dim() in POOL and input.numel() > 0 and min(input.shape[2:]) >= 2 and max(input.shape) <= LONGEST


def _kernel_pooling(input: Tensor) -> Tensor:
    input = input.contiguous()
    batch, channels, *size = input.shape
    output = input.new_empty((batch, channels, *(length // 2 for length in size)))
    call("lunet_pool", "plpiiii", input.data_ptr(), batch * channels, output.data_ptr(), *_as_stack(size, 2))
    return output


def upsample(input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Transposed convolution, kernel 2 and stride 2, of ``(B, C, [D,] H, W)`` with a weight of ``(C, out_channels,
    [2,] 2, 2)``."""
    return _UPSAMPLE(input, weight, bias)


def _takes_upsampling(input: Tensor, weight: Tensor, bias: Tensor | None) -> bool:
    return (
        _has_form(weight, input, 2)
        and weight.shape[0] == input.shape[1]
        and (bias is None or bias.shape == weight.shape[1:2])
    )


def _kernel_upsampling(input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    input, weight = input.contiguous(), weight.contiguous()
    bias = bias if bias is None else bias.contiguous()
    batch, channels, *size = input.shape
    output = input.new_empty((batch, weight.shape[1], *(2 * length for length in size)))
    call(
        "lunet_upsample",
        "pliipppiiii",
        input.data_ptr(),
        batch,
        channels,
        weight.shape[1],
        weight.data_ptr(),
        address(bias),
        output.data_ptr(),
        *_as_stack(size, 2),
    )
    return output


def depthwise(input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """A depthwise convolution, kernel 3 and padding 1, of ``(B, C, [D,] H, W)`` with a weight of ``(C,
    1, [3,] 3, 3)``."""
    return _DEPTHWISE(input, weight, bias)


def depthwise_upsample(input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """A depthwise transposed convolution, kernel 3, stride 2 and padding 1, of ``(B, C, [D,] H, W)``
    with a weight of ``(C, 1, [3,] 3, 3)``: twice as many voxels along each axis, less one."""
    return _DEPTHWISE_UPSAMPLE(input, weight, bias)


def _takes_depthwise(input: Tensor, weight: Tensor, bias: Tensor | None) -> bool:
    channels = weight.shape[0]
    return (
        _has_form(weight, input, 3)
        and weight.shape[1] == 1
        and input.shape[1] == channels
        and (bias is None or bias.shape == (channels,))
    )


def _kernel_depthwise(input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    output = torch.empty(input.shape, dtype=input.dtype)
    _call_depthwise("lunet_depthwise", input, weight, bias, output, _as_volume(input.shape[2:], 3))
    return output


def _kernel_depthwise_upsampling(input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    batch, channels, *size = input.shape
    output = input.new_empty((batch, channels, *(2 * length - 1 for length in size)))
    _call_depthwise("lunet_depthwise_upsample", input, weight, bias, output, _as_stack(size, 3))
    return output


def _call_depthwise(name: str, input: Tensor, weight: Tensor, bias: Tensor | None, output: Tensor, size: tuple) -> None:
    input, weight = input.contiguous(), weight.contiguous()
    bias = bias if bias is None else bias.contiguous()
    batch, channels = input.shape[:2]
    pointers = weight.data_ptr(), address(bias), output.data_ptr()
    call(name, "plipppiiii", input.data_ptr(), batch, channels, *pointers, *size)


def _has_form(weight: Tensor, input: Tensor, kernel: int) -> bool:
    """Whether a weight has this kernel along all axes, and the input is a batch of images of its dimensions that has
    values."""
    return (
        input.dim() == weight.dim()
        and weight.dim() in CONV
        and weight.shape[2:] in ((kernel,) * 2, (kernel,) * 3)
        and input.numel() > 0
        and weight.numel() > 0
        and max(input.shape) <= LONGEST
    )


def _as_volume(size: torch.Size | list[int], taps: int) -> tuple[int, ...]:
    """Depth, height, width and the kernel's taps along the height. A picture's rows are planes of one row."""
    return (*size, taps) if len(size) == 3 else (size[0], 1, size[1], 1)


def _as_stack(size: torch.Size | list[int], taps: int) -> tuple[int, ...]:
    """Depth, height, width and the kernel's taps along the depth. A picture is one plane."""
    return (*size, taps) if len(size) == 3 else (1, *size, 1)


def _plain_depthwise(input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return CONV[weight.dim()](input, weight, bias, padding=1, groups=weight.shape[0])


def _plain_depthwise_upsampling(input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return TRANSPOSED[weight.dim()](input, weight, bias, stride=2, padding=1, groups=weight.shape[0])


def _plain_upsampling(input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return TRANSPOSED[weight.dim()](input, weight, bias, stride=2)


def _plain_pooling(input: Tensor) -> Tensor:
    return POOL[input.dim()](input, 2)


def _of_output(_input: object, weight: torch.Size, *others: object) -> int:
    """Each weight is used once a voxel of the output."""
    out = others[-1]
    return out[0] * math.prod(out[2:]) * math.prod(weight)


def _of_input(input: torch.Size, weight: torch.Size, *_: object) -> int:
    """Each weight is used once a voxel of the input."""
    return input[0] * math.prod(input[2:]) * math.prod(weight)


_CONVOLVE = Operator(
    "convolve(Tensor[] inputs, Tensor weight, Tensor? bias, Tensor[] norm, float eps, bool norm_first, "
    "Tensor[] limits) -> Tensor",
    plain=_plain_convolution,
    takes=_takes_convolution,
    kernel=_kernel_convolution,
    multiplications=_of_output,
)
_MAX_POOL = Operator(
    "max_pool(Tensor input) -> Tensor", plain=_plain_pooling, takes=_takes_pooling, kernel=_kernel_pooling
)
_UPSAMPLE = Operator(
    "upsample(Tensor input, Tensor weight, Tensor? bias) -> Tensor",
    plain=_plain_upsampling,
    takes=_takes_upsampling,
    kernel=_kernel_upsampling,
    multiplications=_of_input,
)
_DEPTHWISE = Operator(
    "depthwise(Tensor input, Tensor weight, Tensor? bias) -> Tensor",
    plain=_plain_depthwise,
    takes=_takes_depthwise,
    kernel=_kernel_depthwise,
    multiplications=_of_output,
)
_DEPTHWISE_UPSAMPLE = Operator(
    "depthwise_upsample(Tensor input, Tensor weight, Tensor? bias) -> Tensor",
    plain=_plain_depthwise_upsampling,
    takes=_takes_depthwise,
    kernel=_kernel_depthwise_upsampling,
    multiplications=_of_input,
)
