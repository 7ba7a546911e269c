"""What light networks for pictures share: the levels of MALUNet and EGE-UNet, and UNeXt's and U-KAN's way to halve."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import nn

from lunet_networks.nets.layers import interpolation

__all__ = ["GROUPS", "POOLED", "PatchEmbedding", "depthwise", "levels_down", "levels_up"]

GROUPS = 4  # of the channels in a group norm, and in a block
POOLED = 5  # levels behind a max pooling; the bottleneck has none

BlockOf = Callable[[int, int], nn.Module]  # of channels in and out


def levels_down(in_channels: int, channels: Sequence[int], block: BlockOf, dropout: float) -> nn.ModuleList:
    """The levels from 1/2 to 1/32 of the resolution: three plain convolutions, then two blocks.

    Args:
        in_channels: channels of the input image.
        channels: channels of the levels and of the bottleneck.
        block: makes a block.
        dropout: probability of dropping a channel.
    """
    a, b, c, d, e, _ = channels
    blocks = (_conv3(in_channels, a), _conv3(a, b), _conv3(b, c), block(c, d), block(d, e))
    return nn.ModuleList(
        _Level(made, width, nn.MaxPool2d(2), dropout) for made, width in zip(blocks, (a, b, c, d, e), strict=True)
    )


def levels_up(channels: Sequence[int], block: BlockOf, dropout: float) -> nn.ModuleList:
    """The levels that lead back from the bottleneck to 1/2 of the resolution: three blocks, then two plain
    convolutions. The first keeps the resolution, as the bottleneck does. The arguments are as above."""
    a, b, c, d, e, f = channels
    blocks = (block(f, e), block(e, d), block(d, c), _conv3(c, b), _conv3(b, a))
    resizes = (nn.Identity(), *(interpolation(2) for _ in range(POOLED - 1)))
    return nn.ModuleList(
        _Level(made, width, resize, dropout)
        for made, width, resize in zip(blocks, (e, d, c, b, a), resizes, strict=True)
    )


class _Level(nn.Module):
    """A block -> group norm -> pooling or upsampling -> GELU -> dropout.

    Args:
        block: what the level computes.
        channels: that come out of the block.
        resize: the pooling or upsampling, or nothing.
        dropout: probability of dropping a channel.
    """

    def __init__(self, block: nn.Module, channels: int, resize: nn.Module, dropout: float) -> None:
        super().__init__()
        self.block = block
        self.norm = nn.GroupNorm(GROUPS, channels)
        self.resize = resize
        self.dropout = nn.Dropout2d(dropout)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.dropout(F.gelu(self.resize(self.norm(self.block(x)))))


class PatchEmbedding(nn.Module):
    """Halve the resolution with a strided convolution, and normalise every position over its channels."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size=3, stride=2, padding=1)
        self.norm = nn.LayerNorm(out_channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(self.conv(x).permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


def _conv3(in_channels: int, out_channels: int) -> nn.Conv2d:
    """A convolution with kernel 3 that keeps the resolution."""
    return nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1)


def depthwise(channels: int, kernel_size: int = 3, dilation: int = 1) -> nn.Conv2d:
    """A depthwise convolution that keeps the resolution."""
    padding = dilation * (kernel_size // 2)
    return nn.Conv2d(channels, channels, kernel_size, padding=padding, dilation=dilation, groups=channels)
