"""The form of a trained network that only predicts: the same function with fewer layers."""

from __future__ import annotations

import copy

from torch import nn

from lunet_networks import nets
from lunet_networks.nets.network import Network

__all__ = ["deploy"]


def deploy(network: nn.Module) -> Network:
    """The form of a trained network that only predicts.

    Batch norms are fused into the convolutions beside them. A batch norm after a ReLU (U-Net, UNet++) turns into
    limits to which the channels are clamped, one before it (most 2D networks) into weights. In an LV-UNet the two
    1 x 1 convolutions of every block become one as well, in a U-KAN every spline takes up its scale. Other norms depend
    on the image and stay: a PSP-Seg only loses the heads of its deep supervision, an EGE-UNet its argument for it, and
    MedNeXt and MALUNet are copied.

    Args:
        network: a network of this package in evaluation mode; it is not changed. An LV-UNet needs a slope of 1.

    Returns:
        A network of the same class in evaluation, on the same device and of the same type. Its output is the same
        except for rounding, and its parameters need no gradients. You can rebuild it from its ``describe()`` and its
        state dict. A network that is already deployed is copied.

    Raises:
        TypeError: if the network is of another class.
        ValueError: if the network is in training mode, or its slope is below 1: fusing would drop the leaky ReLU
            between the convolutions and change the output.

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
        raise TypeError(f"cannot deploy a {type(network).__name__}: it has to be one of {', '.join(nets.__all__)}")
    if network.training:
        raise ValueError("this network is in training mode, its batch norms still change: call deploy(network.eval())")
    form = copy.deepcopy(network) if network.deployed else network.deployed_form()
    return form.eval().requires_grad_(False)
