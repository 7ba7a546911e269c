"""Layers that train on a CPU with few channels, as operators of PyTorch, ``torch.ops.lunet.train_...``.

A unit stores only r, the ReLU of its convolution. Its batch norm and dropout are a scale and a shift of each channel of
each sample, which the next layer applies where it reads (:class:`Scaled`). Gradients have the same bits on any number
of threads. A derivative of a gradient is computed by PyTorch's own functions.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.autograd import Function
from torch.utils.flop_counter import register_flop_formula

from lunet_networks.kernels import training_calls as calls
from lunet_networks.kernels.operators import NAMESPACE, is_unwatched
from lunet_networks.kernels.training_calls import NONE, Arrays
from lunet_networks.kernels.training_plain import plain_head, plain_pool, plain_unit, plain_upsample, scaled

__all__ = ["Scaled", "train_head", "train_pool", "train_unit", "train_upsample"]

Tensor = torch.Tensor
_LIBRARY = torch.library.Library(NAMESPACE, "FRAGMENT")


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
        return self.values if self.scale is None else scaled(self.values, self.scale, self.shift)


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
    values, scale, shift, mean, variance = _unit(*arrays, weight, bias, norm_weight, norm_bias, mask, eps)
    return Scaled(values, scale, shift), mean, variance


def train_pool(input: Scaled) -> Scaled:
    """Max pooling, kernel 2 and stride 2."""
    scale = NONE if input.scale is None else input.scale.detach()
    return Scaled(_pool(input.values, scale), input.scale, input.shift)


def train_upsample(input: Scaled, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Transposed convolution, kernel 2 and stride 2, with a weight of ``(C, out_channels, [2,] 2, 2)``."""
    return _upsample(*_arrays([input]), weight, bias)


