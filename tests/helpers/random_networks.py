"""Small networks in which no weight and no statistic is a special one."""

import torch
from torch import nn

from lunet_networks import PSPSeg


def new_network(network_class: type[nn.Module], spatial_dims: int, seed: int, **settings: object) -> nn.Module:
    """Three levels, two channels of an image, two outputs; float64, in eval mode."""
    torch.manual_seed(seed)
    settings = {"channels": (3, 4, 5), "in_channels": 2, "out_channels": 2, **settings}
    network = network_class(spatial_dims=spatial_dims, **settings).double()
    for module in network.modules():
        if isinstance(module, (nn.BatchNorm2d, nn.BatchNorm3d)):
            nn.init.normal_(module.weight)
            nn.init.normal_(module.bias)
            nn.init.normal_(module.running_mean)
            nn.init.uniform_(module.running_var, 0.5, 2)
            module.num_batches_tracked += 7
    return network.eval()


def new_pspseg(spatial_dims: int = 2, seed: int = 0, **settings: object) -> PSPSeg:
    """Four levels with five redundant modules, two channels of an image, two outputs; float64, in eval mode."""
    torch.manual_seed(seed)
    settings = {"channels": (3, 4, 4, 5), "in_channels": 2, "out_channels": 2, **settings}
    network = PSPSeg(spatial_dims=spatial_dims, **settings).double()
    for parameter in network.parameters():
        if parameter.dim() == 0:  # the scales of the branches
            nn.init.uniform_(parameter, 0.5, 2)
    return network.eval()
