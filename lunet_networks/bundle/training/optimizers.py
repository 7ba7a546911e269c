"""The published optimizers by name."""

from __future__ import annotations

from torch import nn
from torch.optim import SGD, Adam, AdamW, Optimizer

from lunet_networks.bundle.runtime.checks import choose

__all__ = ["OPTIMIZERS", "create_optimizer"]

OPTIMIZERS = {  # name: class and its keyword arguments
    "adam": (Adam, {}),
    "adamw": (AdamW, {"weight_decay": 1e-5}),
    "sgd": (SGD, {"momentum": 0.99, "nesterov": True, "weight_decay": 3e-5}),
}
# Where all parameters change in one call. With the small networks here, PyTorch's loop over the parameters would take
# five times as long, a fiftieth of a step.
FUSED = ("cpu", "cuda")


def create_optimizer(optimizer_name: str, network: nn.Module, learning_rate: float) -> Optimizer:
    """Create an optimizer for the parameters of a network.

    Args:
        optimizer_name: "adam"; "adamw" with Lean Unet's weight decay of 1e-5; "sgd" as in nnU-Net and PSP-Seg,
            with Nesterov momentum 0.99 and weight decay 3e-5.
        network: the network to train.
        learning_rate: initial learning rate; a schedule may lower it.

    Raises:
        ValueError: if no optimizer has this name.

    Example:
        >>> create_optimizer("adamw", nn.Linear(2, 1), 1e-2).defaults["weight_decay"]
        1e-05
    """
    optimizer, kwargs = choose("optimizer_name", optimizer_name, OPTIMIZERS)
    parameters = list(network.parameters())
    fused = all(each.device.type in FUSED for each in parameters)
    return optimizer(parameters, lr=learning_rate, fused=fused or None, **kwargs)
