"""U-Net and its lean form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from lunet_networks.kernels.training import Scaled
from lunet_networks.nets.checks import check_arguments, check_channels, check_input, check_ordering
from lunet_networks.nets.fast_layers import use_fast_layers
from lunet_networks.nets.fast_training import (
    run_block,
    run_head,
    run_pool,
    run_unit,
    run_upsample,
    trains_on_kernels,
)
from lunet_networks.nets.fusing import fuse_units
from lunet_networks.nets.layers import (
    BlockMaker,
    block_channels,
    conv_unit,
    describe_units,
    pointwise,
    pooling,
    upsampling,
)
from lunet_networks.nets.network import Network
from lunet_networks.nets.supervision import leave_out_supervision, supervision_heads

__all__ = ["UNet"]


class UNet(Network):
    """U-Net as published with Lean Unet, and Lean Unet (LUNet) itself, which is the same with equal widths.

    An encoder block at each level, max pooling between them, and on the way up a transposed convolution, the
    concatenation ``[upsampled, skip]`` and a decoder block. A block is ``convs_per_block`` units of convolution
    (kernel 3) -> ReLU -> batch norm -> channel dropout. The decoder block at full resolution has one unit less (but
    at least one) and is followed by a segmenter unit without dropout and a 1 x 1 convolution.

    Args:
        spatial_dims: 2 or 3.
        in_channels: channels of the input image.
        out_channels: channels of the output.
        channels: channels of each level, full resolution first: doubled at each level for a conventional U-Net, the
            same at all levels for a lean one.
        convs_per_block: units in a block.
        dropout: probability of dropping a channel after each unit, or after each unit that is named.
        conv_channels: channels of single units by their name, such as ``{"encoders.0.1": 3}``, instead of those of
            their level: that is how a pruned network is described. Transposed convolutions and the segmenter are as
            wide as their level.
        adn_ordering: order of activation (A), dropout (D) and norm (N) in a unit: "AND" as published with Lean Unet,
            "NDA" for the convolution -> batch norm -> ReLU of most other U-Nets.
        bias: whether the convolutions of units have one, which their batch norm makes superfluous.
        deep_supervision: logits of every decoder block in training, for ``monai.losses.DeepSupervisionLoss``.
        deployed: the form of :py:func:`lunet_networks.deploy`, which only predicts.

    Shape:
        Input ``(B, in_channels, [D,] H, W)``, each spatial size a multiple of ``size_multiple`` = 2 to the number of
        levels less one; output logits ``(B, out_channels, [D,] H, W)``, with no sigmoid or softmax applied. In training
        with ``deep_supervision`` a list of them, full resolution first, each of half the resolution of the one before.

    Raises:
        ValueError: if an argument is invalid, or the input has other dimensions, channels or sizes than
            the network takes.

    Source:
        Ronneberger et al., U-Net, MICCAI 2015; the lean form: Lean Unet, arXiv 2512.03834, which takes the order of
        layers in a unit from STAMP (Dinsdale et al., Medical Image Analysis 2022).

    Example:
        >>> import torch
        >>> network = UNet(channels=(4, 4, 4, 4, 4)).eval()  # lunet_small_4f
        >>> network(torch.zeros(1, 1, 32, 32, 48)).shape
        torch.Size([1, 1, 32, 32, 48])
    """

    def __init__(
        self,
        spatial_dims: int = 3,
        in_channels: int = 1,
        out_channels: int = 1,
        channels: Sequence[int] = (4, 8, 16, 32, 64),
        convs_per_block: int = 2,
        dropout: float | Mapping[str, float] = 0.0,
        conv_channels: Mapping[str, int] | None = None,
        adn_ordering: str = "AND",
        bias: bool = True,
        deep_supervision: bool = False,
        deployed: bool = False,
    ) -> None:
        super().__init__()
        check_arguments(
            spatial_dims, dropout, in_channels=in_channels, out_channels=out_channels, convs_per_block=convs_per_block
        )
        check_channels(channels, conv_channels)
        check_ordering(adn_ordering)
        self.spatial_dims = spatial_dims
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.channels = list(channels)
        self.convs_per_block = convs_per_block
        self.adn_ordering = adn_ordering
        self.bias = bias
        self.deep_supervision = deep_supervision
        self.deployed = deployed
        self.size_multiple = 2 ** (len(channels) - 1)

        make_block = BlockMaker(spatial_dims, dropout, conv_channels, adn_ordering, deployed, bias)
        widths = [in_channels]  # of what the blocks take and give
        self.encoders = nn.ModuleList()
        for level, width in enumerate(channels[:-1]):
            self.encoders.append(make_block(f"encoders.{level}", widths[-1], width, convs_per_block))
            widths.append(block_channels(self.encoders[-1]))
        self.pool = pooling(spatial_dims)
        self.bottleneck = make_block("bottleneck", widths[-1], channels[-1], convs_per_block)
        deeper = block_channels(self.bottleneck)
        self.upsamples = nn.ModuleList()
        self.decoders = nn.ModuleList()
        for k, level in enumerate(reversed(range(len(channels) - 1))):
            width, skip = channels[level], widths[level + 1]
            num_units = convs_per_block if level > 0 else max(1, convs_per_block - 1)
            self.upsamples.append(upsampling(spatial_dims, deeper, width))
            self.decoders.append(make_block(f"decoders.{k}", width + skip, width, num_units))
            deeper = block_channels(self.decoders[-1])
        make_block.check_names()
        self.segmenter = conv_unit(spatial_dims, deeper, channels[0], None, adn_ordering, deployed, bias)
        below = [block_channels(decoder) for decoder in reversed(self.decoders[:-1]) if deep_supervision]
        self.supervision_heads = supervision_heads(spatial_dims, below, out_channels)
        self.head = pointwise(spatial_dims, channels[0], out_channels)
        self.register_load_state_dict_pre_hook(leave_out_supervision)
        use_fast_layers(self)

    def forward(self, x: torch.Tensor) -> torch.Tensor | list[torch.Tensor]:
        check_input(x, self.spatial_dims, self.in_channels, self.size_multiple, "batch" if self.training else "")
        if not torch.jit.is_scripting():  # noqa: SIM102, TorchScript leaves this branch out only if it stands alone
            if trains_on_kernels(self, x):
                return self._train_on_kernels(x)
        skips = []
        for encoder in self.encoders:
            x = encoder([x])
            skips.append(x)
            x = self.pool(x)
        x = self.bottleneck([x])
        supervises = self.training and self.deep_supervision
        decoded: list[torch.Tensor] = []  # full resolution first
        for upsample, decoder in zip(self.upsamples, self.decoders):  # noqa: B905, TorchScript knows no strict=
            x = decoder([upsample(x), skips.pop()])
            if supervises:
                decoded.insert(0, x)
        logits = self.head(self.segmenter([x]))
        if not supervises:
            return logits
        all_logits = [logits]
        for k, head in enumerate(self.supervision_heads):
            all_logits.append(head(decoded[1 + k]))
        return all_logits

    @torch.jit.unused
    def _train_on_kernels(self, image: torch.Tensor) -> torch.Tensor | list[torch.Tensor]:
        """The same forward pass, whose norms and dropout are computed where the next layer reads."""
        x, skips, decoded = Scaled(image), [], []
        for encoder in self.encoders:
            x = run_block(encoder, [x])
            skips.append(x)
            x = run_pool(self.pool, x)
        x = run_block(self.bottleneck, [x])
        for upsample, decoder in zip(self.upsamples, self.decoders, strict=True):
            x = run_block(decoder, [run_upsample(upsample, x), skips.pop()])
            decoded.insert(0, x)
        logits = run_head(self.head, run_unit(self.segmenter, [x]))
        if not self.deep_supervision:
            return logits
        return [logits, *map(run_head, self.supervision_heads, decoded[1:])]

    def describe(self) -> dict[str, Any]:
        """The arguments of the class, with the width and the dropout of every unit.

        Example:
            >>> network = UNet(channels=(2, 3), convs_per_block=1, conv_channels={"encoders.0.0": 1})
            >>> network.describe()["conv_channels"]
            {'encoders.0.0': 1, 'bottleneck.0': 3, 'decoders.0.0': 2}
        """
        return {**super().describe(), **describe_units(self)}

    def deployed_form(self) -> UNet:
        """The same network with its batch norms fused, without the heads of its deep supervision."""
        return fuse_units(self, self.rebuild(dropout=0.0, deep_supervision=False, deployed=True))
