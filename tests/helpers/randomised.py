"""Networks as a training leaves them, without one."""

import torch


@torch.no_grad()
def randomise(network: torch.nn.Module, image: torch.Tensor) -> torch.nn.Module:
    """Give the batch norms the statistics of an image and random scales and shifts; in place, back in evaluation.

    With the statistics that a new network has, little of an image would come through many layers.
    """
    norms = [module for module in network.modules() if isinstance(module, torch.nn.modules.batchnorm._BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 1.0
        torch.nn.init.uniform_(norm.weight, 0.5, 1.5)
        torch.nn.init.uniform_(norm.bias, -0.5, 0.5)
    network.train()(image)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    return network.eval()