def train_head(input: Scaled, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Convolution of one voxel, with a weight of ``(out_channels, C, [1,] 1, 1)``."""
    return _head(*_arrays([input]), weight, bias)


def _arrays(inputs: Sequence[Scaled]) -> Arrays:
    return (
        [each.values for each in inputs],
        [NONE if each.scale is None else each.scale for each in inputs],
        [NONE if each.shift is None else each.shift for each in inputs],
    )


# ---- the operators, below autograd

_ARRAYS = "Tensor[] values, Tensor[] scales, Tensor[] shifts"
_UNIT_ARGUMENTS = f"{_ARRAYS}, Tensor weight, Tensor? bias, Tensor norm_weight, Tensor norm_bias, Tensor? mask"
_SAVED = "Tensor r, Tensor mean, Tensor variance, Tensor d_r, Tensor d_scale, Tensor d_shift"
_LAYER = f"({_ARRAYS}, Tensor weight, Tensor? bias) -> Tensor"
_LAYER_BACKWARD = f"({_ARRAYS}, Tensor weight, Tensor d_out, bool[] wanted) -> Tensor[]"


class _Operator:
    """An operator on a CPU, without gradients.

    Unlike a layer that only predicts (:class:`~lunet_networks.kernels.operators.Operator`), it gives several results,
    and is called only where the kernel computes: it has no plain form to fall back on.

    Args:
        schema: name, arguments and result, as PyTorch writes them.
        kernel: computes it.
        fake: makes results without values.
    """

    def __init__(self, schema: str, kernel: Callable, fake: Callable) -> None:
        self.name, self.kernel = schema.partition("(")[0], kernel
        _LIBRARY.define(schema, tags=(torch.Tag.pt2_compliant_tag,))
        _LIBRARY.impl(self.name, kernel, "CPU")
        torch.library.register_fake(f"{NAMESPACE}::{self.name}", fake, lib=_LIBRARY)
        self.overload = getattr(getattr(torch.ops, NAMESPACE), self.name).default

    def __call__(self, values: list[Tensor] | Tensor, *arguments: Any) -> Any:
        first = values[0] if isinstance(values, list) else values
        if is_unwatched() and type(first) is Tensor:
            return self.kernel(values, *arguments)  # the dispatcher would take as long as a small layer
        with torch._C._AutoDispatchBelowAutograd():
            return self.overload(values, *arguments)


def _fake_unit(values, scales, shifts, weight, bias, norm_weight, norm_bias, mask, eps) -> tuple[Tensor, ...]:
    r = values[0].new_empty((len(values[0]), len(weight), *values[0].shape[2:]))
    pair = [r.new_empty(r.shape[:2], dtype=torch.float64) for _ in range(2)]
    return (r, *pair, *(r.new_empty(len(weight), dtype=torch.float64) for _ in range(2)))


def _fake_gradients(arrays: Arrays, wanted: Sequence[bool]) -> list[Tensor]:
    gradients = calls.gradients_of(arrays, wanted)
    return [arrays[1][0].new_empty(0) if each is None else each for each in gradients]


def _fake_unit_backward(values, scales, shifts, weight, *rest) -> list[Tensor]:
    per_channel = [weight.new_empty(len(weight)) for _ in range(3)]
    return [torch.empty_like(weight), *per_channel, *_fake_gradients((values, scales, shifts), rest[-1])]


def _fake_layer_backward(out: int) -> Callable:
    def fake(values, scales, shifts, weight, d_out, wanted) -> list[Tensor]:
        gradients = _fake_gradients((values, scales, shifts), wanted)
        return [torch.empty_like(weight), weight.new_empty(weight.shape[out]), *gradients]

    return fake


_UNIT = _Operator(
    f"train_unit({_UNIT_ARGUMENTS}, float eps) -> (Tensor, Tensor, Tensor, Tensor, Tensor)", calls.unit, _fake_unit
)
_UNIT_BACKWARD = _Operator(
    f"train_unit_backward({_ARRAYS}, Tensor weight, Tensor norm_weight, Tensor? mask, {_SAVED}, float eps, "
    "bool[] wanted) -> Tensor[]",
    calls.unit_backward,
    _fake_unit_backward,
)
_POOL = _Operator("train_pool(Tensor values, Tensor scale) -> Tensor", calls.pool, plain_pool)
_POOL_BACKWARD = _Operator(
    "train_pool_backward(Tensor values, Tensor out, Tensor d_out) -> Tensor",
    calls.pool_backward,
    lambda values, out, d_out: torch.empty_like(values),
)
_UPSAMPLE = _Operator(f"train_upsample{_LAYER}", calls.upsample, plain_upsample)
_UPSAMPLE_BACKWARD = _Operator(
    f"train_upsample_backward{_LAYER_BACKWARD}", calls.upsample_backward, _fake_layer_backward(out=1)
)
_HEAD = _Operator(f"train_head{_LAYER}", calls.head, plain_head)
_HEAD_BACKWARD = _Operator(f"train_head_backward{_LAYER_BACKWARD}", calls.head_backward, _fake_layer_backward(out=0))


# ---- gradients. A function of autograd takes no lists, so values, scales and shifts come one by one, at the end. This
# takes a quarter of the time of torch.library.register_autograd, whose lists go through trees.


def _split(tensors: Sequence[Any], count: int) -> Arrays:
    return list(tensors[:count]), list(tensors[count : 2 * count]), list(tensors[2 * count :])


def _wanted(needed: Sequence[bool], count: int) -> list[bool]:
    """Whether an input needs a gradient, of its values, scale or shift."""
    return [any(each) for each in zip(*_split(needed, count), strict=True)]


def _given(gradients: Sequence[Tensor], needed: Sequence[bool]) -> list[Tensor | None]:
    return [each if wants and each.numel() else None for each, wants in zip(gradients, needed, strict=True)]


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
    return [by_tensor.get(id(each)) for each in flat]


class _Unit(Function):
    @staticmethod
    def forward(ctx, count, eps, weight, bias, norm_weight, norm_bias, mask, *inputs):
        parameters = weight, bias, norm_weight, norm_bias, mask
        outputs = _UNIT(*_split(inputs, count), *parameters, eps)
        r, _, _, mean, variance = outputs
        ctx.save_for_backward(*parameters, r, mean, variance, *inputs)
        ctx.mark_non_differentiable(mean, variance)
        ctx.set_materialize_grads(False)
        ctx.count, ctx.eps = count, eps
        return outputs

    @staticmethod
    def backward(ctx, d_r, d_scale, d_shift, *_):
        weight, bias, norm_weight, norm_bias, mask, r, mean, variance, *inputs = ctx.saved_tensors
        arrays, needed = _split(inputs, ctx.count), ctx.needs_input_grad
        if torch.is_grad_enabled():
            arguments = (weight, bias, norm_weight, norm_bias, mask)
            found = _differentiable(plain_unit, (*arrays, *arguments, ctx.eps), (d_r, d_scale, d_shift))
            return None, None, *found[3 * ctx.count : -1], *found[: 3 * ctx.count]
        d_r = torch.zeros_like(r) if d_r is None else d_r
        d_scale, d_shift = (
            r.new_zeros(r.shape[:2], dtype=torch.float64) if each is None else each for each in (d_scale, d_shift)
        )
        saved = (r, mean, variance, d_r, d_scale, d_shift)
        wanted = _wanted(needed[7:], ctx.count)
        found = _UNIT_BACKWARD(*arrays, weight, norm_weight, mask, *saved, ctx.eps, wanted)
        return None, None, *_given(found[:4], needed[2:6]), None, *_given(found[4:], needed[7:])


class _Pool(Function):
    @staticmethod
    def forward(ctx, values, scale):
        out = _POOL(values, scale)
        ctx.save_for_backward(values, scale, out)
        return out

    @staticmethod
    def backward(ctx, d_out):
        values, scale, out = ctx.saved_tensors
        if torch.is_grad_enabled():
            return tuple(_differentiable(plain_pool, (values, scale), (d_out,)))
        return _POOL_BACKWARD(values, out, d_out), None


class _Layer(Function):
    """Transposed convolution or head, by its operators."""

    @staticmethod
    def forward(ctx, operator, backward, plain, weight, bias, *inputs):
        ctx.save_for_backward(weight, bias, *inputs)
        ctx.functions = backward, plain
        return operator(*_split(inputs, len(inputs) // 3), weight, bias)

    @staticmethod
    def backward(ctx, d_out):
        weight, bias, *inputs = ctx.saved_tensors
        count, (backward, plain), needed = len(inputs) // 3, ctx.functions, ctx.needs_input_grad
        arrays = _split(inputs, count)
        if torch.is_grad_enabled():
            *found, d_weight, d_bias = _differentiable(plain, (*arrays, weight, bias), (d_out,))
            return None, None, None, d_weight, d_bias, *found
        found = backward(*arrays, weight, d_out, _wanted(needed[5:], count))
        return None, None, None, *_given(found[:2], needed[3:5]), *_given(found[2:], needed[5:])


def _unit(values, scales, shifts, weight, bias, norm_weight, norm_bias, mask, eps) -> tuple[Tensor, ...]:
    parameters = weight, bias, norm_weight, norm_bias, mask
    if torch._C._are_functorch_transforms_active():
        return plain_unit(values, scales, shifts, *parameters, eps)
    return _Unit.apply(len(values), eps, *parameters, *values, *scales, *shifts)


def _pool(values, scale) -> Tensor:
    return plain_pool(values, scale) if torch._C._are_functorch_transforms_active() else _Pool.apply(values, scale)


def _layer(operator: _Operator, backward: _Operator, plain: Callable) -> Callable[..., Tensor]:
    def layer(values, scales, shifts, weight, bias) -> Tensor:
        if torch._C._are_functorch_transforms_active():
            return plain(values, scales, shifts, weight, bias)
        return _Layer.apply(operator, backward, plain, weight, bias, *values, *scales, *shifts)

    return layer


_upsample = _layer(_UPSAMPLE, _UPSAMPLE_BACKWARD, plain_upsample)
_head = _layer(_HEAD, _HEAD_BACKWARD, plain_head)
for _operator, _differentiated in ((_UNIT, _unit), (_POOL, _pool), (_UPSAMPLE, _upsample), (_HEAD, _head)):
    _LIBRARY.impl(_operator.name, _differentiated, "Autograd")


# ---- FLOPs, as PyTorch counts them: two a multiplication


def _multiplications(values: list[Sequence[int]], weight: Sequence[int]) -> int:
    return values[0][0] * math.prod(values[0][2:]) * math.prod(weight)


def _forward_flops(values: Any, scales: Any, shifts: Any, weight: Any, *_: Any, **__: Any) -> int:
    return 2 * _multiplications(values, weight)


def _backward_flops(values: Any, scales: Any, shifts: Any, weight: Any, *rest: Any, **__: Any) -> int:
    return 2 * _multiplications(values, weight) * (2 if any(rest[-1]) else 1)


for _operators, _count in (
    ((_UNIT, _UPSAMPLE, _HEAD), _forward_flops),
    ((_UNIT_BACKWARD, _UPSAMPLE_BACKWARD, _HEAD_BACKWARD), _backward_flops),
):
    for _operator in _operators:
        register_flop_formula(_operator.overload._overloadpacket)(_count)
