"""Where a training starts: with a head that takes foreground for rare, as it is."""

from __future__ import annotations

import math

import torch
from torch import nn

from lunet_networks.bundle.training.weights import name_of_head

__all__ = ["start_at_prior"]


@torch.no_grad()
def start_at_prior(network: nn.Module, foreground_prior: float) -> None:
    """Set the bias of a network's head, and of those of its deep supervision, so that a voxel whose features are 0 is
    foreground with a probability.

    A new head takes all labels for equally likely, and the first steps push foreground down everywhere. A network with
    a single channel at full resolution can do that by a channel whose ReLU is never active again: it has died, and
    learns nothing more. With this start there is little to push. All other weights stay as they are.

    Args:
        network: whose last layer with parameters has a bias for each output: one output (sigmoid), or several, the
            first of which is the background (softmax).
        foreground_prior: the probability, between 0 and 1; several labels share it evenly.

    Raises:
        ValueError: if the last layer has no bias.

    Source:
        Lin et al., Focal Loss for Dense Object Detection, ICCV 2017, section 4.1 (there 0.01).

    Example:
        >>> head = nn.Conv3d(4, 3, kernel_size=1)
        >>> start_at_prior(head, 0.1)
        >>> head.bias.softmax(0)
        tensor([0.9000, 0.0500, 0.0500], grad_fn=<SoftmaxBackward0>)
    """
    name = name_of_head(network)
    bias = getattr(network.get_submodule(name), "bias", None)
    if not isinstance(bias, torch.Tensor):
        raise ValueError(
            f"foreground_prior is {foreground_prior}: {type(network).__name__} has no bias in its last layer ({name}): "
            "train it with --foreground_prior 0"
        )
    labels = max(len(bias) - 1, 1)
    bias.fill_(math.log(foreground_prior / labels / (1 - foreground_prior)))
    if len(bias) > 1:
        bias[0] = 0
    for head in getattr(network, "supervision_heads", ()):
        head.bias.copy_(bias)
