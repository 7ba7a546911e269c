"""MobileNetV3-Large without its classifier: torchvision's key names and numbers, without torchvision."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import torch
from torch import nn

from lunet_networks.state_dicts import read_state_dict

__all__ = ["block_widths", "load_imagenet_weights", "mobilenet_v3_large"]

_STEM = 16  # channels
_BLOCKS = (  # kernel, channels inside, channels out, squeeze and excitation, activation, stride; table 1 of the paper
    (3, 16, 16, False, nn.ReLU, 1),
    (3, 64, 24, False, nn.ReLU, 2),
    (3, 72, 24, False, nn.ReLU, 1),
    (5, 72, 40, True, nn.ReLU, 2),
    (5, 120, 40, True, nn.ReLU, 1),
    (5, 120, 40, True, nn.ReLU, 1),
    (3, 240, 80, False, nn.Hardswish, 2),
    (3, 200, 80, False, nn.Hardswish, 1),
    (3, 184, 80, False, nn.Hardswish, 1),
    (3, 184, 80, False, nn.Hardswish, 1),
    (3, 480, 112, True, nn.Hardswish, 1),
    (3, 672, 112, True, nn.Hardswish, 1),
    (5, 672, 160, True, nn.Hardswish, 2),
    (5, 960, 160, True, nn.Hardswish, 1),
    (5, 960, 160, True, nn.Hardswish, 1),
)


def mobilenet_v3_large(
    in_channels: int = 3, last_block: int = len(_BLOCKS), fused: bool = False, width_mult: float = 1.0
) -> nn.ModuleList:
    """The stem and the blocks 1 to ``last_block``, as a list; the network has to call it ``features``.

    Args:
        in_channels: channels of the input image.
        last_block: number of the last block, from 1 to 15.
        fused: without batch norms, which have become part of the convolutions in front of them.
        width_mult: factor of all channels, each of which is then rounded to a multiple of 8.

    Source:
        Howard et al., Searching for MobileNetV3, ICCV 2019, table 1; batch norms and initialisation as in torchvision.

    Example:
        >>> network = nn.Module()
        >>> network.features = mobilenet_v3_large(last_block=9)
        >>> list(network.state_dict())[0], network.features[9](torch.zeros(1, 80, 4, 4)).shape
        ('features.0.0.weight', torch.Size([1, 80, 4, 4]))
    """
    widths = block_widths(last_block, width_mult)
    features = nn.ModuleList([_unit(in_channels, widths[0], 3, nn.Hardswish, stride=2, fused=fused)])
    for (kernel_size, inside, _, squeeze, act, stride), ends in zip(_BLOCKS, pairwise(widths), strict=False):
        inside = _divisible(width_mult * inside)
        features.append(_InvertedResidual(*ends, inside, kernel_size, squeeze, act, stride, fused))
    for module in features.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return features


def block_widths(last_block: int = len(_BLOCKS), width_mult: float = 1.0) -> list[int]:
    """Channels that come out of the stem and of the blocks 1 to ``last_block``.

    Example:
        >>> block_widths(6), block_widths(6, width_mult=0.35)
        ([16, 16, 24, 24, 40, 40, 40], [8, 8, 8, 8, 16, 16, 16])
    """
    return [_divisible(width_mult * width) for width in (_STEM, *(out for _, _, out, *_ in _BLOCKS[:last_block]))]


def load_imagenet_weights(features: nn.ModuleList, path: str | Path) -> None:
    """Load torchvision's ImageNet weights, in place.

    Args:
        features: of :func:`mobilenet_v3_large`, with three input channels and not fused.
        path: of torchvision's file ``mobilenet_v3_large-*.pth``, which ``lunet get-data mobilenet_v3_large``
            fetches.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it holds no state dict, or that of another model; names the first key that does not fit.
    """
    own, given = features.state_dict(prefix="features."), read_state_dict(path)
    right = "torchvision's mobilenet_v3_large for ImageNet is needed"
    for key, tensor in own.items():
        if key not in given:
            raise ValueError(f"{path} lacks {key!r}, its first key is {next(iter(given), None)!r}: {right}")
        if given[key].shape != tensor.shape:
            raise ValueError(
                f"{path} holds {key!r} with shape {tuple(given[key].shape)}, this network takes {tuple(tensor.shape)}: "
                f"{right}, and a network of 3 input channels and full width"
            )
    features.load_state_dict({key.removeprefix("features."): given[key] for key in own})


class _InvertedResidual(nn.Module):
    """1 x 1 convolution (only if it adds channels), depthwise convolution, squeeze and excitation, 1 x 1 convolution;
    the input is added if the shape stays the same."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        inside: int,
        kernel_size: int,
        squeeze: bool,
        act: type[nn.Module],
        stride: int,
        fused: bool,
    ) -> None:
        super().__init__()
        self.residual = stride == 1 and in_channels == out_channels
        self.block = nn.Sequential()
        if inside != in_channels:
            self.block.append(_unit(in_channels, inside, 1, act, fused=fused))
        self.block.append(_unit(inside, inside, kernel_size, act, stride, groups=inside, fused=fused))
        if squeeze:
            self.block.append(_SqueezeExcitation(inside))
        self.block.append(_unit(inside, out_channels, 1, None, fused=fused))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.block(x) if self.residual else self.block(x)


class _SqueezeExcitation(nn.Module):
    """Squeeze and excitation: weight the channels by their means over the whole image."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        squeezed = _divisible(channels // 4)
        self.fc1 = nn.Conv2d(channels, squeezed, kernel_size=1)
        self.fc2 = nn.Conv2d(squeezed, channels, kernel_size=1)
        self.scale = nn.Hardsigmoid()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.scale(self.fc2(torch.relu(self.fc1(x.mean(dim=(2, 3), keepdim=True)))))


def _divisible(channels: float, divisor: int = 8) -> int:
    """The nearest multiple of ``divisor``, or the next one if the nearest is more than 10 % smaller."""
    nearest = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return nearest if nearest >= 0.9 * channels else nearest + divisor


def _unit(
    in_channels: int,
    out_channels: int,
    kernel_size: int,
    act: type[nn.Module] | None,
    stride: int = 1,
    groups: int = 1,
    fused: bool = False,
) -> nn.Sequential:
    """Convolution -> batch norm -> activation, which is left out for None."""
    unit = nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel_size, stride, kernel_size // 2, groups=groups, bias=fused)
    )
    if not fused:
        unit.append(nn.BatchNorm2d(out_channels, eps=1e-3, momentum=0.01))
    if act is not None:
        unit.append(act(inplace=True))
    return unit
