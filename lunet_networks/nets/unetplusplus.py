"""UNet++ and its lean form."""

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
    interpolation,
    pointwise,
    pooling,
    upsampling,
)
from lunet_networks.nets.network import Network
from lunet_networks.nets.supervision import leave_out_supervision, supervision_heads

__all__ = ["UNetPlusPlus"]

_UPSAMPLES = ("deconv", "bilinear")


class UNetPlusPlus(Network):
    """UNet++ as published with Lean Unet, and its lean form LUNet++, which is the same with equal widths.

    Node ``X(i, j)`` stands at level ``i`` (0 is the full resolution) and column ``j``. Column 0 is the encoder, with
    max pooling between its levels. Every other node takes the concatenation ``[X(i, 0), ..., X(i, j - 1), upsampled
    X(i + 1, j - 1)]``. A node is ``convs_per_block`` units of convolution (kernel 3) -> ReLU -> batch norm -> channel
    dropout. The last node at full resolution has one unit less (but at least one) and is followed by a segmenter
    unit without dropout and a 1 x 1 convolution.

    Args:
        spatial_dims: 2 or 3.
        in_channels: channels of the input image.
        out_channels: channels of the output.
        channels: channels of each level, full resolution first: doubled at each level for a conventional UNet++, the
            same at all levels for a lean one.
        convs_per_block: units in a node.
        dropout: probability of dropping a channel after each unit, or after each unit that is named.
        conv_channels: channels of single units by their name, such as ``{"encoders.0.1": 3}``, instead of those of
            their level: that is how a pruned network is described. Transposed convolutions and the segmenter are as
            wide as their level.
        adn_ordering: order of activation (A), dropout (D) and norm (N) in a unit, as in :class:`UNet`.
        upsample: "deconv", a transposed convolution to the channels of the level, or "bilinear", which keeps the
            channels, and the corners where they are.
        deep_supervision: logits of every node ``X(0, j)``, ``j > 0``, in training, for
            ``monai.losses.DeepSupervisionLoss``.
        deployed: the form of :py:func:`lunet_networks.deploy`, which only predicts.

    Shape:
        Input ``(B, in_channels, [D,] H, W)``, each spatial size a multiple of ``size_multiple`` = 2 to the number of
        levels less one; output logits ``(B, out_channels, [D,] H, W)``, with no sigmoid or softmax applied. In training
        with ``deep_supervision`` a list of them, all of this shape, the last node first.

    Raises:
        ValueError: if an argument is invalid, or the input has other dimensions, channels or sizes than
            the network takes.

    Source:
        Zhou et al., UNet++, IEEE Transactions on Medical Imaging 2020, section III-A; deep supervision: the same, DLMIA
        2018, section 3.2; the lean form: Lean Unet, arXiv 2512.03834, which has none.

    Example:
        >>> import torch
        >>> network = UNetPlusPlus(channels=(4, 4, 4, 4, 4)).eval()  # lunetpp_small_4f
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
        upsample: str = "deconv",
        deep_supervision: bool = False,
        deployed: bool = False,
    ) -> None:
        super().__init__()
        check_arguments(
            spatial_dims, dropout, in_channels=in_channels, out_channels=out_channels, convs_per_block=convs_per_block
        )
        check_channels(channels, conv_channels)
        check_ordering(adn_ordering)
        if upsample not in _UPSAMPLES:
            raise ValueError(f"upsample must be one of {', '.join(_UPSAMPLES)}, got {upsample!r}")
        self.spatial_dims = spatial_dims
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.channels = list(channels)
        self.convs_per_block = convs_per_block
        self.adn_ordering = adn_ordering
        self.upsample = upsample
        self.deep_supervision = deep_supervision
        self.deployed = deployed
        self.size_multiple = 2 ** (len(channels) - 1)

        make_block = BlockMaker(spatial_dims, dropout, conv_channels, adn_ordering, deployed)
        self.encoders = nn.ModuleList()
        widths: list[list[int]] = []  # widths[i] holds those of the nodes X(i, 0), X(i, 1), ... made so far
        for i, width in enumerate(channels):
            inputs = widths[-1][0] if i > 0 else in_channels
            self.encoders.append(make_block(f"encoders.{i}", inputs, width, convs_per_block))
            widths.append([block_channels(self.encoders[-1])])
        self.pool = pooling(spatial_dims)
        self.upsamples = nn.ModuleList()  # a list for each column j >= 1, in it one for each level i
        self.nodes = nn.ModuleList()
        last = len(channels) - 1
        for j in range(1, last + 1):
            num_units = convs_per_block if j < last else max(1, convs_per_block - 1)
            level_channels = channels[: last + 1 - j]
            below = [widths[i + 1][-1] for i in range(len(level_channels))]
            if upsample == "deconv":
                self.upsamples.append(
                    nn.ModuleList(upsampling(spatial_dims, *each) for each in zip(below, level_channels, strict=True))
                )
                below = level_channels
            else:
                self.upsamples.append(nn.ModuleList(interpolation(spatial_dims) for _ in level_channels))
            self.nodes.append(
                nn.ModuleList(
                    make_block(f"nodes.{j - 1}.{i}", sum(widths[i]) + below[i], c, num_units)
                    for i, c in enumerate(level_channels)
                )
            )
            for i, node in enumerate(self.nodes[-1]):
                widths[i].append(block_channels(node))
        make_block.check_names()
        self.segmenter = conv_unit(spatial_dims, widths[0][-1], channels[0], None, adn_ordering, deployed)
        self.supervision_heads = supervision_heads(
            spatial_dims, widths[0][-2:0:-1] if deep_supervision else (), out_channels
        )
        self.head = pointwise(spatial_dims, channels[0], out_channels)
        self.register_load_state_dict_pre_hook(leave_out_supervision)
        use_fast_layers(self)

    def forward(self, x: torch.Tensor) -> torch.Tensor | list[torch.Tensor]:
        check_input(x, self.spatial_dims, self.in_channels, self.size_multiple, "batch" if self.training else "")
        if not torch.jit.is_scripting():  # noqa: SIM102, TorchScript leaves this branch out only if it stands alone
            if trains_on_kernels(self, x):
                return self._train_on_kernels(x)
        levels: list[list[torch.Tensor]] = []  # levels[i] holds the nodes X(i, 0), X(i, 1), ... made so far
        for i, encoder in enumerate(self.encoders):
            x = encoder([self.pool(x) if i > 0 else x])
            levels.append([x])
        for upsamples, nodes in zip(self.upsamples, self.nodes):  # noqa: B905, TorchScript knows no strict=
            for i, (upsample, node) in enumerate(zip(upsamples, nodes)):  # noqa: B905
                x = upsample(levels[i + 1][-1])
                levels[i].append(node(levels[i] + [x]))
        logits = self.head(self.segmenter([levels[0][-1]]))
        if not (self.training and self.deep_supervision):
            return logits
        all_logits = [logits]
        for k, head in enumerate(self.supervision_heads):
            all_logits.append(head(levels[0][-2 - k]))
        return all_logits

    @torch.jit.unused
    def _train_on_kernels(self, image: torch.Tensor) -> torch.Tensor | list[torch.Tensor]:
        """The same forward pass, whose norms and dropout are computed where the next layer reads."""
        x, levels = Scaled(image), []
        for i, encoder in enumerate(self.encoders):
            x = run_block(encoder, [run_pool(self.pool, x) if i > 0 else x])
            levels.append([x])
        for upsamples, nodes in zip(self.upsamples, self.nodes, strict=True):
            for i, (upsample, node) in enumerate(zip(upsamples, nodes, strict=True)):
                levels[i].append(run_block(node, [*levels[i], run_upsample(upsample, levels[i + 1][-1])]))
        logits = run_head(self.head, run_unit(self.segmenter, [levels[0][-1]]))
        if not self.deep_supervision:
            return logits
        return [logits, *map(run_head, self.supervision_heads, levels[0][-2:0:-1])]

    def describe(self) -> dict[str, Any]:
        """The arguments of the class, with the width and the dropout of every unit.

        Example:
            >>> network = UNetPlusPlus(channels=(2, 3), convs_per_block=1, conv_channels={"encoders.0.0": 1})
            >>> network.describe()["conv_channels"]
            {'encoders.0.0': 1, 'encoders.1.0': 3, 'nodes.0.0.0': 2}
        """
        return {**super().describe(), **describe_units(self)}

    def deployed_form(self) -> UNetPlusPlus:
        """The same network with its batch norms fused, without the heads of its deep supervision."""
        return fuse_units(self, self.rebuild(dropout=0.0, deep_supervision=False, deployed=True))
