"""What stands between the convolutions of residual blocks: instance norm, and the perceptron of a MedNeXt block."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

from lunet_networks.kernels.layers import CONV
from lunet_networks.kernels.operators import Operator, address, call

__all__ = ["instance_norm", "perceptron"]

Tensor = torch.Tensor


def instance_norm(input: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float) -> Tensor:
    """Instance norm of ``(B, C, [D,] H, W)`` by the image's own mean and variance."""
    return _INSTANCE_NORM(input, weight, bias, eps)


def _plain_norm(input: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float) -> Tensor:
    return F.instance_norm(input, weight=weight, bias=bias, eps=eps)


def _takes_norm(input: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float) -> bool:
    return (
        input.dim() in CONV
        and input.numel() > 0
        and input.shape[2:].numel() > 1
        and all(each is None or each.shape == input.shape[1:2] for each in (weight, bias))
    )


def _kernel_norm(input: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float) -> Tensor:
    input = input.contiguous()
    weight, bias = (each if each is None else each.contiguous() for each in (weight, bias))
    output = torch.empty(input.shape, dtype=input.dtype)
    batch, channels, *size = input.shape
    pointers = address(weight), address(bias)
    values = math.prod(size)
    call(
        "lunet_instance_norm", "plippdpl", input.data_ptr(), batch, channels, *pointers, eps, output.data_ptr(), values
    )
    return output


def perceptron(
    input: Tensor,
    norm: list[Tensor],
    eps: float,
    weight: Tensor,
    bias: Tensor,
    out_weight: Tensor,
    out_bias: Tensor,
    residual: Tensor,
) -> Tensor:
    """Two convolutions of one voxel with a GELU between them, perhaps behind an instance norm, added to the residual.

    Args:
        input: ``(B, C, [D,] H, W)``.
        norm: weight and bias of the instance norm, or nothing.
        eps: of the norm.
        weight: of the first convolution, ``(hidden, C, [1,] 1, 1)``.
        bias: of the first convolution.
        out_weight: of the second one, ``(out_channels, hidden, [1,] 1, 1)``.
        out_bias: of the second one.
        residual: ``(B, out_channels, [D,] H, W)``.
    """
    return _PERCEPTRON(input, list(norm), eps, weight, bias, out_weight, out_bias, residual)


def _plain_perceptron(input, norm, eps, weight, bias, out_weight, out_bias, residual) -> Tensor:
    conv = CONV[weight.dim()]
    input = F.instance_norm(input, weight=norm[0], bias=norm[1], eps=eps) if norm else input
    return residual + conv(F.gelu(conv(input, weight, bias)), out_weight, out_bias)


def _takes_perceptron(input, norm, eps, weight, bias, out_weight, out_bias, residual) -> bool:
    return (
        input.dim() in CONV
        and input.numel() > 0
        and weight.shape == (len(bias), input.shape[1], *[1] * (input.dim() - 2))
        and out_weight.shape == (len(out_bias), len(bias), *[1] * (input.dim() - 2))
        and bias.dim() == out_bias.dim() == 1
        and min(len(bias), len(out_bias)) > 0
        and residual.shape == (len(input), len(out_bias), *input.shape[2:])
        and (not norm or [each.shape for each in norm] == [input.shape[1:2]] * 2)
        and (not norm or input.shape[2:].numel() > 1)
    )


def _kernel_perceptron(input, norm, eps, weight, bias, out_weight, out_bias, residual) -> Tensor:
    input, residual, *layers = (each.contiguous() for each in (input, residual, weight, bias, out_weight, out_bias))
    norm = [each.contiguous() for each in norm] or [None, None]
    output = torch.empty(residual.shape, dtype=residual.dtype)
    call(
        "lunet_perceptron",
        "pppdpliiipppppl",
        input.data_ptr(),
        *map(address, norm),
        eps,
        residual.data_ptr(),
        len(input),
        input.shape[1],
        len(bias),
        len(out_bias),
        *(each.data_ptr() for each in layers),
        output.data_ptr(),
        math.prod(input.shape[2:]),
    )
    return output


def _of_both(
    input: torch.Size,
    _norm: object,
    _eps: object,
    weight: torch.Size,
    _bias: object,
    out_weight: torch.Size,
    *_: object,
) -> int:
    return input[0] * math.prod(input[2:]) * (math.prod(weight) + math.prod(out_weight))


_INSTANCE_NORM = Operator(
    "instance_norm(Tensor input, Tensor? weight, Tensor? bias, float eps) -> Tensor",
    plain=_plain_norm,
    takes=_takes_norm,
    kernel=_kernel_norm,
)
_PERCEPTRON = Operator(
    "perceptron(Tensor input, Tensor[] norm, float eps, Tensor weight, Tensor bias, Tensor out_weight, "
    "Tensor out_bias, Tensor residual) -> Tensor",
    plain=_plain_perceptron,
    takes=_takes_perceptron,
    kernel=_kernel_perceptron,
    multiplications=_of_both,
)
