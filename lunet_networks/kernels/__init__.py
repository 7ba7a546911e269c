"""Float32 layers on a CPU that are faster than PyTorch's for few channels: convolution with what follows it, max
pooling, transposed convolution, the depthwise forms of both, instance norm and the perceptron of a MedNeXt block.

They are used in evaluation when no gradients are needed. They compute the same as the layers, except for rounding.
"""

from __future__ import annotations

import ctypes

import torch
from torch import nn

from lunet_networks.kernels.library import library

__all__ = [
    "apply_to",
    "convolve",
    "depthwise",
    "depthwise_upsample",
    "instance_norm",
    "max_pool",
    "perceptron",
    "upsample",
]


class _Norm(ctypes.Structure):
    _fields_ = [
        *((name, ctypes.c_void_p) for name in ("weight", "bias", "mean", "variance")),
        ("eps", ctypes.c_double),
        ("before_relu", ctypes.c_int),
    ]


def apply_to(*tensors: torch.Tensor) -> bool:
    """Whether the kernels can be used for these tensors: they are float32 on a CPU, no gradients are needed, nothing is
    traced, and there is a compiler.

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
    """A convolution (kernel 3, padding 1) of the concatenated inputs, followed by a ReLU and a batch norm, by limits
    or by nothing. The concatenation itself is not made.

    Args:
        inputs: ``(B, C_i, [D,] H, W)`` each.
        weight: ``(out_channels, sum of C_i, [3,] 3, 3)``.
        bias: ``(out_channels,)``.
        norm: a batch norm in evaluation; a ReLU comes before it.
        norm_first: the ReLU comes after the norm.
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
    low, high = map(_pointer, (None, None) if limits is None else limits)
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
            _pointer(bias),
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
            _pointer(bias),
            _pointer(output, 4 * sample * output[0].numel()),
            depth,
            size[-2],
            size[-1],
            taps,
            torch.get_num_threads(),
        )
    return output


def depthwise(input: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    """A depthwise convolution, kernel 3 and padding 1, of ``(B, C, [D,] H, W)`` with a weight of ``(C,
    1, [3,] 3, 3)``."""
    input, weight = input.contiguous(), weight.contiguous()
    output = torch.empty_like(input)
    size = input.shape[2:]
    depth, height, width, taps = (*size, 3) if len(size) == 3 else (size[0], 1, size[1], 1)
    library().lunet_depthwise(
        *_channels(input, weight, bias, output), depth, height, width, taps, torch.get_num_threads()
    )
    return output


def depthwise_upsample(input: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    """A depthwise transposed convolution, kernel 3, stride 2 and padding 1, of ``(B, C, [D,] H, W)``
    with a weight of ``(C, 1, [3,] 3, 3)``: twice as many voxels along each axis, less one."""
    input, weight = input.contiguous(), weight.contiguous()
    size = input.shape[2:]
    output = input.new_empty((*input.shape[:2], *(2 * length - 1 for length in size)))
    depth, taps = (size[0], 3) if len(size) == 3 else (1, 1)
    library().lunet_depthwise_upsample(
        *_channels(input, weight, bias, output), depth, size[-2], size[-1], taps, torch.get_num_threads()
    )
    return output


def instance_norm(
    input: torch.Tensor, weight: torch.Tensor | None, bias: torch.Tensor | None, eps: float
) -> torch.Tensor:
    """Instance norm of ``(B, C, [D,] H, W)`` by the image's own mean and variance."""
    input = input.contiguous()
    output = torch.empty_like(input)
    size = ctypes.c_int64(input[0, 0].numel())
    library().lunet_instance_norm(
        _pointer(input),
        ctypes.c_int64(input.shape[0]),
        input.shape[1],
        _pointer(weight),
        _pointer(bias),
        ctypes.c_double(eps),
        _pointer(output),
        size,
        torch.get_num_threads(),
    )
    return output


def perceptron(input: torch.Tensor, first: nn.Module, second: nn.Module, residual: torch.Tensor) -> torch.Tensor:
    """Two convolutions of one voxel with a GELU between them, of ``(B, C, [D,] H, W)``, added to the residual."""
    input, residual = input.contiguous(), residual.contiguous()
    output = torch.empty_like(residual)
    layers = [each.contiguous() for conv in (first, second) for each in (conv.weight, conv.bias)]
    library().lunet_perceptron(
        _pointer(input),
        _pointer(residual),
        ctypes.c_int64(len(input)),
        first.in_channels,
        first.out_channels,
        second.out_channels,
        *map(_pointer, layers),
        _pointer(output),
        ctypes.c_int64(input[0, 0].numel()),
        torch.get_num_threads(),
    )
    return output


def _channels(input: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, output: torch.Tensor) -> tuple:
    samples, channels = input.shape[:2]
    return _pointer(input), ctypes.c_int64(samples), channels, _pointer(weight), _pointer(bias), _pointer(output)


def _pointer(tensor: torch.Tensor | None, offset: int = 0) -> ctypes.c_void_p | None:
    return None if tensor is None else ctypes.c_void_p(tensor.data_ptr() + offset)
