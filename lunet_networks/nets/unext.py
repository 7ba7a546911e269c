"""UNeXt, a small U-Net whose deepest levels mix shifted tokens by linear layers."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn

from lunet_networks.nets.checks import check_2d, check_arguments, check_input, check_widths
from lunet_networks.nets.fusing import fuse_norms
from lunet_networks.nets.initialising import initialise_by_outputs
from lunet_networks.nets.network import Network

__all__ = ["UNeXt"]

_LEVELS = 5


class UNeXt(Network):
    """UNeXt: a U-Net of single convolutions, with blocks of shifted linear layers at 1/16 and 1/32 of the resolution.

    On the way down convolution (kernel 3) -> batch norm -> max pooling -> ReLU to 1/8, then twice an overlapping patch
    embedding, which is a strided convolution and a layer norm, and a shifted block. On the way up convolution ->
    batch norm -> bilinear upsampling -> ReLU, to which the skip is **added**; shifted blocks at 1/16 and 1/8. A shifted
    block is a layer norm, a linear layer, a depthwise convolution, a GELU and a linear layer, with a residual. Before
    each linear layer the channels move by up to two positions, along the height and along the width.

    Args:
        spatial_dims: 2; the paper has no other form.
        in_channels: channels of the input image.
        out_channels: channels of the output.
        channels: channels of the levels at 1/2, 1/4, 1/8, 1/16 and 1/32 of the resolution.
        dropout: probability of dropping a channel after each activation; the paper has none.
        deployed: the form of :py:func:`lunet_networks.deploy`, without batch norms and dropout.

    Shape:
        Input ``(B, in_channels, H, W)``, each spatial size a multiple of ``size_multiple`` = 32; output logits
        ``(B, out_channels, H, W)``, with no sigmoid or softmax applied.

    Raises:
        ValueError: if an argument is invalid, or the input has other dimensions, channels or sizes than
            the network takes.

    Source:
        Valanarasu and Patel, UNeXt, MICCAI 2022, arXiv 2203.04967, and its code.

    Example:
        >>> network = UNeXt().eval()
        >>> network(torch.zeros(1, 3, 64, 96)).shape
        torch.Size([1, 1, 64, 96])
    """

    def __init__(
        self,
        spatial_dims: int = 2,
        in_channels: int = 3,
        out_channels: int = 1,
        channels: Sequence[int] = (16, 32, 128, 160, 256),
        dropout: float = 0.0,
        deployed: bool = False,
    ) -> None:
        super().__init__()
        check_2d("UNeXt", spatial_dims)
        check_arguments(spatial_dims, dropout, in_channels=in_channels, out_channels=out_channels)
        check_widths(channels, _LEVELS)
        self.spatial_dims = spatial_dims
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.channels = list(channels)
        self.dropout = dropout
        self.deployed = deployed
        self.size_multiple = 2**_LEVELS

        a, b, c, d, e = channels
        down = [_Unit(*widths, nn.MaxPool2d(2), dropout, deployed) for widths in ((in_channels, a), (a, b), (b, c))]
        self.encoders = nn.ModuleList(down)
        self.embeddings = nn.ModuleList(_PatchEmbedding(*widths) for widths in ((c, d), (d, e)))
        self.token_encoders = nn.ModuleList(_TokenLevel(width, dropout) for width in (d, e))
        self.decoders = nn.ModuleList(_up(*widths, dropout, deployed) for widths in ((e, d), (d, c), (c, b), (b, a)))
        self.decoders.append(_up(a, a, dropout, deployed, normalised=False))
        self.token_decoders = nn.ModuleList(_TokenLevel(width, dropout) for width in (d, c))
        self.token_decoders.extend(nn.Identity() for _ in range(len(self.decoders) - 2))
        self.head = nn.Conv2d(a, out_channels, kernel_size=1)
        for part in (self.embeddings, self.token_encoders, self.token_decoders):
            initialise_by_outputs(part)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        normalised = "batch" if self.training and not self.deployed else ""
        check_input(x, self.spatial_dims, self.in_channels, self.size_multiple, normalised)
        skips = []
        for encoder in self.encoders:
            x = encoder(x)
            skips.append(x)
        for embedding, tokens in zip(self.embeddings, self.token_encoders):  # noqa: B905, TorchScript knows no strict=
            x = tokens(embedding(x))
            skips.append(x)
        x = skips.pop()
        for decoder, tokens in zip(self.decoders, self.token_decoders):  # noqa: B905
            x = decoder(x)
            if len(skips) > 0:
                x = x + skips.pop()
            x = tokens(x)
        return self.head(x)

    def deployed_form(self) -> UNeXt:
        """The same network with its batch norms fused; layer norms depend on the image and stay."""
        return fuse_norms(self, self.rebuild(dropout=0.0, deployed=True))


class _Unit(nn.Module):
    """Convolution with kernel 3 -> batch norm -> pooling or upsampling -> ReLU -> dropout."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        resize: nn.Module,
        dropout: float,
        deployed: bool,
        normalised: bool = True,
    ) -> None:
        super().__init__()
        self.conv = nn.Sequential(nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1))
        if normalised and not deployed:
            self.conv.append(nn.BatchNorm2d(out_channels))
        self.resize = resize
        self.dropout = nn.Dropout2d(dropout)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.dropout(torch.relu(self.resize(self.conv(x))))


