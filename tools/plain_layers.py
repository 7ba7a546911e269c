"""Networks as they are published: PyTorch's own layers, one after the other."""

import torch
from monai.networks.blocks.mednext_block import MedNeXtBlock, MedNeXtDownBlock, MedNeXtUpBlock
from torch import nn

from lunet_networks.nets.layers import ConvUnit

KINDS = (
    *(nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d, nn.ConvTranspose3d, nn.MaxPool2d, nn.MaxPool3d),
    *(nn.GroupNorm, nn.InstanceNorm2d, nn.InstanceNorm3d),
    *(MedNeXtDownBlock, MedNeXtUpBlock, MedNeXtBlock),  # the first two are of the last class, too
)


class PlainUnit(ConvUnit):
    """A unit whose layers run one by one."""

    def forward(self, inputs: list[torch.Tensor]) -> torch.Tensor:
        return self.adn(self.conv(torch.cat(inputs, dim=1)))


def with_plain_layers(network: nn.Module) -> nn.Module:
    """Take all that ``lunet_networks`` does for speed away from a network.

    Args:
        network: of this package; changed in place.

    Returns:
        The same network.

    Example:
        >>> from lunet_networks import create_network
        >>> type(with_plain_layers(create_network("lunet_small_4f")).head).__module__
        'torch.nn.modules.conv'
    """
    for module in network.modules():
        kind = next((kind for kind in (ConvUnit, *KINDS) if isinstance(module, kind)), None)
        if kind is not None:
            module.__class__ = PlainUnit if kind is ConvUnit else kind
    return network
