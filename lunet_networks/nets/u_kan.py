"""U-KAN, a small U-Net whose deepest levels learn the activation of every connection as a spline."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn

from lunet_networks.nets.checks import check_2d, check_arguments, check_input, check_widths
from lunet_networks.nets.fast_layers import use_fast_layers
from lunet_networks.nets.fusing import fuse_units
from lunet_networks.nets.initialising import initialise_by_outputs
from lunet_networks.nets.layers import Block, BlockMaker, conv_unit, pointwise, pooling
from lunet_networks.nets.light_layers import PatchEmbedding
from lunet_networks.nets.network import Network

__all__ = ["UKAN"]

_LEVELS = 5
_ORDER, _INTERVALS = 3, 5  # of the splines: cubic, and how many pieces lie between -1 and 1
_BASES = _INTERVALS + _ORDER
_NOISE = 0.01  # of a new spline at most


class UKAN(Network):
    """U-KAN: a U-Net of convolutions, with Kolmogorov-Arnold layers at 1/16 and 1/32 of the resolution.

    On the way down two units of convolution (kernel 3) -> batch norm -> ReLU and max pooling to 1/8, then twice an
    overlapping patch embedding, which is a strided convolution and a layer norm, and a block of three Kolmogorov-Arnold
    layers with a residual. On the way up two units, of which the first keeps the channels, bilinear upsampling and
    ReLU, to which the skip is **added**; blocks at 1/16 and 1/8. A Kolmogorov-Arnold layer of a token sums, for every
    pair of channels, a multiple of the SiLU and a cubic spline with knots from -2.2 to 2.2, which are saved with the
    weights. A depthwise convolution (kernel 3), a batch norm and a ReLU follow it.

    Args:
        spatial_dims: 2; the paper's network has no other form.
        in_channels: channels of the input image.
        out_channels: channels of the output.
        channels: channels of the levels at 1/2, 1/4, 1/8, 1/16 and 1/32 of the resolution.
        dropout: probability of dropping a channel after each unit; the published code has none.
        deployed: the form of :py:func:`lunet_networks.deploy`, without batch norms and dropout.

    Shape:
        Input ``(B, in_channels, H, W)``, each spatial size a multiple of ``size_multiple`` = 32; output logits
        ``(B, out_channels, H, W)``, with no sigmoid or softmax applied.

    Raises:
        ValueError: if an argument is invalid, or the input has other dimensions, channels or sizes than
            the network takes.

    Source:
        Li et al., U-KAN Makes Strong Backbone for Medical Image Segmentation and Generation, AAAI 2025, arXiv
        2406.02918, and its code, which makes one block a level whatever depth is asked for.

    Example:
        >>> network = UKAN(channels=(16, 32, 128, 160, 256)).eval()  # u_kan_small
        >>> network(torch.zeros(1, 3, 64, 96)).shape
        torch.Size([1, 1, 64, 96])
    """

    def __init__(
        self,
        spatial_dims: int = 2,
        in_channels: int = 3,
        out_channels: int = 1,
        channels: Sequence[int] = (32, 64, 256, 320, 512),
        dropout: float = 0.0,
        deployed: bool = False,
    ) -> None:
        super().__init__()
        check_2d("U-KAN", spatial_dims)
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
        make_block = BlockMaker(spatial_dims, dropout, None, "NDA", deployed)
        down, up = ((in_channels, a), (a, b), (b, c)), ((e, d), (d, c), (c, b), (b, a), (a, a))
        self.encoders = nn.ModuleList(make_block(f"encoders.{k}", *widths, 2) for k, widths in enumerate(down))
        self.pool = pooling(spatial_dims)
        self.embeddings = nn.ModuleList(PatchEmbedding(*widths) for widths in ((c, d), (d, e)))
        self.token_encoders = nn.ModuleList(_TokenLevel(width, dropout, deployed) for width in (d, e))
        self.decoders = nn.ModuleList(
            Block(*make_block(f"decoders.{k}.0", width, width, 1), *make_block(f"decoders.{k}.1", width, out, 1))
            for k, (width, out) in enumerate(up)
        )
        self.upsample = nn.Upsample(scale_factor=2, mode="bilinear")
        self.token_decoders = nn.ModuleList(_TokenLevel(width, dropout, deployed) for width in (d, c))
        self.token_decoders.extend(nn.Identity() for _ in range(len(up) - 2))
        self.head = pointwise(spatial_dims, a, out_channels)
        for part in (self.embeddings, self.token_encoders, self.token_decoders):
            initialise_by_outputs(part)
        use_fast_layers(self)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        normalised = "batch" if self.training and not self.deployed else ""
        check_input(x, self.spatial_dims, self.in_channels, self.size_multiple, normalised)
        skips = []
        for encoder in self.encoders:
            x = self.pool(encoder([x]))
            skips.append(x)
        for embedding, tokens in zip(self.embeddings, self.token_encoders):  # noqa: B905, TorchScript knows no strict=
            x = tokens(embedding(x))
            skips.append(x)
        x = skips.pop()
        for decoder, tokens in zip(self.decoders, self.token_decoders):  # noqa: B905
            x = self.upsample(decoder([x]))  # the published ReLU behind it has no effect: what comes in is not negative
            if len(skips) > 0:
                x = x + skips.pop()
            x = tokens(x)
        return self.head(x)

    def deployed_form(self) -> UKAN:
        """The same network with its batch norms fused, and each spline's scale in its coefficients; layer norms depend
        on the image and stay."""
        form = fuse_units(self, self.rebuild(dropout=0.0, deployed=True))
        for name, module in form.named_modules():
            if isinstance(module, _KolmogorovArnold):
                module.take(self.get_submodule(name))
        return form


class _TokenLevel(nn.Module):
    """Three Kolmogorov-Arnold layers, each with its depthwise unit, and a residual, between two layer norms. Tokens are
    the positions of the map, with their channels as the last axis."""

    def __init__(self, channels: int, dropout: float, deployed: bool) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.layers = nn.ModuleList(_KolmogorovArnold(channels, channels, deployed) for _ in range(3))
        self.units = nn.ModuleList(
            conv_unit(2, channels, channels, dropout, "NDA", deployed, groups=channels) for _ in range(3)
        )
        self.last_norm = nn.LayerNorm(channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        tokens = x.permute(0, 2, 3, 1)
        y = self.norm(tokens)
        for layer, unit in zip(self.layers, self.units):  # noqa: B905, TorchScript knows no strict=
            y = unit([layer(y).permute(0, 3, 1, 2)]).permute(0, 2, 3, 1)
        return self.last_norm(tokens + y).permute(0, 3, 1, 2)


class _KolmogorovArnold(nn.Module):
    """A linear layer of the SiLU of the last axis, and one of its splines.

    An entry of ``spline_weight`` is the coefficient of one basis function of one input for one output, and
    ``spline_scale`` a factor of all coefficients of a connection; a deployed layer has it in them already.
    """

    def __init__(self, in_channels: int, out_channels: int, deployed: bool) -> None:
        super().__init__()
        self.base_weight = nn.Parameter(torch.empty(out_channels, in_channels))
        self.spline_weight = nn.Parameter(torch.empty(out_channels, in_channels, _BASES))
        self.spline_scale = None if deployed else nn.Parameter(torch.empty(out_channels, in_channels))
        step = 2 / _INTERVALS
        knots = torch.arange(-_ORDER, _INTERVALS + _ORDER + 1) * step - 1
        self.register_buffer("grid", knots.expand(in_channels, -1).contiguous())
        nn.init.kaiming_uniform_(self.base_weight, a=math.sqrt(5))
        if self.spline_scale is not None:
            nn.init.kaiming_uniform_(self.spline_scale, a=math.sqrt(5))
        with torch.no_grad():  # the least squares fit of noise at the knots from -1 to 1
            at_knots = _basis(knots[_ORDER:-_ORDER, None], knots[None])[:, 0]
            noise = torch.empty(out_channels, in_channels, len(at_knots)).uniform_(-_NOISE, _NOISE)
            self.spline_weight.copy_(noise @ torch.linalg.pinv(at_knots).T)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x, weight = x.contiguous(), self.spline_weight  # else the basis functions are copied, which are eight times x
        if self.spline_scale is not None:
            weight = weight * self.spline_scale[:, :, None]
        return F.linear(F.silu(x), self.base_weight) + F.linear(_basis(x, self.grid).flatten(-2), weight.flatten(1))

    @torch.no_grad()
    def take(self, trained: _KolmogorovArnold) -> None:
        """Become the deployed form of a layer."""
        self.base_weight.copy_(trained.base_weight)
        self.spline_weight.copy_(trained.spline_weight)
        if trained.spline_scale is not None:
            self.spline_weight.mul_(trained.spline_scale[:, :, None])
        self.grid.copy_(trained.grid)


def _basis(x: torch.Tensor, grid: torch.Tensor) -> torch.Tensor:
    """The values of all basis functions of cubic splines, by the recursion of Cox and de Boor.

    Args:
        x: ``(..., C)``.
        grid: ``(C, knots)``, ascending.

    Returns:
        ``(..., C, 8)``; beyond the outer knots all are 0.
    """
    x = x[..., None]
    values = ((x >= grid[:, :-1]) & (x < grid[:, 1:])).to(x.dtype)
    for k in (1, 2, 3):
        rising = (x - grid[:, : -k - 1]) / (grid[:, k:-1] - grid[:, : -k - 1])
        falling = (grid[:, k + 1 :] - x) / (grid[:, k + 1 :] - grid[:, 1:-k])
        values = rising * values[..., :-1] + falling * values[..., 1:]
    return values
