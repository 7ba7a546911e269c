"""Layers that the light networks for pictures share: MALUNet and EGE-UNet, UNeXt and U-KAN."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

__all__ = ["GROUPS", "Level", "PatchEmbedding", "conv3", "depthwise"]

GROUPS = 4  # of the channels in a group norm, and in a block


class Level(nn.Module):
    """A block -> group norm -> pooling or upsampling -> GELU -> dropout.

    Args:
        block: what the level computes.
        channels: that come out of the block.
        resize: the pooling or upsampling; None: the level keeps the resolution.
        dropout: probability of dropping a channel.
    """

    def __init__(self, block: nn.Module, channels: int, resize: nn.Module | None, dropout: float) -> None:
        super().__init__()
        self.block = block
        self.norm = nn.GroupNorm(GROUPS, channels)
        self.resize = nn.Identity() if resize is None else resize
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


def conv3(in_channels: int, out_channels: int) -> nn.Conv2d:
    """A convolution with kernel 3 that keeps the resolution."""
    return nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1)


def depthwise(channels: int, kernel_size: int = 3, dilation: int = 1) -> nn.Conv2d:
    """A depthwise convolution that keeps the resolution."""
    padding = dilation * (kernel_size // 2)
    return nn.Conv2d(channels, channels, kernel_size, padding=padding, dilation=dilation, groups=channels)
