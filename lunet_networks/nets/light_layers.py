"""What MALUNet and EGE-UNet share: layers, and their levels on the way down and up."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import nn

from lunet_networks.nets.layers import interpolation

__all__ = ["GROUPS", "POOLED", "depthwise", "levels_down", "levels_up"]

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


def _conv3(in_channels: int, out_channels: int) -> nn.Conv2d:
    """A convolution with kernel 3 that keeps the resolution."""
    return nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1)


def depthwise(channels: int, kernel_size: int = 3, dilation: int = 1) -> nn.Conv2d:
    """A depthwise convolution that keeps the resolution."""
    padding = dilation * (kernel_size // 2)
    return nn.Conv2d(channels, channels, kernel_size, padding=padding, dilation=dilation, groups=channels)
