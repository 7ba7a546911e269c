"""A network that no engine computes as PyTorch does, for it never computes the same twice."""

import torch
from torch import nn


class NoisyNetwork(nn.Module):
    """A convolution whose answers are a little louder or softer each time."""

    size_multiple = 1

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv3d(1, 3, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(x) * (1 + torch.rand(1))
