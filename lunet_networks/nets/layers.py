"""The layers that U-Net and UNet++ share."""

from __future__ import annotations

from collections.abc import Mapping

from monai.networks.blocks import ADN, Convolution
from monai.networks.layers.factories import Conv, Pool
from torch import nn

__all__ = ["BlockMaker", "block_channels", "conv_unit", "mark_order", "pointwise", "pooling", "upsampling"]


def conv_unit(
    spatial_dims: int, in_channels: int, out_channels: int, dropout: float | None, adn_ordering: str = "AND"
) -> Convolution:
    """Convolution (kernel 3, with bias) -> ReLU -> batch norm -> channel dropout, or these in the order of
    ``adn_ordering``.

    ``dropout=None`` leaves the dropout layer out.
    """
    unit = Convolution(
        spatial_dims,
        in_channels,
        out_channels,
        kernel_size=3,
        adn_ordering=adn_ordering,
        act="relu",
        norm="batch",
        dropout=dropout,
        dropout_dim=spatial_dims,  # whole channels; MONAI's default of 1 drops single voxels
    )
    return mark_order(unit, adn_ordering)


class NormFirst(ADN):
    """Norm before activation, as a class of its own: TorchScript gives modules of one class with the same layers the
    code that it made for the first of them, whatever the order of their layers."""


def mark_order(unit: Convolution, adn_ordering: str) -> Convolution:
    """Let a unit whose norm comes first be scripted as what it is."""
    if adn_ordering.startswith("N") and "A" in adn_ordering:
        unit.adn.__class__ = NormFirst
    return unit


class BlockMaker:
    """Makes the blocks of a network, units in a row, each as wide and with as much dropout as is asked for by its name.

    Args:
        spatial_dims: 2 or 3.
        dropout: of every unit, or by the name of the unit; one that is not named has none.
        conv_channels: channels by the name of the unit; one that is not named is as wide as its level.
        adn_ordering: order of activation, dropout and norm in a unit.
    """

    def __init__(
        self,
        spatial_dims: int,
        dropout: float | Mapping[str, float],
        conv_channels: Mapping[str, int] | None,
        adn_ordering: str = "AND",
    ) -> None:
        self.spatial_dims = spatial_dims
        self.adn_ordering = adn_ordering
        self.dropout = dropout
        self.conv_channels = conv_channels or {}
        self.units: list[str] = []

    def __call__(self, name: str, in_channels: int, out_channels: int, num_units: int) -> nn.Sequential:
        """A block whose units are called ``name.0``, ``name.1`` ...; ``out_channels`` are those of its level."""
        block = nn.Sequential()
        for k in range(num_units):
            unit = f"{name}.{k}"
            self.units.append(unit)
            dropout = self.dropout.get(unit, 0.0) if isinstance(self.dropout, Mapping) else self.dropout
            width = self.conv_channels.get(unit, out_channels)
            block.append(conv_unit(self.spatial_dims, in_channels, width, dropout, self.adn_ordering))
            in_channels = width
        return block

    def check_names(self) -> None:
        """Raise ValueError if a width or a dropout was given for a unit that the network does not have."""
        named = {"conv_channels": self.conv_channels, "dropout": self.dropout}
        for argument, by_unit in named.items():
            unknown = [name for name in by_unit if name not in self.units] if isinstance(by_unit, Mapping) else []
            if unknown:
                raise ValueError(
                    f"{argument} names {unknown[0]!r}, which this network has not; its convolutions are "
                    f"{', '.join(self.units)}"
                )


def block_channels(block: nn.Sequential) -> int:
    """Channels that come out of a block."""
    return block[-1].conv.out_channels


def upsampling(spatial_dims: int, in_channels: int, out_channels: int) -> nn.Module:
    """A learned doubling of the resolution: transposed convolution, kernel 2, stride 2, with bias."""
    return Conv[Conv.CONVTRANS, spatial_dims](in_channels, out_channels, kernel_size=2, stride=2)


def pointwise(spatial_dims: int, in_channels: int, out_channels: int) -> nn.Module:
    """The head: a 1 x 1 (x 1) convolution with bias."""
    return Conv[Conv.CONV, spatial_dims](in_channels, out_channels, kernel_size=1)


def pooling(spatial_dims: int) -> nn.Module:
    """Max pooling that halves the resolution."""
    return Pool[Pool.MAX, spatial_dims](kernel_size=2)
