"""Attention U-Net, whose skips are weighted by what comes from below."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from lunet_networks.nets.checks import check_arguments, check_channels, check_input
from lunet_networks.nets.fast_layers import use_fast_layers
from lunet_networks.nets.fusing import fuse_units
from lunet_networks.nets.layers import BlockMaker, conv_unit, pointwise, pooling
from lunet_networks.nets.network import Network

__all__ = ["AttentionUNet"]


class AttentionUNet(Network):
    """Attention U-Net in the form that most comparisons of 2D networks use.

    A U-Net of blocks of two units of convolution (kernel 3) -> batch norm -> ReLU. On the way up the map is doubled to
    the nearest neighbour and convolved by a unit to the channels of the level. With it a gate weights each pixel of the
    skip: 1 x 1 convolutions of both with batch norms, their sum, ReLU, 1 x 1 convolution to a single channel, batch
    norm, sigmoid. The decoder block takes the concatenation ``[weighted skip, upsampled]``.

    Args:
        spatial_dims: 2 or 3.
        in_channels: channels of the input image.
        out_channels: channels of the output.
        channels: channels of each level, full resolution first.
        dropout: probability of dropping a channel after each unit; the published code has none.
        deployed: the form of :py:func:`lunet_networks.deploy`, which only predicts.

    Shape:
        Input ``(B, in_channels, [D,] H, W)``, each spatial size a multiple of ``size_multiple`` = 2 to the number of
        levels less one; output logits ``(B, out_channels, [D,] H, W)``, with no sigmoid or softmax applied.

    Raises:
        ValueError: if an argument is invalid, or the input has other dimensions, channels or sizes than
            the network takes.

    Source:
        Oktay et al., Attention U-Net, MIDL 2018, arXiv 1804.03999, in the layout of LeeJunHyun's code, whose gates see
        both maps at the same resolution and stand at every level.

    Example:
        >>> network = AttentionUNet(channels=(8, 16, 32)).eval()
        >>> network(torch.zeros(1, 3, 64, 96)).shape
        torch.Size([1, 1, 64, 96])
    """

    def __init__(
        self,
        spatial_dims: int = 2,
        in_channels: int = 3,
        out_channels: int = 1,
        channels: Sequence[int] = (32, 64, 128, 256, 512),
        dropout: float = 0.0,
        deployed: bool = False,
    ) -> None:
        super().__init__()
        check_arguments(spatial_dims, dropout, in_channels=in_channels, out_channels=out_channels)
        check_channels(channels)
        self.spatial_dims = spatial_dims
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.channels = list(channels)
        self.dropout = dropout
        self.deployed = deployed
        self.size_multiple = 2 ** (len(channels) - 1)

        make_block = BlockMaker(spatial_dims, dropout, None, "NDA", deployed)
        inputs = [in_channels, *channels[:-1]]
        self.encoders = nn.ModuleList(make_block(f"encoders.{i}", inputs[i], c, 2) for i, c in enumerate(channels))
        self.pool = pooling(spatial_dims)
        self.upsample = nn.Upsample(scale_factor=2, mode="nearest")
        self.narrowings, self.gates, self.decoders = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        for k, level in enumerate(reversed(range(len(channels) - 1))):
            width = channels[level]
            self.narrowings.append(make_block(f"narrowings.{k}", channels[level + 1], width, 1))
            self.gates.append(_Gate(spatial_dims, width, deployed))
            self.decoders.append(make_block(f"decoders.{k}", 2 * width, width, 2))
        self.head = pointwise(spatial_dims, channels[0], out_channels)
        use_fast_layers(self)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        check_input(x, self.spatial_dims, self.in_channels, self.size_multiple, "batch" if self.training else "")
        skips: list[torch.Tensor] = []
        for encoder in self.encoders:
            x = encoder([self.pool(x) if len(skips) > 0 else x])
            skips.append(x)
        x = skips.pop()
        for narrowing, gate, decoder in zip(self.narrowings, self.gates, self.decoders):  # noqa: B905, TorchScript
            x = narrowing([self.upsample(x)])
            x = decoder([gate(x, skips.pop()), x])
        return self.head(x)

    def deployed_form(self) -> AttentionUNet:
        """The same network with its batch norms fused."""
        return fuse_units(self, self.rebuild(dropout=0.0, deployed=True))


class _Gate(nn.Module):
    """Weight the pixels of a skip by what it has in common with the map from below."""

    def __init__(self, spatial_dims: int, channels: int, deployed: bool) -> None:
        super().__init__()
        inside = max(1, channels // 2)
        form = {"dropout": None, "adn_ordering": "N", "deployed": deployed, "kernel_size": 1}
        self.of_map = conv_unit(spatial_dims, channels, inside, **form)
        self.of_skip = conv_unit(spatial_dims, channels, inside, **form)
        self.weight = conv_unit(spatial_dims, inside, 1, **form)

    def forward(self, x: torch.Tensor, skip: torch.Tensor) -> torch.Tensor:
        joined = torch.relu(self.of_map([x]) + self.of_skip([skip]))
        return skip * torch.sigmoid(self.weight([joined]))
