"""EGE-UNet, a very small U-Net of product attention whose gates see where the network already finds the object."""

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

__all__ = ["EGEUNet"]

_DILATIONS = (1, 2, 5, 7)
_FACTORS = 8  # positions along an axis at which the factors of a product attention are learned
_EPSILON = 1e-6  # of layer norms


class EGEUNet(Network):
    """EGE-UNet: a U-Net of plain convolutions down to 1/8 of the resolution and of product attention below.

    A level is a block -> group norm -> max pooling or bilinear upsampling -> GELU. Blocks at 1/8 and below are a
    product attention (GHPA): four groups of channels, of which three are multiplied by factors that are learned, for
    every position, row and column, and stretched to the size of the map. On the way up every level predicts a mask. A
    gate (GAB) joins the mask, the skip of the level and what the gate below gave, and its output is **added**.

    Args:
        spatial_dims: 2; the paper has no other form.
        in_channels: channels of the input image.
        out_channels: channels of the output, and of every mask.
        channels: channels of the levels at 1/2, 1/4, 1/8, 1/16 and 1/32 of the resolution and of the bottleneck, which
            is at 1/32 too; multiples of 4.
        deep_supervision: give the masks too in training, for ``monai.losses.DeepSupervisionLoss``.
        dropout: probability of dropping a channel after each level; the paper has none.

    Shape:
        Input ``(B, in_channels, H, W)``, each spatial size a multiple of ``size_multiple`` = 32; output logits
        ``(B, out_channels, H, W)``, with no sigmoid or softmax applied. In training with ``deep_supervision`` a list of
        them, all of that shape: first the network's, then its masks, lowest resolution first.

    Raises:
        ValueError: if an argument is invalid, or the input has other dimensions, channels or sizes than
            the network takes.

    Source:
        Ruan et al., EGE-UNet, MICCAI 2023, arXiv 2307.08473, and its code. It ends in sigmoids, and its masks have one
        channel whatever the number of classes. The published loss weights the masks by 0.1, 0.2, 0.3, 0.4 and 0.5.

    Example:
        >>> network = EGEUNet(deep_supervision=True).eval()
        >>> network(torch.zeros(1, 3, 64, 96)).shape
        torch.Size([1, 1, 64, 96])
        >>> len(network.train()(torch.zeros(1, 3, 64, 96)))
        6
    """

    label_parts = ("mask_heads.", "gates.")

    def __init__(
        self,
        spatial_dims: int = 2,
        in_channels: int = 3,
        out_channels: int = 1,
        channels: Sequence[int] = (8, 16, 24, 32, 48, 64),
        deep_supervision: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        check_2d("EGE-UNet", spatial_dims)
        check_arguments(spatial_dims, dropout, in_channels=in_channels, out_channels=out_channels)
        check_widths(channels, POOLED + 1, divisor=GROUPS)
        self.spatial_dims = spatial_dims
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.channels = list(channels)
        self.deep_supervision = deep_supervision
        self.dropout = dropout
        self.size_multiple = 2**POOLED
        self.normalised = "instance" if channels[-2] == GROUPS else ""  # a channel a group at the lowest resolution

        a, b, c, d, e, f = channels
        self.encoders = levels_down(in_channels, channels, _ProductAttention, dropout)
        self.bottleneck = nn.Sequential(_ProductAttention(e, f), nn.GELU(), nn.Dropout2d(dropout))
        self.decoders = levels_up(channels, _ProductAttention, dropout)
        self.mask_heads = nn.ModuleList(nn.Conv2d(width, out_channels, kernel_size=1) for width in (e, d, c, b, a))
        self.gates = nn.ModuleList(_Gate(*widths, out_channels) for widths in ((f, e), (e, d), (d, c), (c, b), (b, a)))
        self.upsample = interpolation(2)
        self.head = nn.Conv2d(a, out_channels, kernel_size=1)
        initialise_by_outputs(self)

    def forward(self, x: torch.Tensor) -> torch.Tensor | list[torch.Tensor]:
        check_input(x, self.spatial_dims, self.in_channels, self.size_multiple, self.normalised)
        skips = []
        for encoder in self.encoders:
            x = encoder(x)
            skips.append(x)
        x = self.bottleneck(x)
        gated, masks = x, []
        for decoder, mask_head, gate in zip(self.decoders, self.mask_heads, self.gates):  # noqa: B905, as TorchScript
            x = decoder(x)
            mask = mask_head(x)
            gated = gate(gated, skips.pop(), mask)
            x = x + gated
            masks.append(mask)
        logits = self.upsample(self.head(x))
        if not (self.training and self.deep_supervision):
            return logits
        all_logits = [logits]
        for mask in masks:
            all_logits.append(_stretch(mask, logits.shape[2:]))
        return all_logits

    def deployed_form(self) -> EGEUNet:
        """The same network without deep supervision; group norms and layer norms depend on the image and stay."""
        form = self.rebuild(deep_supervision=False, dropout=0.0).to(next(self.parameters()))
        form.load_state_dict(self.state_dict())
        return form


class _ProductAttention(nn.Module):
    """GHPA: groups of channels are multiplied by factors for positions, rows and columns; the last is convolved."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.quarter = quarter = in_channels // GROUPS
        self.norm = _ChannelNorm(in_channels)
        self.positions = nn.Parameter(torch.ones(1, quarter, _FACTORS, _FACTORS))
        self.rows = nn.Parameter(torch.ones(1, 1, quarter, _FACTORS))
        self.columns = nn.Parameter(torch.ones(1, 1, quarter, _FACTORS))
        self.of_positions = nn.Sequential(depthwise(quarter), nn.GELU(), nn.Conv2d(quarter, quarter, kernel_size=1))
        self.of_rows = _along_axis(quarter)
        self.of_columns = _along_axis(quarter)
        self.local = nn.Sequential(nn.Conv2d(quarter, quarter, kernel_size=1), nn.GELU(), depthwise(quarter))
        self.joined_norm = _ChannelNorm(in_channels)
        self.output = nn.Sequential(
            depthwise(in_channels), nn.GELU(), nn.Conv2d(in_channels, out_channels, kernel_size=1)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        by_positions, by_rows, by_columns, rest = torch.chunk(self.norm(x), 4, dim=1)
        rows = _stretch(self.rows, [self.quarter, x.shape[2]])[0]  # (1, C / 4, H)
        columns = _stretch(self.columns, [self.quarter, x.shape[3]])[0]
        joined = [
            by_positions * self.of_positions(_stretch(self.positions, x.shape[2:])),
            by_rows * self.of_rows(rows)[:, :, :, None],
            by_columns * self.of_columns(columns)[:, :, None, :],
            self.local(rest),
        ]
        return self.output(self.joined_norm(torch.cat(joined, dim=1)))


class _Gate(nn.Module):
    """GAB: groups of channels from below and of the skip, each with the mask and a dilation of its own."""

    def __init__(self, channels_below: int, channels: int, mask_channels: int) -> None:
        super().__init__()
        width = channels // 2 + mask_channels
        self.project = nn.Conv2d(channels_below, channels, kernel_size=1)
        self.groups = nn.ModuleList(
            nn.Sequential(_ChannelNorm(width), depthwise(width, dilation=dilation)) for dilation in _DILATIONS
        )
        self.output = nn.Sequential(_ChannelNorm(GROUPS * width), nn.Conv2d(GROUPS * width, channels, kernel_size=1))

    def forward(self, below: torch.Tensor, skip: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        projected = torch.chunk(_stretch(self.project(below), skip.shape[2:]), 4, dim=1)
        skips = torch.chunk(skip, 4, dim=1)
        joined = [group(torch.cat([projected[k], skips[k], mask], dim=1)) for k, group in enumerate(self.groups)]
        return self.output(torch.cat(joined, dim=1))


class _ChannelNorm(nn.LayerNorm):
    """A layer norm over the channels of every position of ``(B, C, H, W)``."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=_EPSILON)

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        x = F.layer_norm(input.permute(0, 2, 3, 1), self.normalized_shape, self.weight, self.bias, self.eps)
        return x.permute(0, 3, 1, 2)


def _along_axis(channels: int) -> nn.Sequential:
    """Make factors along an axis, ``(1, C, N)``, from the learned ones."""
    return nn.Sequential(
        nn.Conv1d(channels, channels, kernel_size=3, padding=1, groups=channels),
        nn.GELU(),
        nn.Conv1d(channels, channels, kernel_size=1),
    )


def _stretch(x: torch.Tensor, size: list[int]) -> torch.Tensor:
    """Resize a map to a height and a width; the corners stay where they are."""
    return F.interpolate(x, size, mode="bilinear", align_corners=True)
