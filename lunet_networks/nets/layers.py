"""The layers that several networks share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from monai.networks.blocks import ADN, Convolution
from monai.networks.layers.factories import Conv, Pool
from torch import nn
from torch.nn.modules.module import _has_any_global_hook

from lunet_networks import kernels
from lunet_networks.nets.fast_layers import takes_kernel

__all__ = [
    "Block",
    "BlockMaker",
    "ConvUnit",
    "FusedUnit",
    "are_unobserved",
    "block_channels",
    "conv_unit",
    "describe_units",
    "every_second",
    "interpolation",
    "pointwise",
    "pooling",
    "upsampling",
]


_DROPOUTS = (nn.Dropout, nn.Dropout2d, nn.Dropout3d)
_NORMS = (nn.BatchNorm2d, nn.BatchNorm3d)


class ConvUnit(Convolution):
    """MONAI's convolution with norm, activation and dropout, applied to the concatenation of its inputs. In evaluation
    a single kernel computes all of it if possible."""

    def forward(self, inputs: list[torch.Tensor]) -> torch.Tensor:
        if not torch.jit.is_scripting():
            norm = _norm_beside_relu(self.conv, self.adn)
            if norm is not None:
                # faster than by attributes: for small images a layer takes no longer than what decides about it
                conv, others, statistics = vars(self.conv)["_parameters"], norm._parameters, norm._buffers
                tensors = others["weight"], others["bias"], statistics["running_mean"], statistics["running_var"]
                if takes_kernel(self.conv, inputs, *tensors):
                    norm_first = type(self.adn) is NormFirst
                    return kernels.convolve(inputs, conv["weight"], conv["bias"], tensors, norm.eps, norm_first)
        return self.adn(self.conv(torch.cat(inputs, dim=1) if len(inputs) > 1 else inputs[0]))


def _norm_beside_relu(conv: nn.Module, adn: nn.Module) -> nn.Module | None:
    """The batch norm of a unit, if what follows its convolution is, at present, a ReLU and a batch norm with fixed
    statistics, in the order that the class says, and perhaps a dropout, which does nothing in evaluation; and if one
    kernel may take the place of all these."""
    parts = [*adn._modules.values()]
    if not are_unobserved(conv, adn, *parts):
        return None
    parts = [part for part in parts if type(part) not in _DROPOUTS]
    if type(adn) is NormFirst:
        parts.reverse()
    elif type(adn) is not ADN:
        return None
    if len(parts) != 2 or type(parts[0]) is not nn.ReLU or type(parts[1]) not in _NORMS:
        return None
    norm = parts[1]
    return norm if norm.affine and norm.track_running_stats and norm._buffers["running_mean"] is not None else None


def are_unobserved(*layers: nn.Module) -> bool:
    """Whether one kernel may take the place of these layers: all of them are in evaluation, and nobody looks at what
    goes in or comes out, or has replaced what they compute. Sampling with dropout sets some of them to training."""
    for layer in layers:
        own = layer.__dict__
        if own["training"] or own["_forward_hooks"] or own["_forward_pre_hooks"] or "forward" in own:
            return False
    return not _has_any_global_hook()


class FusedUnit(nn.Module):
    """The form of a :class:`ConvUnit` in a deployed network: a convolution with bias whose output is clamped, each
    channel to its own limits. This replaces a ReLU and a batch norm in either order, because
    ``scale * relu(x) + shift`` is ``scale * x + shift`` clamped at the shift.

    Args:
        conv: the convolution of the trained unit; its configuration is copied, not its weights.
        limited: without limits it is the convolution alone.
    """

    def __init__(self, conv: nn.Module, limited: bool = True) -> None:
        super().__init__()
        self.conv = type(conv)(
            conv.in_channels, conv.out_channels, conv.kernel_size, padding=conv.padding, groups=conv.groups
        )
        self.limited = limited
        self.shape = [-1, *[1] * len(conv.kernel_size)]
        for name in ("low", "high"):
            self.register_buffer(name, torch.zeros(conv.out_channels), persistent=limited)

    def forward(self, inputs: list[torch.Tensor]) -> torch.Tensor:
        if not torch.jit.is_scripting():
            limits = (self.low, self.high) if self.limited else ()
            if are_unobserved(self.conv) and takes_kernel(self.conv, inputs, *limits):
                return kernels.convolve(inputs, self.conv.weight, self.conv.bias, limits=limits)
        x = self.conv(torch.cat(inputs, dim=1) if len(inputs) > 1 else inputs[0])
        if self.limited:
            x = torch.minimum(torch.maximum(x, self.low.view(self.shape)), self.high.view(self.shape))
        return x


def conv_unit(
    spatial_dims: int,
    in_channels: int,
    out_channels: int,
    dropout: float | None,
    adn_ordering: str = "AND",
    deployed: bool = False,
    bias: bool = True,
    kernel_size: int = 3,
    groups: int = 1,
) -> ConvUnit | FusedUnit:
    """Convolution -> ReLU -> batch norm -> channel dropout, or these in the order of ``adn_ordering``; or what is left
    of them in a deployed network, whose convolutions have a bias in any case.

    ``dropout=None`` leaves the dropout layer out, and an ``adn_ordering`` without "A" the ReLU.
    """
    unit = ConvUnit(
        spatial_dims,
        in_channels,
        out_channels,
        kernel_size=kernel_size,
        adn_ordering=adn_ordering,
        act="relu",
        norm="batch",
        dropout=dropout,
        dropout_dim=spatial_dims,  # whole channels; MONAI's default of 1 drops single voxels
        groups=groups,
        bias=bias,
    )
    if deployed:
        return FusedUnit(unit.conv, limited="A" in adn_ordering)
    if adn_ordering.startswith("N") and "A" in adn_ordering:
        unit.adn.__class__ = NormFirst
    return unit


class NormFirst(ADN):
    """Norm before activation, as a separate class: TorchScript reuses the code of the first module for all modules of
    the same class with the same layers, even if the order of their layers differs."""


class Block(nn.Sequential):
    """Consecutive units, applied to the concatenation of the inputs."""

    def forward(self, inputs: list[torch.Tensor]) -> torch.Tensor:
        for unit in self:
            inputs = [unit(inputs)]
        return inputs[0]


class BlockMaker:
    """Makes the blocks of a network, which are rows of units. You can set each unit's width and dropout by its name.

    Args:
        spatial_dims: 2 or 3.
        dropout: of every unit, or by the name of the unit; units that are not named have none.
        conv_channels: channels by the name of the unit; units that are not named are as wide as their level.
        adn_ordering: order of activation, dropout and norm in a unit.
        deployed: make units that only predict.
        bias: whether the convolutions have one.
    """

    def __init__(
        self,
        spatial_dims: int,
        dropout: float | Mapping[str, float],
        conv_channels: Mapping[str, int] | None,
        adn_ordering: str = "AND",
        deployed: bool = False,
        bias: bool = True,
    ) -> None:
        self.deployed = deployed
        self.bias = bias
        self.spatial_dims = spatial_dims
        self.adn_ordering = adn_ordering
        self.dropout = dropout
        self.conv_channels = conv_channels or {}
        self.units: list[str] = []

    def __call__(self, name: str, in_channels: int, out_channels: int, num_units: int) -> Block:
        """A block whose units are called ``name.0``, ``name.1`` ...; ``out_channels`` are those of its level."""
        block = Block()
        for k in range(num_units):
            unit = f"{name}.{k}"
            self.units.append(unit)
            dropout = self.dropout.get(unit, 0.0) if isinstance(self.dropout, Mapping) else self.dropout
            width = self.conv_channels.get(unit, out_channels)
            form = (self.adn_ordering, self.deployed, self.bias)
            block.append(conv_unit(self.spatial_dims, in_channels, width, dropout, *form))
            in_channels = width
        return block

    def check_names(self) -> None:
        """Raise ValueError if a width or a dropout was given for a unit that the network does not have."""
        named = {"conv_channels": self.conv_channels, "dropout": self.dropout}
        for argument, by_unit in named.items():
            unknown = [name for name in by_unit if name not in self.units] if isinstance(by_unit, Mapping) else []
            if unknown:
                raise ValueError(
                    f"{argument} names {unknown[0]!r}, which this network does not have; its convolutions are "
                    f"{', '.join(self.units)}"
                )


def block_channels(block: Block) -> int:
    """Channels that come out of a block."""
    return block[-1].conv.out_channels


def describe_units(network: nn.Module) -> dict[str, Any]:
    """The arguments ``conv_channels`` and ``dropout`` of a network: width and dropout of every unit of its blocks, by
    the name of the unit. A deployed network has no dropout."""
    blocks = {name: module for name, module in network.named_modules() if isinstance(module, Block)}
    units = {f"{name}.{k}": unit for name, block in blocks.items() for k, unit in enumerate(block)}
    return {
        "conv_channels": {name: unit.conv.out_channels for name, unit in units.items()},
        "dropout": 0.0 if network.deployed else {name: unit.adn.D.p for name, unit in units.items()},
    }


def upsampling(spatial_dims: int, in_channels: int, out_channels: int) -> nn.Module:
    """A learned doubling of the resolution: transposed convolution, kernel 2, stride 2, with bias."""
    return Conv[Conv.CONVTRANS, spatial_dims](in_channels, out_channels, kernel_size=2, stride=2)


def interpolation(spatial_dims: int) -> nn.Module:
    """A linear doubling of the resolution; the corners stay where they are."""
    return nn.Upsample(scale_factor=2, mode="bilinear" if spatial_dims == 2 else "trilinear", align_corners=True)


def pointwise(spatial_dims: int, in_channels: int, out_channels: int) -> nn.Module:
    """The head: a 1 x 1 (x 1) convolution with bias."""
    return Conv[Conv.CONV, spatial_dims](in_channels, out_channels, kernel_size=1)


def pooling(spatial_dims: int) -> nn.Module:
    """Max pooling that halves the resolution."""
    return Pool[Pool.MAX, spatial_dims](kernel_size=2)


def every_second(x: torch.Tensor) -> torch.Tensor:
    """The voxels that a 1 x 1 (x 1) convolution of stride 2 reads. The convolution itself, in 2D and channels last on a
    CPU, writes outside its memory in the backward pass of torch 2.13.

    Args:
        x: ``(B, C, [D,] H, W)``.

    Example:
        >>> every_second(torch.arange(10).view(1, 1, 2, 5)).tolist()
        [[[[0, 2, 4]]]]
    """
    return x[:, :, ::2, ::2, ::2] if x.dim() == 5 else x[:, :, ::2, ::2]
