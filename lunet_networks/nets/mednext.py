"""MedNeXt: MONAI's network, set up as Lean Unet's authors compare with it."""

from __future__ import annotations

import monai.networks.nets
import torch
import torch.nn.functional as F
from monai.networks.blocks.mednext_block import MedNeXtBlock, MedNeXtDownBlock, MedNeXtUpBlock
from torch import nn

from lunet_networks import kernels
from lunet_networks.nets.checks import check_arguments, check_input
from lunet_networks.nets.fast_layers import is_fast, is_pointwise, use_fast_layers
from lunet_networks.nets.layers import are_unobserved, every_second
from lunet_networks.nets.network import Network

__all__ = ["MedNeXt"]


class MedNeXt(Network, monai.networks.nets.MedNeXt):
    """MedNeXt of few filters: MONAI's class and state dict, with dropout, checks of the input and TorchScript.

    A stem, four encoder stages of 1, 2, 4 and 8 times ``init_filters`` channels, a bottleneck of 16 times, four
    decoder stages to which the skips are added, and a 1 x 1 convolution; two residual blocks a stage.

    Args:
        spatial_dims: 2 or 3.
        in_channels: channels of the input image.
        out_channels: channels of the output.
        init_filters: channels at full resolution.
        expansion_ratio: factor by which a block widens between its 1 x 1 convolutions.
        kernel_size: kernel of the depthwise convolutions.
        dropout: probability of dropping a channel after the activation of each block.

    Shape:
        Input ``(B, in_channels, [D,] H, W)``, each spatial size a multiple of ``size_multiple`` = 16 and not all of
        them 16; output logits ``(B, out_channels, [D,] H, W)``, with no sigmoid or softmax applied.

    Raises:
        ValueError: if an argument is invalid, or the input has other dimensions, channels or sizes than
            the network takes.

    Source:
        Roy et al., MedNeXt, MICCAI 2023, arXiv 2303.09975. This is the order of layers of that paper's own code. The
        code published with Lean Unet pads at another place in its up blocks and computes another function.

    Example:
        >>> import torch
        >>> network = MedNeXt().eval()  # mednext_small
        >>> network(torch.zeros(1, 1, 32, 32, 48)).shape
        torch.Size([1, 1, 32, 32, 48])
    """

    def __init__(
        self,
        spatial_dims: int = 3,
        in_channels: int = 1,
        out_channels: int = 1,
        init_filters: int = 4,
        expansion_ratio: int = 2,
        kernel_size: int = 3,
        dropout: float = 0.0,
    ) -> None:
        check_arguments(
            spatial_dims,
            dropout,
            in_channels=in_channels,
            out_channels=out_channels,
            init_filters=init_filters,
            expansion_ratio=expansion_ratio,
            kernel_size=kernel_size,
        )
        if kernel_size % 2 == 0:
            raise ValueError(f"kernel_size must be odd, so that blocks keep the size of their input, got {kernel_size}")
        super().__init__(
            spatial_dims,
            init_filters,
            in_channels,
            out_channels,
            expansion_ratio,
            expansion_ratio,
            expansion_ratio,
            kernel_size,
            use_residual_connection=True,
        )
        self.spatial_dims = spatial_dims
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.init_filters = init_filters
        self.expansion_ratio = expansion_ratio
        self.kernel_size = kernel_size
        self.dropout = dropout
        self.size_multiple = 2 ** len(self.down_blocks)
        channel_dropout = nn.Dropout3d if spatial_dims == 3 else nn.Dropout2d
        for block in self.modules():
            if type(block) in _SCRIPTABLE:
                block.__class__ = _SCRIPTABLE[type(block)]
                if isinstance(block, _DownBlock):
                    block.res_conv.stride = (1,) * spatial_dims  # see every_second
                if dropout > 0:
                    block.act = nn.Sequential(block.act, channel_dropout(dropout))
        use_fast_layers(self)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        check_input(x, self.spatial_dims, self.in_channels, self.size_multiple, "instance")
        x = self.stem(x)
        skips = []
        for stage, down in zip(self.enc_stages, self.down_blocks):  # noqa: B905, TorchScript knows no strict=
            x = stage(x)
            skips.append(x)
            x = down(x)
        x = self.bottleneck(x)
        for up, stage in zip(self.up_blocks, self.dec_stages):  # noqa: B905
            x = stage(up(x) + skips.pop())
        return self.out_0(x)


# MONAI's blocks call super().forward and read attributes that they do not always have, which TorchScript cannot
# compile. These compute the same with the same parameters.


class _Perceptron:
    """The end of every block: a norm, a wide layer, its activation, a narrow layer, and the residual."""

    def widen_and_narrow(self, x: torch.Tensor, residual: torch.Tensor) -> torch.Tensor:
        if not torch.jit.is_scripting():  # noqa: SIM102, TorchScript leaves this branch out only if it stands alone
            if _is_perceptron(self.conv2, self.act, self.conv3):
                layers = self.conv2.weight, self.conv2.bias, self.conv3.weight, self.conv3.bias
                norm = _norm_of_channels(self.norm, x)
                if kernels.apply_to(x, residual, *norm, *layers):
                    x = x if norm else self.norm(x)
                    return kernels.perceptron(x, norm, self.norm.eps if norm else 0.0, *layers, residual)
        return residual + self.conv3(self.act(self.conv2(self.norm(x))))


def _is_perceptron(first: nn.Module, act: nn.Module, second: nn.Module) -> bool:
    """Whether these layers are, at present, two convolutions of one voxel and a GELU, which one kernel may compute. A
    dropout after the GELU does nothing in evaluation."""
    steps = [*act] if type(act) is nn.Sequential else [act]
    gelu, dropouts = steps[0], steps[1:]
    return (
        all(is_pointwise(conv) for conv in (first, second))
        and type(gelu) is nn.GELU
        and gelu.approximate == "none"
        and all(isinstance(dropout, (nn.Dropout2d, nn.Dropout3d)) for dropout in dropouts)
        and are_unobserved(first, second, act, *steps)
    )


def _norm_of_channels(norm: nn.Module, x: torch.Tensor) -> list[torch.Tensor]:
    """Weight and bias of a group norm that norms every channel by itself, and so may be part of the kernel; else
    nothing."""
    is_part = (
        is_fast(norm, (nn.GroupNorm,))
        and norm.num_groups == norm.num_channels == x.shape[1]
        and norm.affine
        and x.shape[2:].numel() > 1
        and are_unobserved(norm)
    )
    return [norm.weight, norm.bias] if is_part else []


class _Block(_Perceptron, MedNeXtBlock):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.widen_and_narrow(self.conv1(x), x)


class _DownBlock(_Perceptron, MedNeXtDownBlock):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.widen_and_narrow(self.conv1(x), self.res_conv(every_second(x)))


class _UpBlock(_Perceptron, MedNeXtUpBlock):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.widen_and_narrow(self.conv1(x), self.res_conv(x))
        return F.pad(x, [1, 0] * (x.dim() - 2))  # to twice the size; the new first planes are zero


_SCRIPTABLE = {MedNeXtBlock: _Block, MedNeXtDownBlock: _DownBlock, MedNeXtUpBlock: _UpBlock}
