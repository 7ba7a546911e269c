"""The form of a trained network that only predicts: the same function with fewer layers."""

from __future__ import annotations

import copy

from torch import nn

from lunet_networks import nets
from lunet_networks.nets.network import Network

__all__ = ["deploy"]


def deploy(network: nn.Module) -> Network:
    """The form of a trained network that only predicts.

    Batch norms become a part of the convolutions beside them: behind a ReLU (U-Net, UNet++) as limits between which
    its channels are clamped, in front of it (LMSC-UNet, LV-UNet) as weights. In an LV-UNet the two 1 x 1 convolutions
    of every block become one as well. Instance norms (PSP-Seg, MedNeXt) depend on the image and stay: a PSP-Seg loses
    the heads of its deep supervision, a MedNeXt is copied.

    Args:
        network: of any class of this package, in evaluation; unchanged. An LV-UNet has a slope of 1.

    Returns:
        A network of the same class in evaluation, on the same device and of the same type. Its output is the same but
        for rounding, its parameters ask for no gradients. ``describe()`` and its state dict are all that it takes to
        make it again. A network that is deployed already comes back as a copy.

    Raises:
        TypeError: if the network is of another class.
        ValueError: if the network is in training, or its slope is below 1: the leaky ReLU between the convolutions
            would be lost, and the output be another.

    Example:
        >>> import torch
        >>> from lunet_networks import UNet
        >>> network = UNet(channels=(4, 4, 4, 4, 4)).eval()  # lunet_small_4f
        >>> deployed = deploy(network)
        >>> image = torch.rand(1, 1, 32, 32, 32)
        >>> torch.allclose(deployed(image), network(image), atol=1e-5)
        True
        >>> again = UNet(**deployed.describe())
        >>> again.load_state_dict(deployed.state_dict())
        <All keys matched successfully>
    """
    if not isinstance(network, Network):
        raise TypeError(f"one of {', '.join(nets.__all__)} can be deployed, not a {type(network).__name__}")
    if network.training:
        raise ValueError("this network is in training, where its batch norms still change: deploy(network.eval())")
    form = copy.deepcopy(network) if network.deployed else network.deployed_form()
    return form.eval().requires_grad_(False)
