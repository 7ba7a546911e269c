"""Layers that train on a CPU with few channels, as operators of PyTorch, ``torch.ops.lunet.train_...``.

A unit stores only r, the ReLU of its convolution. Its batch norm and dropout are a scale and a shift of each channel of
each sample, which the next layer applies where it reads (:class:`Scaled`). Gradients have the same bits on any number
of threads. A derivative of a gradient is computed by PyTorch's own functions.
"""

from __future__ import annotations

import ctypes
import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch.utils.flop_counter import register_flop_formula

from lunet_networks.kernels.library import library

__all__ = ["Scaled", "train_head", "train_pool", "train_unit", "train_upsample"]

Tensor = torch.Tensor
LONGEST = 2**31 - 1  # of what is an int in the kernels
_LIBRARY = torch.library.Library("lunet", "FRAGMENT")


@dataclass(frozen=True)
class Scaled:
    """``scale * values + shift``, not computed.

    Args:
        values: ``(B, C, [D,] H, W)``.
        scale: ``(B, C)``, float64; None for the values alone.
        shift: likewise.

    Example:
        >>> scale, shift = (torch.full((1, 1), number, dtype=torch.float64) for number in (2, 1))
        >>> Scaled(torch.ones(1, 1, 2, 2), scale, shift).plain().unique()
        tensor([3.])
    """

    values: Tensor
    scale: Tensor | None = None
    shift: Tensor | None = None

    def plain(self) -> Tensor:
        """It, computed, for a layer of PyTorch."""
        return self.values if self.scale is None else _apply(self.values, self.scale, self.shift)


def train_unit(
    inputs: Sequence[Scaled],
    weight: Tensor,
    bias: Tensor | None,
    norm_weight: Tensor,
    norm_bias: Tensor,
    eps: float,
    mask: Tensor | None = None,
) -> tuple[Scaled, Tensor, Tensor]:
    """Convolution (kernel 3, padding 1) of the concatenated inputs, ReLU, batch norm by the batch's statistics and
    dropout of channels.

    Args:
        inputs: ``(B, C_i, [D,] H, W)`` each.
        weight: ``(out_channels, sum of C_i, [3,] 3, 3)``.
        bias: ``(out_channels,)``.
        norm_weight: of the batch norm.
        norm_bias: likewise.
        eps: likewise.
        mask: ``(B, out_channels)``, 0 for a channel that is dropped, else the factor of those that stay.

    Returns:
        The output, and the batch's mean and variance of each channel before the norm, float64.
    """
    arrays = _arrays(inputs)
    values, scale, shift, mean, variance = _UNIT(*arrays, weight, bias, norm_weight, norm_bias, mask, eps)
    return Scaled(values, scale, shift), mean, variance


def train_pool(input: Scaled) -> Scaled:
    """Max pooling, kernel 2 and stride 2."""
    scale = _NONE if input.scale is None else input.scale.detach()
    return Scaled(_POOL(input.values, scale), input.scale, input.shift)


