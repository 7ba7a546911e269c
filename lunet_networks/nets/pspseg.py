"""PSP-Seg: a residual U-Net of redundant modules that are pruned while it trains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from lunet_networks.nets import fast_residuals
from lunet_networks.nets.checks import check_arguments, check_channels, check_input
from lunet_networks.nets.fast_layers import use_fast_layers
from lunet_networks.nets.layers import pointwise
from lunet_networks.nets.network import Network
from lunet_networks.nets.redundant import (
    KERNELS,
    ConvBlock,
    DownSample,
    RedundantModule,
    check_branches,
    redundant_modules,
    upsample,
)
from lunet_networks.nets.supervision import leave_out_supervision, supervision_heads

__all__ = ["PSPSeg"]


class PSPSeg(Network):
    """PSP-Seg before, while and after its branches are pruned.

    A 1 x 1 convolution to the first width, a residual block at full resolution, and at every level below a redundant
    module behind a strided residual block; on the way up a 1 x 1 convolution, nearest neighbours, the skip **added**,
    and again a redundant module or, at full resolution, a residual block. A redundant module has branches of several
    kernels, each with a learned weight that starts at 0; without any it is the identity. All norms are instance norms.

    Args:
        spatial_dims: 2 or 3.
        in_channels: channels of the input image.
        out_channels: channels of the output.
        channels: channels of each level, full resolution first.
        expansion: channels inside a branch, as a multiple of those of its level.
        num_branches: branches of a redundant module: 1, 4 or 7.
        parallel: branches side by side; otherwise one after the other.
        deep_supervision: logits of every decoder level in training, for ``monai.losses.DeepSupervisionLoss``.
        dropout: probability of dropping a channel after each activation inside a block.
        branches: numbers, from 0, of the branches of single redundant modules, such as ``{"encoders.1": [0, 2]}``. The
            other modules have all branches. A pruned network is described in this way; a module may have no branch.

    Shape:
        Input ``(B, in_channels, [D,] H, W)``, each spatial size a multiple of ``size_multiple`` = 2 to the number of
        levels less one, and not all equal to it; output logits ``(B, out_channels, [D,] H, W)``, with no sigmoid or
        softmax applied. In training with ``deep_supervision`` a list of them, full resolution first, each of half the
        size of the one before, down to the decoder level above the lowest resolution.

    Raises:
        ValueError: if an argument is invalid, or the input has other dimensions, channels or sizes than
            the network takes.

    Source:
        PSP-Seg, arXiv 2509.09267, and its code. There the 1 x 1 convolution comes after the upsampling, which gives
        the same at eight times the cost; deep supervision has a head that nothing trains; levels of the large network
        keep PyTorch's initialisation. In 2D, which is not in the paper, kernels lose their first axis.

    Example:
        >>> import torch
        >>> network = PSPSeg(channels=(4, 8, 16), branches={"bottleneck": [0, 3]}).eval()
        >>> network(torch.zeros(1, 1, 16, 16, 8)).shape
        torch.Size([1, 1, 16, 16, 8])
    """

    def __init__(
        self,
        spatial_dims: int = 3,
        in_channels: int = 1,
        out_channels: int = 1,
        channels: Sequence[int] = (16, 32, 64, 128, 256),
        expansion: float = 0.5,
        num_branches: int = 4,
        parallel: bool = True,
        deep_supervision: bool = False,
        dropout: float = 0.0,
        branches: Mapping[str, Sequence[int]] | None = None,
    ) -> None:
        super().__init__()
        check_arguments(spatial_dims, dropout, in_channels=in_channels, out_channels=out_channels)
        check_channels(channels)
        if num_branches not in KERNELS:
            raise ValueError(f"num_branches must be one of {', '.join(map(str, KERNELS))}, got {num_branches!r}")
        if isinstance(expansion, bool) or not isinstance(expansion, (int, float)) or int(min(channels) * expansion) < 1:
            raise ValueError(f"expansion must leave a branch at least one channel at every level, got {expansion!r}")
        deepest = len(channels) - 1
        below = range(1, deepest)  # levels with a redundant module on both sides
        decoders = [f"decoders.{deepest - 1 - level}" for level in reversed(below)]
        branches = branches or {}
        check_branches(branches, [*(f"encoders.{i}" for i in below), "bottleneck", *decoders], num_branches)
        self.spatial_dims = spatial_dims
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.channels = list(channels)
        self.expansion = expansion
        self.num_branches = num_branches
        self.parallel = parallel
        self.deep_supervision = deep_supervision
        self.dropout = dropout
        self.size_multiple = 2**deepest

        def make_block(name: str, level: int) -> nn.Module:
            width = channels[level]
            if level == 0:
                return ConvBlock(spatial_dims, width, dropout)
            hidden = int(width * expansion)
            return RedundantModule(spatial_dims, width, hidden, num_branches, branches.get(name), parallel, dropout)

        self.stem = pointwise(spatial_dims, in_channels, channels[0])
        self.encoders = nn.ModuleList(make_block(f"encoders.{level}", level) for level in range(deepest))
        self.downsamples = nn.ModuleList(
            DownSample(spatial_dims, channels[level], channels[level + 1], dropout) for level in range(deepest)
        )
        self.bottleneck = make_block("bottleneck", deepest)
        upwards = [*enumerate(reversed(range(deepest)))]
        self.upsamples = nn.ModuleList(
            upsample(spatial_dims, channels[level + 1], channels[level]) for _, level in upwards
        )
        self.decoders = nn.ModuleList(make_block(f"decoders.{k}", level) for k, level in upwards)
        supervised = [channels[level] for level in below if deep_supervision]
        self.supervision_heads = supervision_heads(spatial_dims, supervised, out_channels)
        self.head = pointwise(spatial_dims, channels[0], out_channels)
        self.apply(_initialise)
        self.register_load_state_dict_pre_hook(leave_out_supervision)
        use_fast_layers(self)

    def forward(self, x: torch.Tensor) -> torch.Tensor | list[torch.Tensor]:
        features = self.encode(x)
        if not torch.jit.is_scripting():  # noqa: SIM102, TorchScript leaves this branch out only if it stands alone
            if not self.training:
                return self._logits(features)
        return self.predict(self.decode(features))

    def encode(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Outputs of all encoder levels, full resolution first; the last is the bottleneck's."""
        check_input(x, self.spatial_dims, self.in_channels, self.size_multiple, "instance")
        features = []
        first: torch.Tensor | None = None
        if not torch.jit.is_scripting():
            first = fast_residuals.residual(self.encoders[0], x, stem=self.stem)
        if first is None:
            x = self.stem(x)
        for k, (encoder, down) in enumerate(zip(self.encoders, self.downsamples)):  # noqa: B905, not in TorchScript
            x = first if k == 0 and first is not None else encoder(x)
            features.append(x)
            x = down(x)
        features.append(self.bottleneck(x))
        return features

    def decode(self, features: list[torch.Tensor]) -> list[torch.Tensor]:
        """Outputs of all decoder levels, full resolution first, from what :py:meth:`encode` gives."""
        x = features[-1]
        decoded: list[torch.Tensor] = []
        for k, (up, decoder) in enumerate(zip(self.upsamples, self.decoders)):  # noqa: B905
            skip = features[-2 - k]
            if torch.jit.is_scripting():  # noqa: SIM108, TorchScript compiles both sides of an expression
                x = decoder(up(x) + skip)
            else:
                x = fast_residuals.decode(up, decoder, x, skip)
            decoded.insert(0, x)
        return decoded

    def predict(self, decoded: list[torch.Tensor]) -> torch.Tensor | list[torch.Tensor]:
        """Logits, from what :py:meth:`decode` gives; with deep supervision those of every level in training."""
        logits = self.head(decoded[0])
        if not (self.training and self.deep_supervision):
            return logits
        all_logits = [logits]
        for k, head in enumerate(self.supervision_heads):
            all_logits.append(head(decoded[1 + k]))
        return all_logits

    def _logits(self, features: list[torch.Tensor]) -> torch.Tensor:
        """Logits without those of the levels below, from what :py:meth:`encode` gives, which is used up."""
        x = features.pop()
        *levels, (up, decoder) = zip(self.upsamples, self.decoders, strict=True)
        for up_below, decoder_below in levels:
            x = fast_residuals.decode(up_below, decoder_below, x, features.pop())
        return fast_residuals.decode(up, decoder, x, features.pop(), self.head)

    def describe(self) -> dict[str, Any]:
        """The arguments of the class, with the branches of every redundant module. Masks are not included: they
        are in the state dict.

        Example:
            >>> PSPSeg(channels=(4, 8), branches={"bottleneck": [0, 3]}).describe()["branches"]
            {'bottleneck': [0, 3]}
        """
        branches = {name: list(module.numbers) for name, module in redundant_modules(self).items()}
        return {**super().describe(), "branches": branches}

    def deployed_form(self) -> PSPSeg:
        """The same network without the heads of its deep supervision; instance norms do not fuse."""
        form = self.rebuild(deep_supervision=False, dropout=0.0).to(next(self.parameters()))
        form.load_state_dict(self.state_dict())
        return form


def _initialise(module: nn.Module) -> None:
    if isinstance(module, (nn.Conv2d, nn.Conv3d)):
        nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
