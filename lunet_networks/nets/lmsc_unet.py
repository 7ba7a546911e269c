"""LMSC-UNet, a small U-Net of inverted bottlenecks with a residual block on one of its skips."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import partial
from itertools import pairwise

import torch
from torch import nn

from lunet_networks.nets.checks import check_arguments, check_channels, check_input
from lunet_networks.nets.fast_layers import use_fast_layers
from lunet_networks.nets.fusing import fuse_units
from lunet_networks.nets.layers import Block, BlockMaker, conv_unit, pointwise, pooling, upsampling
from lunet_networks.nets.network import Network

__all__ = ["LMSCUNet"]

_unit = partial(conv_unit, dropout=None, adn_ordering="NA", bias=False)  # of all blocks with 1 x 1 convolutions


class LMSCUNet(Network):
    """LMSC-UNet: a U-Net whose deeper levels are single MobileNetV2 blocks and whose skips may hold a bottleneck
    residual block (BRB).

    Full resolution has two units of convolution (kernel 3) -> batch norm -> ReLU. Each deeper level, the bridge
    included, is max pooling and one inverted bottleneck: 1 x 1 convolution to ``expansion_ratio`` times as many
    channels, depthwise convolution (kernel 3), 1 x 1 convolution; the last has no ReLU. On the way up a transposed
    convolution, the concatenation ``[upsampled, skip]`` and two units. A BRB narrows a skip to a quarter of its
    channels, convolves it (kernel 3), widens it again and adds it to its projection.

    Args:
        spatial_dims: 2 or 3.
        in_channels: channels of the input image.
        out_channels: channels of the output.
        channels: channels of each level, full resolution first, the bridge last.
        expansion_ratio: factor by which an inverted bottleneck widens between its 1 x 1 convolutions.
        brb_levels: levels whose skip holds a BRB; 1 is full resolution. The paper settles on level 2.
        dropout: probability of dropping a channel after each unit; the paper has none.
        deployed: the form of :py:func:`lunet_networks.deploy`, which only predicts.

    Shape:
        Input ``(B, in_channels, [D,] H, W)``, each spatial size a multiple of ``size_multiple`` = 2 to the number of
        levels less one; output logits ``(B, out_channels, [D,] H, W)``, with no sigmoid or softmax applied.

    Raises:
        ValueError: if an argument is invalid, or the input has other dimensions, channels or sizes than
            the network takes.

    Source:
        LMSC-UNet, ICAART 2025, and its tables of parameters and multiply-accumulates. No code is published, and the
        text leaves the following open. It is inferred from those tables, and reproduces all of their parameters and,
        except for a rounding, all of their operations: widths of 32, 64, 128 and a bridge of 256; one inverted
        bottleneck per level, of ratio 2, without bias and with no residual connection, as the width always changes;
        pooling in front of it, not a stride in it; transposed convolutions, with bias, as are the units; and the 1 x 1
        projection with batch norm in the BRB, of which the text says "a residual connection" only (the sizes in
        another table of the paper would fit an identity better). Weights are initialised after He, as stated; biases
        are set to zero.

    Example:
        >>> import torch
        >>> network = LMSCUNet().eval()
        >>> network(torch.zeros(1, 3, 64, 96)).shape
        torch.Size([1, 1, 64, 96])
    """

    def __init__(
        self,
        spatial_dims: int = 2,
        in_channels: int = 3,
        out_channels: int = 1,
        channels: Sequence[int] = (32, 64, 128, 256),
        expansion_ratio: int = 2,
        brb_levels: Collection[int] = (2,),
        dropout: float = 0.0,
        deployed: bool = False,
    ) -> None:
        super().__init__()
        check_arguments(
            spatial_dims,
            dropout,
            in_channels=in_channels,
            out_channels=out_channels,
            expansion_ratio=expansion_ratio,
        )
        check_channels(channels)
        _check_brb_levels(brb_levels, channels)
        self.spatial_dims = spatial_dims
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.channels = list(channels)
        self.expansion_ratio = expansion_ratio
        self.brb_levels = sorted(brb_levels)
        self.dropout = dropout
        self.deployed = deployed
        self.size_multiple = 2 ** (len(channels) - 1)

        make_block = BlockMaker(spatial_dims, dropout, None, "NDA", deployed)
        deeper_blocks = [
            _inverted_bottleneck(spatial_dims, *widths, expansion_ratio, deployed) for widths in pairwise(channels)
        ]
        self.encoders = nn.ModuleList([make_block("encoders.0", in_channels, channels[0], 2), *deeper_blocks[:-1]])
        self.skips = nn.ModuleList()
        for level, width in enumerate(channels[:-1], start=1):
            self.skips.append(
                _ResidualBottleneck(spatial_dims, width, deployed) if level in brb_levels else nn.Identity()
            )
        self.pool = pooling(spatial_dims)
        self.bridge = deeper_blocks[-1]
        self.upsamples = nn.ModuleList()
        self.decoders = nn.ModuleList()
        for k, level in enumerate(reversed(range(len(channels) - 1))):
            width = channels[level]
            self.upsamples.append(upsampling(spatial_dims, channels[level + 1], width))
            self.decoders.append(make_block(f"decoders.{k}", 2 * width, width, 2))
        self.head = pointwise(spatial_dims, channels[0], out_channels)
        self.apply(_initialise)
        use_fast_layers(self)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        check_input(x, self.spatial_dims, self.in_channels, self.size_multiple, "batch" if self.training else "")
        skips = []
        for encoder, skip in zip(self.encoders, self.skips):  # noqa: B905, TorchScript knows no strict=
            x = encoder([x])
            skips.append(skip(x))
            x = self.pool(x)
        x = self.bridge([x])
        for upsample, decoder in zip(self.upsamples, self.decoders):  # noqa: B905
            x = decoder([upsample(x), skips.pop()])
        return self.head(x)

    def deployed_form(self) -> LMSCUNet:
        """The same network with its batch norms fused."""
        return fuse_units(self, self.rebuild(dropout=0.0, deployed=True))


class _ResidualBottleneck(nn.Module):
    """The block on a skip: 1 x 1 to a quarter of the channels, kernel 3, 1 x 1 back, and a projection beside them."""

    def __init__(self, spatial_dims: int, channels: int, deployed: bool) -> None:
        super().__init__()
        narrow = max(1, channels // 4)
        form = {"deployed": deployed}
        self.bottleneck = Block(
            _unit(spatial_dims, channels, narrow, kernel_size=1, **form),
            _unit(spatial_dims, narrow, narrow, kernel_size=3, **form),
            _unit(spatial_dims, narrow, channels, kernel_size=1, adn_ordering="N", **form),
        )
        self.projection = _unit(spatial_dims, channels, channels, kernel_size=1, adn_ordering="N", **form)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.bottleneck([x]) + self.projection([x]))


def _inverted_bottleneck(
    spatial_dims: int, in_channels: int, out_channels: int, expansion_ratio: int, deployed: bool
) -> Block:
    """MobileNetV2's block without its residual connection."""
    wide = expansion_ratio * in_channels
    form = {"deployed": deployed}
    return Block(
        _unit(spatial_dims, in_channels, wide, kernel_size=1, **form),
        _unit(spatial_dims, wide, wide, kernel_size=3, groups=wide, **form),
        _unit(spatial_dims, wide, out_channels, kernel_size=1, adn_ordering="N", **form),
    )


def _check_brb_levels(brb_levels: Collection[int], channels: Sequence[int]) -> None:
    levels = range(1, len(channels))
    known = isinstance(brb_levels, Collection) and all(level in levels for level in brb_levels)
    if not known or len(set(brb_levels)) < len(brb_levels):
        raise ValueError(
            f"brb_levels must hold levels with a skip, each once, out of {', '.join(map(str, levels))} "
            f"(1 is full resolution), such as (2,); got {brb_levels!r}"
        )


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d | nn.Conv3d | nn.ConvTranspose2d | nn.ConvTranspose3d):
        nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        if module.bias is not None:
            nn.init.zeros_(module.bias)
