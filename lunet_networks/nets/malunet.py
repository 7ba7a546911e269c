"""MALUNet, a small U-Net of dilated gates and external attention whose skips know of each other."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn

from lunet_networks.nets.checks import check_2d, check_arguments, check_input, check_widths
from lunet_networks.nets.initialising import initialise_by_outputs
from lunet_networks.nets.layers import interpolation
from lunet_networks.nets.light_layers import GROUPS, POOLED, depthwise, levels_down, levels_up
from lunet_networks.nets.network import Network

__all__ = ["MALUNet"]

_DILATIONS = (7, 5, 2, 1)
_MEMORY = 4  # rows of an external memory, as a multiple of the channels


class MALUNet(Network):
    """MALUNet: a U-Net of plain convolutions down to 1/8 of the resolution and of attention below.

    A level is a block -> group norm -> max pooling or bilinear upsampling -> GELU; skips are **added**. Blocks at 1/8
    and below are a dilated gate (DGA: four groups of channels with four dilations, then a gated unit) and an external
    attention (EA: two small memories that are learned). A bridge rescales all skips: each by a gate for its positions,
    with one convolution for all skips, then by gates for its channels that follow from the means of all skips.

    Args:
        spatial_dims: 2; the paper has no other form.
        in_channels: channels of the input image.
        out_channels: channels of the output.
        channels: channels of the levels at 1/2, 1/4, 1/8, 1/16 and 1/32 of the resolution and of the bottleneck, which
            is at 1/32 too; multiples of 4.
        dropout: probability of dropping a channel after each level; the paper has none.

    Shape:
        Input ``(B, in_channels, H, W)``, each spatial size a multiple of ``size_multiple`` = 32; output logits
        ``(B, out_channels, H, W)``, with no sigmoid or softmax applied.

    Raises:
        ValueError: if an argument is invalid, or the input has other dimensions, channels or sizes than
            the network takes.

    Source:
        Ruan et al., MALUNet, BIBM 2022, arXiv 2211.01784, and its code. It ends in a sigmoid. Its two memories of an
        external attention share their storage until the network moves to a GPU; here they start equal, one the
        transpose of the other, and are two parameters from then on. The bias of a query has no effect, as a softmax
        takes it back out, and is kept for the published weights.

    Example:
        >>> network = MALUNet().eval()
        >>> network(torch.zeros(1, 3, 64, 96)).shape
        torch.Size([1, 1, 64, 96])
    """

    def __init__(
        self,
        spatial_dims: int = 2,
        in_channels: int = 3,
        out_channels: int = 1,
        channels: Sequence[int] = (8, 16, 24, 32, 48, 64),
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        check_2d("MALUNet", spatial_dims)
        check_arguments(spatial_dims, dropout, in_channels=in_channels, out_channels=out_channels)
        check_widths(channels, POOLED + 1, divisor=GROUPS)
        self.spatial_dims = spatial_dims
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.channels = list(channels)
        self.dropout = dropout
        self.size_multiple = 2**POOLED
        self.normalised = "instance" if GROUPS in channels[-2:] else ""  # a channel a group at the lowest resolution

        self.encoders = levels_down(in_channels, channels, _attend_then_gate, dropout)
        self.spatial_gate = _SpatialGate()
        self.mixing = nn.Conv1d(1, 1, kernel_size=3, padding=1, bias=False)
        pooled = channels[:POOLED]
        self.channel_gates = nn.ModuleList(nn.Linear(sum(pooled), width) for width in pooled)
        self.bottleneck = _attend_then_gate(*channels[-2:]).extend((nn.GELU(), nn.Dropout2d(dropout)))
        self.decoders = levels_up(channels, _gate_then_attend, dropout)
        self.upsample = interpolation(2)
        self.head = nn.Conv2d(channels[0], out_channels, kernel_size=1)
        initialise_by_outputs(self)
        for module in self.modules():
            if isinstance(module, _ExternalAttention):
                module.tie()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        check_input(x, self.spatial_dims, self.in_channels, self.size_multiple, self.normalised)
        skips = []
        for encoder in self.encoders:
            x = encoder(x)
            skips.append(x)
        x = self.bottleneck(x)
        skips = self._bridge(skips)
        for decoder in self.decoders:
            x = decoder(x) + skips.pop()
        return self.upsample(self.head(x))

    def _bridge(self, skips: list[torch.Tensor]) -> list[torch.Tensor]:
        """The skips, rescaled by what is in all of them."""
        gated = [self.spatial_gate(x) for x in skips]
        added = [gated[k] + x for k, x in enumerate(skips)]
        means = torch.cat([x.mean(dim=(2, 3)) for x in added], dim=1)
        means = self.mixing(means[:, None])[:, 0]
        bridged = []
        for k, gate in enumerate(self.channel_gates):
            bridged.append(torch.sigmoid(gate(means))[:, :, None, None] * added[k] + gated[k])
        return bridged


def _attend_then_gate(in_channels: int, out_channels: int) -> nn.Sequential:
    return nn.Sequential(_ExternalAttention(in_channels), _DilatedGate(in_channels, out_channels))


def _gate_then_attend(in_channels: int, out_channels: int) -> nn.Sequential:
    return nn.Sequential(_DilatedGate(in_channels, out_channels), _ExternalAttention(out_channels))


class _DilatedGate(nn.Module):
    """DGA: four groups of channels, each with its own dilation, are mixed, and a gated unit changes their number."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.dilated = nn.ModuleList(depthwise(in_channels // GROUPS, dilation=dilation) for dilation in _DILATIONS)
        self.norm = nn.GroupNorm(GROUPS, in_channels)
        self.conv = nn.Conv2d(in_channels, in_channels, kernel_size=1)
        self.gate = _separable(in_channels, in_channels, kernel_size=3)
        self.value = _separable(in_channels, in_channels, kernel_size=5)
        self.output = _separable(in_channels, out_channels, kernel_size=3)
        self.shortcut = nn.Conv2d(in_channels, out_channels, kernel_size=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        groups = torch.chunk(x, 4, dim=1)
        x = torch.cat([conv(groups[k]) for k, conv in enumerate(self.dilated)], dim=1)
        x = F.gelu(self.conv(self.norm(x)))
        gated = torch.sigmoid(self.gate(x)) * F.gelu(self.value(x))
        return F.gelu(self.output(gated)) + self.shortcut(x)


def _separable(in_channels: int, out_channels: int, kernel_size: int) -> nn.Sequential:
    """Depthwise convolution -> group norm -> 1 x 1 convolution."""
    return nn.Sequential(
        depthwise(in_channels, kernel_size),
        nn.GroupNorm(GROUPS, in_channels),
        nn.Conv2d(in_channels, out_channels, kernel_size=1),
    )


class _ExternalAttention(nn.Module):
    """EA: every position looks up two memories, which are weights; the input is added."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.query = nn.Conv2d(channels, channels, kernel_size=1)
        self.keys = nn.Conv1d(channels, _MEMORY * channels, kernel_size=1, bias=False)
        self.values = nn.Conv1d(_MEMORY * channels, channels, kernel_size=1, bias=False)
        self.project = nn.Conv2d(channels, channels, kernel_size=1, bias=False)
        self.norm = nn.GroupNorm(GROUPS, channels)

    def tie(self) -> None:
        """Let the memory of keys start as the transpose of that of values."""
        self.keys.weight.data.copy_(self.values.weight.data.transpose(0, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        attention = torch.softmax(self.keys(self.query(x).flatten(2)), dim=2)  # over the positions
        attention = attention / (1e-9 + attention.sum(dim=1, keepdim=True))
        y = self.values(attention).view(x.shape)
        return F.gelu(self.norm(self.project(y)) + x)


class _SpatialGate(nn.Module):
    """Scale every position by what the mean and the maximum of the channels around it say."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 1, kernel_size=7, padding=9, dilation=3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        extremes = torch.cat([x.mean(dim=1, keepdim=True), x.amax(dim=1, keepdim=True)], dim=1)
        return torch.sigmoid(self.conv(extremes)) * x
