"""Calls of the compiled functions that train: their arguments are checked, and memory for their results is made."""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from typing import Any

import torch

from lunet_networks.kernels.layers import LONGEST
from lunet_networks.kernels.operators import call

__all__ = [
    "NONE",
    "Arrays",
    "gradients_of",
    "head",
    "head_backward",
    "pool",
    "pool_backward",
    "unit",
    "unit_backward",
    "upsample",
    "upsample_backward",
]

Tensor = torch.Tensor
NONE = torch.empty(0, dtype=torch.float64)  # stands for no scale in a list of tensors
Arrays = tuple[list[Tensor], list[Tensor], list[Tensor]]  # values, scales, shifts


def _describe(arrays: Arrays, gradients: list[Tensor | None] | None = None) -> array:
    """The inputs as the kernels read them: LunetInput of training.hpp, seven numbers of 64 bits."""
    count, numbers = len(arrays[0]), array("q")
    for k, (values, scale, shift) in enumerate(zip(*arrays, strict=True)):
        given = (None, None, None) if gradients is None else gradients[k::count]
        numbers.extend([_address(each) or 0 for each in (values, scale, shift, *given)])
        numbers.append(values.shape[1])
    return numbers


def _address(tensor: Tensor | None) -> int | None:
    return None if tensor is None or tensor.numel() == 0 else tensor.data_ptr()


def _contiguous(arrays: Arrays) -> Arrays:
    values, scales, shifts = arrays
    return (
        [each.contiguous() for each in values],
        [each.contiguous() for each in scales],
        [each.contiguous() for each in shifts],
    )


def _plain(tensor: Tensor | None) -> Tensor | None:
    return None if tensor is None else tensor.contiguous()


def gradients_of(arrays: Arrays, wanted: bool | Sequence[bool]) -> list[Tensor | None]:
    """Memory for the gradients of values, scales and shifts; None for what is not wanted or not there."""
    return [
        torch.empty_like(each) if needed and each.numel() else None
        for tensors in arrays
        for each, needed in zip(tensors, wanted, strict=True)
    ]


def _size(values: Tensor) -> tuple[int, int, int, int, int]:
    """Samples, depth, height, width, and how many voxels a kernel of 2 spans in depth."""
    samples, _, *size = values.shape
    return (samples, *size, 2) if len(size) == 3 else (samples, 1, *size, 1)


def _check(arrays: Arrays, weight: Tensor, channels: int, *others: tuple[Tensor | None, tuple[int, ...]]) -> None:
    """Raise before a kernel would read what is not there."""
    values, scales, shifts = arrays
    first, found = values[0], 0
    samples, size = first.shape[0], first.shape[2:]
    for each in (*values, weight):
        _check_type(each)
    if first.dim() not in (4, 5) or weight.dim() != first.dim() or first.numel() == 0:
        raise ValueError(f"input {tuple(first.shape)} does not fit the weight {tuple(weight.shape)}")
    for each, *pair in zip(values, scales, shifts, strict=True):
        shape = each.shape
        found += shape[1] if shape[0] == samples and shape[2:] == size else channels + 1
        for part in pair:
            if part.dtype != torch.float64 or (part.numel() != 0 and part.shape != shape[:2]):
                raise ValueError(f"scale and shift must be float64 of {tuple(shape[:2])}")
    if found != channels:
        raise ValueError(f"inputs {[tuple(each.shape) for each in values]} do not fit {channels} input channels")
    for tensor, shape in others:
        if tensor is not None:
            _check_type(tensor)
            if tensor.shape != shape:
                raise ValueError(f"a parameter has shape {tuple(tensor.shape)} instead of {shape}")
    if max(math.prod(size) * 8, weight.numel(), samples * max(weight.shape[:2])) > LONGEST:
        raise ValueError(f"input {tuple(first.shape)} is too large for a kernel")


def _check_type(tensor: Tensor) -> None:
    if tensor.dtype != torch.float32 or not tensor.is_cpu:
        raise TypeError("a kernel for training takes float32 tensors on a CPU")


def _call(name: str, types: str, *arguments: Any) -> None:
    plain = []
    for each in arguments:
        if isinstance(each, Tensor):
            plain.append(_address(each))
        else:
            plain.append(each.buffer_info()[0] if type(each) is array else each)
    call(name, types, *plain)


def unit(values, scales, shifts, weight, bias, norm_weight, norm_bias, mask, eps) -> tuple[Tensor, ...]:
    arrays, out = _contiguous((values, scales, shifts)), len(weight)
    per_channel = [(each, (out,)) for each in (bias, norm_weight, norm_bias)]
    _check(arrays, weight, weight.shape[1], *per_channel, (mask, (len(values[0]), out)))
    samples, depth, height, width, taps = _size(values[0])
    weight, bias, mask = weight.contiguous(), _plain(bias), _plain(mask)
    r = values[0].new_empty((samples, out, *values[0].shape[2:]))
    scale, shift = (torch.empty((samples, out), dtype=torch.float64) for _ in range(2))
    mean, variance = (torch.empty(out, dtype=torch.float64) for _ in range(2))
    shape = (samples, depth, height, width, 2 * taps - 1, out)
    norm = (norm_weight.contiguous(), norm_bias.contiguous(), eps)
    outputs = (r, scale, shift, mean, variance)
    _call(
        "lunet_unit_forward", "piiiiiiippppdpppppp", _describe(arrays), len(values), *shape, weight, bias, *norm,
        mask, *outputs,
    )  # fmt: skip
    return outputs