def _up(in_channels: int, out_channels: int, dropout: float, deployed: bool, normalised: bool = True) -> _Unit:
    upsample = nn.Upsample(scale_factor=2, mode="bilinear")
    return _Unit(in_channels, out_channels, upsample, dropout, deployed, normalised)


class _PatchEmbedding(nn.Module):
    """Halve the resolution with a strided convolution, and normalise every position over its channels."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size=3, stride=2, padding=1)
        self.norm = nn.LayerNorm(out_channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(self.conv(x).permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class _TokenLevel(nn.Module):
    """A shifted block and a layer norm. Tokens are the positions of the map, with their channels as the last axis."""

    def __init__(self, channels: int, dropout: float) -> None:
        super().__init__()
        self.block = _ShiftedBlock(channels, dropout)
        self.norm = nn.LayerNorm(channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(self.block(x.permute(0, 2, 3, 1))).permute(0, 3, 1, 2)


class _ShiftedBlock(nn.Module):
    """Shift along the height, linear layer, depthwise convolution, GELU, shift along the width, linear layer; the input
    ``(B, H, W, C)`` is added."""

    def __init__(self, channels: int, dropout: float) -> None:
        super().__init__()
        self.groups = _groups(channels)
        self.norm = nn.LayerNorm(channels)
        self.linear_height = nn.Linear(channels, channels)
        self.depthwise = nn.Conv2d(channels, channels, kernel_size=3, padding=1, groups=channels)
        self.dropout = nn.Dropout2d(dropout)
        self.linear_width = nn.Linear(channels, channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.linear_height(_shift(self.norm(x), 1, self.groups))
        y = self.dropout(F.gelu(self.depthwise(y.permute(0, 3, 1, 2)))).permute(0, 2, 3, 1)
        return x + self.linear_width(_shift(y, 2, self.groups))


def _groups(channels: int) -> list[int]:
    """Channels of each of the five groups that are shifted; few channels make fewer groups."""
    largest = (channels + 4) // 5
    return [min(largest, channels - first) for first in range(0, channels, largest)]


def _shift(x: torch.Tensor, axis: int, groups: list[int]) -> torch.Tensor:
    """Move groups of the channels of ``(B, H, W, C)`` by -2, -1, 0, 1 and 2 positions along an axis; zeros move in."""
    padded = F.pad(x, [0, 0, 0, 0, 2, 2] if axis == 1 else [0, 0, 2, 2])
    parts = torch.split(padded, groups, dim=3)
    return torch.cat([part.narrow(axis, 4 - k, x.shape[axis]) for k, part in enumerate(parts)], dim=3)
