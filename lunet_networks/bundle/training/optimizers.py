"""The published optimizers by name."""

from __future__ import annotations

from torch import nn
from torch.optim import SGD, Adam, AdamW, Optimizer

from lunet_networks.bundle.runtime.checks import choose

__all__ = ["OPTIMIZERS", "create_optimizer"]

OPTIMIZERS = {  # name: class and its keywords
    "adam": (Adam, {}),
    "adamw": (AdamW, {"weight_decay": 1e-5}),
    "sgd": (SGD, {"momentum": 0.99, "nesterov": True, "weight_decay": 3e-5}),
}


def create_optimizer(optimizer_name: str, network: nn.Module, learning_rate: float) -> Optimizer:
    """An optimizer of the network's parameters.

    Args:
        optimizer_name: "adam"; "adamw" with Lean Unet's weight decay of 1e-5; "sgd" as nnU-Net and PSP-Seg have it,
            with Nesterov's momentum 0.99 and weight decay 3e-5.
        network: whose parameters are trained.
        learning_rate: at the start; a schedule may lower it.

    Raises:
        ValueError: if there is no such optimizer.

    Example:
        >>> create_optimizer("adamw", nn.Linear(2, 1), 1e-2).defaults["weight_decay"]
        1e-05
    """
    optimizer, kwargs = choose("optimizer_name", optimizer_name, OPTIMIZERS)
    return optimizer(network.parameters(), lr=learning_rate, **kwargs)
