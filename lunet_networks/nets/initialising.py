"""The start of networks whose authors replaced PyTorch's own initialisation."""

from __future__ import annotations

import math

from torch import nn

__all__ = ["initialise_by_outputs"]


def initialise_by_outputs(network: nn.Module) -> None:
    """Start linear layers and convolutions as vision transformers do, in place.

    Linear layers: normal with a standard deviation of 0.02, cut off at 2, and a bias of 0. 2D convolutions: normal with
    the variance 2 / (number of outputs that an input reaches), and a bias of 0. 1D convolutions: the same, without
    regard to their groups, and PyTorch's bias.

    Source:
        The published code of UNeXt, MALUNet and EGE-UNet.

    Example:
        >>> layer = nn.Conv2d(64, 64, kernel_size=3, groups=64)
        >>> initialise_by_outputs(layer)
        >>> 0.15 < layer.weight.var().item() < 0.3, layer.bias.any().item()  # 2 / 9
        (True, False)
    """
    for module in network.modules():
        if isinstance(module, nn.Linear):
            nn.init.trunc_normal_(module.weight, std=0.02)
            nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Conv1d):
            reached = module.out_channels * module.kernel_size[0]
            nn.init.normal_(module.weight, std=math.sqrt(2 / reached))
        elif isinstance(module, nn.Conv2d):
            reached = module.out_channels * math.prod(module.kernel_size) // module.groups
            nn.init.normal_(module.weight, std=math.sqrt(2 / reached))
            if module.bias is not None:
                nn.init.zeros_(module.bias)
