"""Float32 layers on a CPU that are faster than PyTorch's for few channels: convolution with what follows it, max
pooling and transposed convolution.

They serve networks in evaluation when nothing asks for gradients, and compute what the layers compute but for rounding.
"""

from __future__ import annotations

import ctypes

import torch
from torch import nn

from lunet_networks.kernels.library import library

__all__ = ["apply_to", "convolve", "max_pool", "upsample"]


class _Norm(ctypes.Structure):
    _fields_ = [
        *((name, ctypes.c_void_p) for name in ("weight", "bias", "mean", "variance")),
        ("eps", ctypes.c_double),
        ("before_relu", ctypes.c_int),
    ]


def apply_to(*tensors: torch.Tensor) -> bool:
    """Whether the kernels can compute with these tensors, here and now: float32 on a CPU, nothing asks for gradients
    or traces what is computed, and there is a compiler.

    Example:
        >>> apply_to(torch.zeros(1, 1, 8, 8, 8, dtype=torch.float64))
        False
    """
    return (
        all(tensor.device.type == "cpu" and tensor.dtype == torch.float32 for tensor in tensors)
        and not (torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors))
        and not torch.is_autocast_enabled("cpu")
        and not torch.jit.is_tracing()
        and not torch.compiler.is_compiling()
        and library() is not None
    )


def convolve(
    inputs: list[torch.Tensor],
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    norm: nn.Module | None = None,
    norm_first: bool = False,
    limits: tuple[torch.Tensor, torch.Tensor] | None = None,
) -> torch.Tensor:
    """A convolution, kernel 3 and padding 1, of the concatenation of its inputs, which is not made, and what follows:
    a ReLU and a batch norm, or limits, or nothing.

    Args:
        inputs: ``(B, C_i, [D,] H, W)`` each.
        weight: ``(out_channels, sum of C_i, [3,] 3, 3)``.
        bias: ``(out_channels,)``.
        norm: a batch norm in evaluation; a ReLU stands before it.
        norm_first: the ReLU stands behind the norm.
        limits: least and greatest value of each channel, instead of the norm.

    Returns:
        ``(B, out_channels, [D,] H, W)``, contiguous.
    """
    inputs = [each.contiguous() for each in inputs]
    weight = weight.contiguous()
    batch, *size = inputs[0].shape[0], *inputs[0].shape[2:]
    depth, height, width = size if len(size) == 3 else (size[0], 1, size[1])
    output = inputs[0].new_empty((batch, len(weight), *size))
    statistics = None
    if norm is not None:
        tensors = (norm.weight, norm.bias, norm.running_mean, norm.running_var)
        statistics = ctypes.byref(_Norm(*(tensor.data_ptr() for tensor in tensors), norm.eps, norm_first))
    low, high = (None, None) if limits is None else (_pointer(limit) for limit in limits)
    bytes_of_channel = 4 * depth * height * width
    for sample in range(batch):
        channels = [
            each.data_ptr() + (sample * each.shape[1] + channel) * bytes_of_channel
            for each in inputs
            for channel in range(each.shape[1])
        ]
        library().lunet_conv(
            (ctypes.c_void_p * len(channels))(*channels),
            len(channels),
            len(weight),
            _pointer(weight),
            None if bias is None else _pointer(bias),
            statistics,
            low,
            high,
            _pointer(output, sample * len(weight) * bytes_of_channel),
            depth,
            height,
            width,
            3 if len(size) == 3 else 1,
            torch.get_num_threads(),
        )
    return output


def max_pool(input: torch.Tensor) -> torch.Tensor:
    """Max pooling, kernel 2 and stride 2, of ``(B, C, [D,] H, W)``."""
    input = input.contiguous()
    size = input.shape[2:]
    output = input.new_empty((*input.shape[:2], *(length // 2 for length in size)))
    depth, taps = (size[0], 2) if len(size) == 3 else (1, 1)
    channels = ctypes.c_int64(input.shape[0] * input.shape[1])
    library().lunet_pool(
        _pointer(input), channels, _pointer(output), depth, size[-2], size[-1], taps, torch.get_num_threads()
    )
    return output


def upsample(input: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    """Transposed convolution, kernel 2 and stride 2, of ``(B, C, [D,] H, W)`` with a weight of ``(C, out_channels,
    [2,] 2, 2)``."""
    input, weight = input.contiguous(), weight.contiguous()
    size, channels = input.shape[2:], weight.shape[1]
    output = input.new_empty((len(input), channels, *(2 * length for length in size)))
    depth, taps = (size[0], 2) if len(size) == 3 else (1, 1)
    for sample in range(len(input)):
        library().lunet_upsample(
            _pointer(input, 4 * sample * input[0].numel()),
            input.shape[1],
            channels,
            _pointer(weight),
            None if bias is None else _pointer(bias),
            _pointer(output, 4 * sample * output[0].numel()),
            depth,
            size[-2],
            size[-1],
            taps,
            torch.get_num_threads(),
        )
    return output


def _pointer(tensor: torch.Tensor, offset: int = 0) -> ctypes.c_void_p:
    return ctypes.c_void_p(tensor.data_ptr() + offset)
