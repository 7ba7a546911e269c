"""The layers that U-Net and UNet++ share."""

from __future__ import annotations

from monai.networks.blocks import Convolution
from monai.networks.layers.factories import Conv, Pool
from torch import nn

__all__ = ["conv_block", "conv_unit", "pointwise", "pooling", "upsampling"]


def conv_unit(spatial_dims: int, in_channels: int, out_channels: int, dropout: float | None) -> Convolution:
    """Convolution (kernel 3, with bias) -> ReLU -> batch norm -> channel dropout, in this order.

    ``dropout=None`` leaves the dropout layer out.
    """
    return Convolution(
        spatial_dims,
        in_channels,
        out_channels,
        kernel_size=3,
        adn_ordering="AND",
        act="relu",
        norm="batch",
        dropout=dropout,
        dropout_dim=spatial_dims,  # whole channels; MONAI's default of 1 drops single voxels
    )


def conv_block(spatial_dims: int, in_channels: int, out_channels: int, num_units: int, dropout: float) -> nn.Sequential:
    """``num_units`` units in a row, of which the first changes the number of channels."""
    inputs = [in_channels] + [out_channels] * (num_units - 1)
    return nn.Sequential(*(conv_unit(spatial_dims, channels, out_channels, dropout) for channels in inputs))


def upsampling(spatial_dims: int, in_channels: int, out_channels: int) -> nn.Module:
    """A learned doubling of the resolution: transposed convolution, kernel 2, stride 2, with bias."""
    return Conv[Conv.CONVTRANS, spatial_dims](in_channels, out_channels, kernel_size=2, stride=2)


def pointwise(spatial_dims: int, in_channels: int, out_channels: int) -> nn.Module:
    """The head: a 1 x 1 (x 1) convolution with bias."""
    return Conv[Conv.CONV, spatial_dims](in_channels, out_channels, kernel_size=1)


def pooling(spatial_dims: int) -> nn.Module:
    """Max pooling that halves the resolution."""
    return Pool[Pool.MAX, spatial_dims](kernel_size=2)