def unit_backward(
    values, scales, shifts, weight, norm_weight, mask, r, mean, variance, d_r, d_scale, d_shift, eps, wanted
) -> list[Tensor]:
    arrays, out = _contiguous((values, scales, shifts)), len(weight)
    samples, depth, height, width, taps = _size(values[0])
    _check(arrays, weight, weight.shape[1], (r, tuple(d_r.shape)), (mask, (samples, out)))
    weight, mask = weight.contiguous(), _plain(mask)
    given = [each.contiguous() for each in (r, mean, variance, d_r, d_scale, d_shift)]
    inputs = gradients_of(arrays, wanted)
    parameters = [torch.empty_like(weight), *(weight.new_empty(out) for _ in range(3))]
    _call(
        "lunet_unit_backward", "piiiiiiippdppppppppppp", _describe(arrays, inputs), len(values), samples, depth,
        height, width, 2 * taps - 1, out, weight, norm_weight.contiguous(), eps, mask, *given, *parameters,
    )  # fmt: skip
    return [*parameters, *(NONE if each is None else each for each in inputs)]


def pool(values: Tensor, scale: Tensor) -> Tensor:
    values, scale = values.contiguous(), scale.contiguous()
    samples, depth, height, width, taps = _size(values)
    out = values.new_empty((*values.shape[:2], *(length // 2 for length in values.shape[2:])))
    channels = samples * values.shape[1]
    _check(([values], [scale], [scale]), values, values.shape[1])
    _call("lunet_pool_forward", "ppliiiip", values, scale, channels, depth, height, width, taps, out)
    return out


def pool_backward(values: Tensor, out: Tensor, d_out: Tensor) -> Tensor:
    values, out, d_out = (each.contiguous() for each in (values, out, d_out))
    samples, depth, height, width, taps = _size(values)
    odd = any(length % 2 for length in values.shape[2:])
    d_values = torch.zeros_like(values) if odd else torch.empty_like(values)
    channels = samples * values.shape[1]
    _call("lunet_pool_backward", "pppliiiip", values, out, d_out, channels, depth, height, width, taps, d_values)
    return d_values


def upsample(values, scales, shifts, weight, bias) -> Tensor:
    arrays, out = _contiguous((values, scales, shifts)), weight.shape[1]
    _check(arrays, weight, len(weight), (bias, (out,)))
    output = values[0].new_empty((len(values[0]), out, *(2 * length for length in values[0].shape[2:])))
    weight, bias = weight.contiguous(), _plain(bias)
    _call("lunet_up_forward", "piiiiiippp", _describe(arrays), *_size(values[0]), out, weight, bias, output)
    return output


def upsample_backward(values, scales, shifts, weight, d_out, wanted) -> list[Tensor]:
    arrays, out = _contiguous((values, scales, shifts)), weight.shape[1]
    weight, d_out = weight.contiguous(), d_out.contiguous()
    inputs, parameters = gradients_of(arrays, wanted), [torch.empty_like(weight), weight.new_empty(out)]
    described = _describe(arrays, inputs)
    _call("lunet_up_backward", "piiiiiipppp", described, *_size(values[0]), out, weight, d_out, *parameters)
    return [*parameters, *(NONE if each is None else each for each in inputs)]


def head(values, scales, shifts, weight, bias) -> Tensor:
    arrays, out = _contiguous((values, scales, shifts)), len(weight)
    _check(arrays, weight, weight.shape[1], (bias, (out,)))
    output = values[0].new_empty((len(values[0]), out, *values[0].shape[2:]))
    size, weight, bias = values[0][0, 0].numel(), weight.contiguous(), _plain(bias)
    _call("lunet_head_forward", "pilippp", _describe(arrays), len(values[0]), size, out, weight, bias, output)
    return output


def head_backward(values, scales, shifts, weight, d_out, wanted) -> list[Tensor]:
    arrays, out = _contiguous((values, scales, shifts)), len(weight)
    weight, d_out = weight.contiguous(), d_out.contiguous()
    inputs, parameters = gradients_of(arrays, wanted), [torch.empty_like(weight), weight.new_empty(out)]
    size, described = values[0][0, 0].numel(), _describe(arrays, inputs)
    _call("lunet_head_backward", "pilipppp", described, len(values[0]), size, out, weight, d_out, *parameters)
    return [*parameters, *(NONE if each is None else each for each in inputs)]
