"""What the operators that train compute, in PyTorch's functions: for derivatives of gradients, and for the tests."""

from __future__ import annotations

import torch
import torch.nn.functional as F

__all__ = ["plain_head", "plain_pool", "plain_unit", "plain_upsample", "scaled"]

Tensor = torch.Tensor
_CONV = {4: F.conv2d, 5: F.conv3d}  # by the dimensions of the input
_TRANSPOSED = {4: F.conv_transpose2d, 5: F.conv_transpose3d}
_MAX_POOL = {4: F.max_pool2d, 5: F.max_pool3d}


def _per_channel(each: Tensor, like: Tensor) -> Tensor:
    return each.to(like.dtype).view(*each.shape, *[1] * (like.dim() - each.dim()))


def scaled(values: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    if scale.numel() == 0:
        return values
    return torch.addcmul(_per_channel(shift, values), _per_channel(scale, values), values)


def _joined(values: list[Tensor], scales: list[Tensor], shifts: list[Tensor]) -> Tensor:
    plain = [scaled(*each) for each in zip(values, scales, shifts, strict=True)]
    return torch.cat(plain, dim=1) if len(plain) > 1 else plain[0]


def plain_unit(values, scales, shifts, weight, bias, norm_weight, norm_bias, mask, eps) -> tuple[Tensor, ...]:
    r = _CONV[weight.dim()](_joined(values, scales, shifts), weight, bias, padding=1).relu()
    axes = [0, *range(2, r.dim())]
    variance, mean = torch.var_mean(r.double(), axes, correction=0)
    slope = norm_weight / (variance + eps).sqrt()
    kept = torch.ones(r.shape[:2], dtype=torch.float64) if mask is None else mask.double()
    return r, slope * kept, (norm_bias - mean * slope) * kept, mean, variance


def plain_pool(values: Tensor, scale: Tensor) -> Tensor:
    if scale.numel() == 0:
        return _MAX_POOL[values.dim()](values, 2)
    _, taken = _MAX_POOL[values.dim()](_per_channel(scale, values).sign() * values.detach(), 2, return_indices=True)
    return values.flatten(2).gather(2, taken.flatten(2)).view(taken.shape)


def plain_upsample(values, scales, shifts, weight, bias) -> Tensor:
    return _TRANSPOSED[weight.dim()](_joined(values, scales, shifts), weight, bias, stride=2)


def plain_head(values, scales, shifts, weight, bias) -> Tensor:
    return _CONV[weight.dim()](_joined(values, scales, shifts), weight, bias)