def train_upsample(input: Scaled, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Transposed convolution, kernel 2 and stride 2, with a weight of ``(C, out_channels, [2,] 2, 2)``."""
    return _UPSAMPLE(*_arrays([input]), weight, bias)


def train_head(input: Scaled, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Convolution of one voxel, with a weight of ``(out_channels, C, [1,] 1, 1)``."""
    return _HEAD(*_arrays([input]), weight, bias)


# ---- what the operators compute, in PyTorch's functions: for derivatives of gradients, and for the tests

_CONV = {4: F.conv2d, 5: F.conv3d}  # by the dimensions of the input
_TRANSPOSED = {4: F.conv_transpose2d, 5: F.conv_transpose3d}
_MAX_POOL = {4: F.max_pool2d, 5: F.max_pool3d}
_NONE = torch.empty(0, dtype=torch.float64)  # stands for no scale in a list of tensors


def _per_channel(each: Tensor, like: Tensor) -> Tensor:
    return each.to(like.dtype).view(*each.shape, *[1] * (like.dim() - each.dim()))


def _apply(values: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    if scale.numel() == 0:
        return values
    return torch.addcmul(_per_channel(shift, values), _per_channel(scale, values), values)


def _joined(values: list[Tensor], scales: list[Tensor], shifts: list[Tensor]) -> Tensor:
    plain = [_apply(*each) for each in zip(values, scales, shifts, strict=True)]
    return torch.cat(plain, dim=1) if len(plain) > 1 else plain[0]


def _plain_unit(values, scales, shifts, weight, bias, norm_weight, norm_bias, mask, eps) -> tuple[Tensor, ...]:
    r = _CONV[weight.dim()](_joined(values, scales, shifts), weight, bias, padding=1).relu()
    axes = [0, *range(2, r.dim())]
    variance, mean = torch.var_mean(r.double(), axes, correction=0)
    slope = norm_weight / (variance + eps).sqrt()
    kept = torch.ones(r.shape[:2], dtype=torch.float64) if mask is None else mask.double()
    return r, slope * kept, (norm_bias - mean * slope) * kept, mean, variance


def _plain_pool(values: Tensor, scale: Tensor) -> Tensor:
    if scale.numel() == 0:
        return _MAX_POOL[values.dim()](values, 2)
    _, taken = _MAX_POOL[values.dim()](_per_channel(scale, values).sign() * values.detach(), 2, return_indices=True)
    return values.flatten(2).gather(2, taken.flatten(2)).view(taken.shape)


def _plain_upsample(values, scales, shifts, weight, bias) -> Tensor:
    return _TRANSPOSED[weight.dim()](_joined(values, scales, shifts), weight, bias, stride=2)


def _plain_head(values, scales, shifts, weight, bias) -> Tensor:
    return _CONV[weight.dim()](_joined(values, scales, shifts), weight, bias)


# ---- the kernels


class _Input(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("data", "scale", "shift", "grad", "grad_scale", "grad_shift")),
        ("channels", ctypes.c_int64),
    )


_Arrays = tuple[list[Tensor], list[Tensor], list[Tensor]]  # values, scales, shifts


def _arrays(inputs: Sequence[Scaled]) -> _Arrays:
    return (
        [each.values for each in inputs],
        [_NONE if each.scale is None else each.scale for each in inputs],
        [_NONE if each.shift is None else each.shift for each in inputs],
    )


def _describe(arrays: _Arrays, gradients: list[Tensor | None] | None = None) -> Any:
    count = len(arrays[0])
    gradients = gradients or [None] * (3 * count)
    described = (_Input * count)()
    for k, (values, scale, shift) in enumerate(zip(*arrays, strict=True)):
        pointers = (values, scale, shift, *gradients[k::count])
        described[k] = _Input(*map(_address, pointers), values.shape[1])
    return described


def _address(tensor: Tensor | None) -> int | None:
    return None if tensor is None or tensor.numel() == 0 else tensor.data_ptr()


def _contiguous(arrays: _Arrays) -> _Arrays:
    return tuple([each.contiguous() for each in tensors] for tensors in arrays)


def _gradients_of(arrays: _Arrays, wanted: bool | Sequence[bool]) -> list[Tensor | None]:
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


def _check(arrays: _Arrays, weight: Tensor, channels: int, *others: tuple[Tensor | None, tuple[int, ...]]) -> None:
    """Raise before a kernel would read what is not there."""
    values, scales, shifts = arrays
    first = values[0]
    tensors = [*values, weight, *(tensor for tensor, _ in others if tensor is not None)]
    if any(each.dtype != torch.float32 or not each.is_cpu for each in tensors):
        raise TypeError("a kernel for training takes float32 tensors on a CPU")
    if first.dim() not in (4, 5) or weight.dim() != first.dim() or first.numel() == 0:
        raise ValueError(f"input {tuple(first.shape)} does not fit the weight {tuple(weight.shape)}")
    if sum(each.shape[1] for each in values) != channels or any(
        each.shape[0] != first.shape[0] or each.shape[2:] != first.shape[2:] for each in values
    ):
        raise ValueError(f"inputs {[tuple(each.shape) for each in values]} do not fit {channels} input channels")
    for each, scale, shift in zip(values, scales, shifts, strict=True):
        if any(part.dtype != torch.float64 or part.shape not in ((0,), each.shape[:2]) for part in (scale, shift)):
            raise ValueError(f"scale and shift must be float64 of {tuple(each.shape[:2])}")
    for tensor, shape in others:
        if tensor is not None and tuple(tensor.shape) != shape:
            raise ValueError(f"a parameter has shape {tuple(tensor.shape)} instead of {shape}")
    if max(first[0, 0].numel() * 8, weight.numel(), len(first) * max(weight.shape[:2])) > LONGEST:
        raise ValueError(f"input {tuple(first.shape)} is too large for a kernel")


_TYPES = {"p": ctypes.c_void_p, "i": ctypes.c_int, "l": ctypes.c_int64, "d": ctypes.c_double}


def _call(name: str, types: str, *arguments: Any) -> None:
    plain = [_address(each) if isinstance(each, Tensor) else each for each in arguments]
    if _function(name, types)(*plain, torch.get_num_threads()) != 0:
        raise MemoryError(f"not enough memory for the kernel {name}: use a smaller batch or patch")


@functools.cache
def _function(name: str, types: str) -> Callable[..., int]:
    function = getattr(library(), name)
    function.argtypes = [_TYPES[letter] for letter in types + "i"]
    return function


def _unit(values, scales, shifts, weight, bias, norm_weight, norm_bias, mask, eps) -> tuple[Tensor, ...]:
    arrays, out = _contiguous((values, scales, shifts)), len(weight)
    per_channel = [(each, (out,)) for each in (bias, norm_weight, norm_bias)]
    _check(arrays, weight, weight.shape[1], *per_channel, (mask, (len(values[0]), out)))
    samples, depth, height, width, taps = _size(values[0])
    weight, bias, mask = (None if each is None else each.contiguous() for each in (weight, bias, mask))
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


def _unit_backward(
    values, scales, shifts, weight, norm_weight, mask, r, mean, variance, d_r, d_scale, d_shift, eps, wanted
) -> list[Tensor]:
    arrays, out = _contiguous((values, scales, shifts)), len(weight)
    samples, depth, height, width, taps = _size(values[0])
    _check(arrays, weight, weight.shape[1], (r, tuple(d_r.shape)), (mask, (samples, out)))
    weight, mask = weight.contiguous(), None if mask is None else mask.contiguous()
    given = tuple(each.contiguous() for each in (r, mean, variance, d_r, d_scale, d_shift))
    inputs = _gradients_of(arrays, wanted)
    parameters = [torch.empty_like(weight), *(weight.new_empty(out) for _ in range(3))]
    _call(
        "lunet_unit_backward", "piiiiiiippdppppppppppp", _describe(arrays, inputs), len(values), samples, depth,
        height, width, 2 * taps - 1, out, weight, norm_weight.contiguous(), eps, mask, *given, *parameters,
    )  # fmt: skip
    return [*parameters, *(_NONE if each is None else each for each in inputs)]


def _pool(values: Tensor, scale: Tensor) -> Tensor:
    values, scale = values.contiguous(), scale.contiguous()
    samples, depth, height, width, taps = _size(values)
    out = values.new_empty((*values.shape[:2], *(length // 2 for length in values.shape[2:])))
    channels = samples * values.shape[1]
    _check(([values], [scale], [scale]), values, values.shape[1])
    _call("lunet_pool_forward", "ppliiiip", values, scale, channels, depth, height, width, taps, out)
    return out


def _pool_backward(values: Tensor, out: Tensor, d_out: Tensor) -> Tensor:
    values, out, d_out = (each.contiguous() for each in (values, out, d_out))
    samples, depth, height, width, taps = _size(values)
    odd = any(length % 2 for length in values.shape[2:])
    d_values = torch.zeros_like(values) if odd else torch.empty_like(values)
    channels = samples * values.shape[1]
    _call("lunet_pool_backward", "pppliiiip", values, out, d_out, channels, depth, height, width, taps, d_values)
    return d_values


def _upsample(values, scales, shifts, weight, bias) -> Tensor:
    arrays, out = _contiguous((values, scales, shifts)), weight.shape[1]
    _check(arrays, weight, len(weight), (bias, (out,)))
    output = values[0].new_empty((len(values[0]), out, *(2 * length for length in values[0].shape[2:])))
    weight = weight.contiguous()
    _call("lunet_up_forward", "piiiiiippp", _describe(arrays), *_size(values[0]), out, weight, bias, output)
    return output


def _upsample_backward(values, scales, shifts, weight, d_out, wanted) -> list[Tensor]:
    arrays, out = _contiguous((values, scales, shifts)), weight.shape[1]
    weight, d_out = weight.contiguous(), d_out.contiguous()
    inputs, parameters = _gradients_of(arrays, wanted), [torch.empty_like(weight), weight.new_empty(out)]
    described = _describe(arrays, inputs)
    _call("lunet_up_backward", "piiiiiipppp", described, *_size(values[0]), out, weight, d_out, *parameters)
    return [*parameters, *(_NONE if each is None else each for each in inputs)]


def _head(values, scales, shifts, weight, bias) -> Tensor:
    arrays, out = _contiguous((values, scales, shifts)), len(weight)
    _check(arrays, weight, weight.shape[1], (bias, (out,)))
    output = values[0].new_empty((len(values[0]), out, *values[0].shape[2:]))
    size, weight = values[0][0, 0].numel(), weight.contiguous()
    _call("lunet_head_forward", "pilippp", _describe(arrays), len(values[0]), size, out, weight, bias, output)
    return output


def _head_backward(values, scales, shifts, weight, d_out, wanted) -> list[Tensor]:
    arrays, out = _contiguous((values, scales, shifts)), len(weight)
    weight, d_out = weight.contiguous(), d_out.contiguous()
    inputs, parameters = _gradients_of(arrays, wanted), [torch.empty_like(weight), weight.new_empty(out)]
    size, described = values[0][0, 0].numel(), _describe(arrays, inputs)
    _call("lunet_head_backward", "pilipppp", described, len(values[0]), size, out, weight, d_out, *parameters)
    return [*parameters, *(_NONE if each is None else each for each in inputs)]


# ---- the operators

_ARRAYS = "Tensor[] values, Tensor[] scales, Tensor[] shifts"
_UNIT_ARGUMENTS = f"{_ARRAYS}, Tensor weight, Tensor? bias, Tensor norm_weight, Tensor norm_bias, Tensor? mask"
_SAVED = "Tensor r, Tensor mean, Tensor variance, Tensor d_r, Tensor d_scale, Tensor d_shift"
_LAYER = f"({_ARRAYS}, Tensor weight, Tensor? bias) -> Tensor"
_LAYER_BACKWARD = f"({_ARRAYS}, Tensor weight, Tensor d_out, bool[] wanted) -> Tensor[]"


def _define(schema: str, kernel: Callable, fake: Callable) -> Callable:
    name = schema.partition("(")[0]
    _LIBRARY.define(schema, tags=(torch.Tag.pt2_compliant_tag,))
    _LIBRARY.impl(name, kernel, "CPU")
    torch.library.register_fake(f"lunet::{name}", fake, lib=_LIBRARY)
    return getattr(torch.ops.lunet, name).default


def _fake_unit(values, scales, shifts, weight, bias, norm_weight, norm_bias, mask, eps) -> tuple[Tensor, ...]:
    r = values[0].new_empty((len(values[0]), len(weight), *values[0].shape[2:]))
    pair = [r.new_empty(r.shape[:2], dtype=torch.float64) for _ in range(2)]
    return (r, *pair, *(r.new_empty(len(weight), dtype=torch.float64) for _ in range(2)))


def _fake_gradients(arrays: _Arrays, wanted: Sequence[bool]) -> list[Tensor]:
    gradients = _gradients_of(arrays, wanted)
    return [arrays[1][0].new_empty(0) if each is None else each for each in gradients]


def _fake_unit_backward(values, scales, shifts, weight, *rest) -> list[Tensor]:
    per_channel = [weight.new_empty(len(weight)) for _ in range(3)]
    return [torch.empty_like(weight), *per_channel, *_fake_gradients((values, scales, shifts), rest[-1])]


def _fake_layer_backward(out: int) -> Callable:
    def fake(values, scales, shifts, weight, d_out, wanted) -> list[Tensor]:
        gradients = _fake_gradients((values, scales, shifts), wanted)
        return [torch.empty_like(weight), weight.new_empty(weight.shape[out]), *gradients]

    return fake


_UNIT = _define(
    f"train_unit({_UNIT_ARGUMENTS}, float eps) -> (Tensor, Tensor, Tensor, Tensor, Tensor)", _unit, _fake_unit
)
_UNIT_BACKWARD = _define(
    f"train_unit_backward({_ARRAYS}, Tensor weight, Tensor norm_weight, Tensor? mask, {_SAVED}, float eps, "
    "bool[] wanted) -> Tensor[]",
    _unit_backward,
    _fake_unit_backward,
)
_POOL = _define("train_pool(Tensor values, Tensor scale) -> Tensor", _pool, _plain_pool)
_POOL_BACKWARD = _define(
    "train_pool_backward(Tensor values, Tensor out, Tensor d_out) -> Tensor",
    _pool_backward,
    lambda values, out, d_out: torch.empty_like(values),
)
_UPSAMPLE = _define(f"train_upsample{_LAYER}", _upsample, _plain_upsample)
_UPSAMPLE_BACKWARD = _define(
    f"train_upsample_backward{_LAYER_BACKWARD}", _upsample_backward, _fake_layer_backward(out=1)
)
_HEAD = _define(f"train_head{_LAYER}", _head, _plain_head)
_HEAD_BACKWARD = _define(f"train_head_backward{_LAYER_BACKWARD}", _head_backward, _fake_layer_backward(out=0))


# ---- gradients


def _differentiable(plain: Callable, arguments: Sequence[Any], gradients: Sequence[Tensor | None]) -> list[Any]:
    """Gradients that can be differentiated again: PyTorch's functions compute the operator once more."""
    flat = [tensor for each in arguments for tensor in (each if isinstance(each, list) else [each])]
    sought = [each for each in flat if isinstance(each, Tensor) and each.requires_grad]
    with torch.enable_grad():
        outputs = plain(*arguments)
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    outputs, gradients = zip(
        *((out, given) for out, given in zip(outputs, gradients, strict=False) if given is not None), strict=True
    )
    found = torch.autograd.grad(outputs, sought, gradients, allow_unused=True, create_graph=True)
    by_tensor = {id(each): gradient for each, gradient in zip(sought, found, strict=True)}
    return [
        [by_tensor.get(id(part)) for part in each] if isinstance(each, list) else by_tensor.get(id(each))
        for each in arguments
    ]


def _save_unit(ctx: Any, inputs: tuple, output: tuple) -> None:
    values, scales, shifts, weight, bias, norm_weight, norm_bias, mask, eps = inputs
    ctx.save_for_backward(*values, *scales, *shifts, weight, bias, norm_weight, norm_bias, mask, *output)
    ctx.mark_non_differentiable(*output[3:])
    ctx.set_materialize_grads(False)
    ctx.count, ctx.eps = len(values), eps


def _split(ctx: Any, tensors: Sequence[Any]) -> tuple[list, list, list, list]:
    n = ctx.count
    return list(tensors[:n]), list(tensors[n : 2 * n]), list(tensors[2 * n : 3 * n]), list(tensors[3 * n :])


def _unit_gradients(ctx: Any, d_r: Tensor | None, d_scale: Tensor | None, d_shift: Tensor | None, *_: Any) -> tuple:
    values, scales, shifts, rest = _split(ctx, ctx.saved_tensors)
    weight, bias, norm_weight, norm_bias, mask, r, scale, shift, mean, variance = rest
    if torch.is_grad_enabled():
        arguments = (values, scales, shifts, weight, bias, norm_weight, norm_bias, mask, ctx.eps)
        return tuple(_differentiable(_plain_unit, arguments, (d_r, d_scale, d_shift)))
    d_r, d_scale, d_shift = (
        torch.zeros_like(like) if each is None else each
        for each, like in ((d_r, r), (d_scale, scale), (d_shift, shift))
    )
    needed = ctx.needs_input_grad
    wanted = [any(each) for each in zip(*needed[:3], strict=True)]
    found = _UNIT_BACKWARD(
        values, scales, shifts, weight, norm_weight, mask, r, mean, variance, d_r, d_scale, d_shift, ctx.eps, wanted
    )
    parameters = [each if wants else None for each, wants in zip(found[:4], needed[3:7], strict=True)]
    return (*_given(ctx, found[4:]), *parameters, None, None)


def _given(ctx: Any, gradients: list[Tensor]) -> list[list[Tensor | None]]:
    """Gradients of values, scales and shifts, without those that are not wanted."""
    parts = _split(ctx, gradients)[:3]
    return [
        [each if wants and each.numel() else None for each, wants in zip(part, needed, strict=True)]
        for part, needed in zip(parts, ctx.needs_input_grad[:3], strict=True)
    ]


def _save_pool(ctx: Any, inputs: tuple, output: Tensor) -> None:
    ctx.save_for_backward(*inputs, output)


def _pool_gradients(ctx: Any, d_out: Tensor) -> tuple:
    values, scale, out = ctx.saved_tensors
    if torch.is_grad_enabled():
        return tuple(_differentiable(_plain_pool, (values, scale), (d_out,)))
    return _POOL_BACKWARD(values, out, d_out), None


def _save_layer(ctx: Any, inputs: tuple, output: Tensor) -> None:
    values, scales, shifts, weight, bias = inputs
    ctx.save_for_backward(*values, *scales, *shifts, weight, bias)
    ctx.count = len(values)


def _layer_gradients(plain: Callable, backward: Callable) -> Callable:
    def gradients(ctx: Any, d_out: Tensor) -> tuple:
        values, scales, shifts, (weight, bias) = _split(ctx, ctx.saved_tensors)
        if torch.is_grad_enabled():
            return tuple(_differentiable(plain, (values, scales, shifts, weight, bias), (d_out,)))
        needed = ctx.needs_input_grad
        wanted = [any(each) for each in zip(*needed[:3], strict=True)]
        found = backward(values, scales, shifts, weight, d_out, wanted)
        parameters = [each if wants else None for each, wants in zip(found[:2], needed[3:], strict=True)]
        return (*_given(ctx, found[2:]), *parameters)

    return gradients


for _operator, _backward, _save in (
    (_UNIT, _unit_gradients, _save_unit),
    (_POOL, _pool_gradients, _save_pool),
    (_UPSAMPLE, _layer_gradients(_plain_upsample, _UPSAMPLE_BACKWARD), _save_layer),
    (_HEAD, _layer_gradients(_plain_head, _HEAD_BACKWARD), _save_layer),
):
    torch.library.register_autograd(_operator, _backward, setup_context=_save, lib=_LIBRARY)


# ---- FLOPs, as PyTorch counts them: two a multiplication


def _register_flops(operator: Any, count: Callable[..., int]) -> None:
    register_flop_formula(operator._overloadpacket)(count)


def _multiplications(values: list[Sequence[int]], weight: Sequence[int]) -> int:
    return values[0][0] * math.prod(values[0][2:]) * math.prod(weight)


def _forward_flops(values: Any, scales: Any, shifts: Any, weight: Any, *_: Any, **__: Any) -> int:
    return 2 * _multiplications(values, weight)


def _backward_flops(values: Any, scales: Any, shifts: Any, weight: Any, *rest: Any, **__: Any) -> int:
    return 2 * _multiplications(values, weight) * (2 if any(rest[-1]) else 1)


for _operator in (_UNIT, _UPSAMPLE, _HEAD):
    _register_flops(_operator, _forward_flops)
for _operator in (_UNIT_BACKWARD, _UPSAMPLE_BACKWARD, _HEAD_BACKWARD):
    _register_flops(_operator, _backward_flops)
