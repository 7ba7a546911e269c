"""The blocks of PSP-Seg: modules of parallel or sequential branches that are redundant on purpose, and the layers
around them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from monai.networks.blocks import Convolution, ResidualUnit, UpSample
from monai.networks.layers.factories import Act
from torch import nn

from lunet_networks.nets import fast_residuals
from lunet_networks.nets.layers import every_second, pointwise

__all__ = ["KERNELS", "ConvBlock", "DownSample", "RedundantModule", "check_branches", "redundant_modules", "upsample"]

ACT = ("leakyrelu", {"negative_slope": 0.01})
NORM_ONLY = {"adn_ordering": "N", "act": None, "norm": "instance"}

_LINES = [(1, 1, 3), (1, 3, 1), (3, 1, 1)]
_PLANES = [(1, 3, 3), (3, 1, 3), (3, 3, 1)]
KERNELS = {  # of the branches, by how many there are
    1: [(1, 1, 1)],
    4: [(1, 1, 1), *_PLANES],
    7: [(1, 1, 1), *_LINES, *_PLANES],
}


def _norm_act_dropout(spatial_dims: int, dropout: float) -> dict[str, Any]:
    """What follows a convolution, as MONAI's blocks take it."""
    return {"adn_ordering": "NAD", "act": ACT, "norm": "instance", "dropout": dropout, "dropout_dim": spatial_dims}


class ConvBlock(ResidualUnit):
    """Convolution (kernel 3) -> instance norm -> leaky ReLU -> channel dropout, added to the input."""

    def __init__(self, spatial_dims: int, channels: int, dropout: float) -> None:
        super().__init__(spatial_dims, channels, channels, subunits=1, **_norm_act_dropout(spatial_dims, dropout))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not torch.jit.is_scripting():
            fused = fast_residuals.residual(self, x)
            if fused is not None:
                return fused
        return self.conv(x) + self.residual(x)


def upsample(spatial_dims: int, in_channels: int, out_channels: int) -> UpSample:
    """A 1 x 1 (x 1) convolution and a doubling by nearest neighbours, in the order that costs less: they commute."""
    return UpSample(
        spatial_dims,
        mode="nontrainable",
        pre_conv=pointwise(spatial_dims, in_channels, out_channels),
        interp_mode="nearest",
        align_corners=None,
    )


class DownSample(nn.Module):
    """Halves the resolution: two units of convolution (kernel 3, the first of stride 2) and instance norm beside a
    1 x 1 (x 1) convolution of stride 2, then a leaky ReLU on the sum."""

    def __init__(self, spatial_dims: int, in_channels: int, out_channels: int, dropout: float) -> None:
        super().__init__()
        self.units = nn.Sequential(
            Convolution(spatial_dims, in_channels, out_channels, strides=2, **_norm_act_dropout(spatial_dims, dropout)),
            Convolution(spatial_dims, out_channels, out_channels, **NORM_ONLY),
        )
        self.bypass = Convolution(spatial_dims, in_channels, out_channels, kernel_size=1, conv_only=True)
        self.act = _activation()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not torch.jit.is_scripting():
            fused = fast_residuals.downsample(self, x)
            if fused is not None:
                return fused
        return self.act(self.bypass(every_second(x)) + self.units(x))


class Branch(nn.Module):
    """A 1 x 1 (x 1) convolution to ``hidden`` channels and one of any kernel back, with instance norms and a leaky ReLU
    between them, times a learned scale that starts at 0."""

    def __init__(self, spatial_dims: int, channels: int, hidden: int, kernel: Sequence[int], dropout: float) -> None:
        super().__init__()
        # A parameter of its own: no optimizer moves it while the branch is masked.
        self.scale = nn.Parameter(torch.zeros(()))
        self.units = nn.Sequential(
            Convolution(spatial_dims, channels, hidden, kernel_size=1, **_norm_act_dropout(spatial_dims, dropout)),
            Convolution(spatial_dims, hidden, channels, kernel_size=kernel, **NORM_ONLY),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.scale * self.units(x)


class RedundantModule(nn.Module):
    """Branches of different kernels whose outputs are added to the input, side by side or one after the other.

    With parallel branches a leaky ReLU follows the sum; with sequential ones there is none. A module of which no branch
    is computed is the identity, without a leaky ReLU, as in the published code. It makes no difference whether its
    branches are masked here, masked in published weights, or removed.

    Branches keep their number when others are removed. A masked branch exists but is not computed; masks are part of
    the state dict.

    Args:
        spatial_dims: 2 or 3.
        channels: of input and output.
        hidden: channels inside a branch.
        num_branches: one of ``KERNELS``; in 2D the kernels are those of 3D without their first axis, so some of
            the seven occur twice.
        numbers: of the branches that exist, ascending; None: all.
        parallel: side by side.
        dropout: probability of dropping a channel inside a branch.

    Shape:
        ``(B, channels, [D,] H, W)`` in and out.

    Source:
        PSP-Seg, arXiv 2509.09267, and its code: the parallel and the sequential redundant module.

    Example:
        >>> module = RedundantModule(2, channels=4, hidden=2, num_branches=4, numbers=[0, 3])
        >>> module.active_branches()
        [0, 3]
        >>> module.mask([3])
        >>> module.active_branches(), module.masked_branches()
        ([0], [3])
    """

    def __init__(
        self,
        spatial_dims: int,
        channels: int,
        hidden: int,
        num_branches: int,
        numbers: Iterable[int] | None = None,
        parallel: bool = True,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        kernels = KERNELS[num_branches]
        self.numbers = list(range(num_branches) if numbers is None else numbers)
        self.parallel = parallel
        self.branches = nn.ModuleDict(
            {str(n): Branch(spatial_dims, channels, hidden, kernels[n][-spatial_dims:], dropout) for n in self.numbers}
        )
        self.active = [True] * len(self.numbers)  # in the order of numbers
        self.act = _activation() if parallel else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not torch.jit.is_scripting():
            fused = fast_residuals.redundant(self, x)
            if fused is not None:
                return fused
        total, is_identity = x, True
        for place, branch in enumerate(self.branches.values()):
            if self.active[place]:
                total = total + branch(x if self.parallel else total)
                is_identity = False
        return total if is_identity else self.act(total)

    def active_branches(self) -> list[int]:
        """Numbers of the branches that are computed."""
        return [number for number, active in zip(self.numbers, self.active, strict=True) if active]

    def masked_branches(self) -> list[int]:
        """Numbers of the branches that exist but are not computed."""
        return [number for number, active in zip(self.numbers, self.active, strict=True) if not active]

    def mask(self, numbers: Iterable[int]) -> None:
        """Mask more branches: they are not computed from now on."""
        for number in numbers:
            self.active[self.numbers.index(number)] = False
            for parameter in self.branches[str(number)].parameters():
                parameter.grad = None  # optimizers change parameters with a gradient, even if it is 0

    def unmask(self) -> None:
        """Compute all branches again."""
        self.active = [True] * len(self.numbers)

    # Masks decide in Python which branches are computed, so they are not a tensor on a device. They are integers in the
    # state dict, because federated clients subtract state dicts and booleans cannot be subtracted.

    def get_extra_state(self) -> torch.Tensor:
        """The masks as the state dict has them."""
        return torch.tensor(self.active, dtype=torch.long)

    def set_extra_state(self, state: torch.Tensor) -> None:
        """Take the masks of a state dict."""
        if len(state) == len(self.active):  # else the branches differ too, and PyTorch names those
            self.active = [bool(active) for active in state.tolist()]


def redundant_modules(network: nn.Module) -> dict[str, RedundantModule]:
    """The redundant modules of a network by their names.

    Raises:
        TypeError: if it has none.
    """
    modules = {name: module for name, module in network.named_modules() if isinstance(module, RedundantModule)}
    if not modules:
        raise TypeError(f"branches can only be pruned from a PSPSeg, not from a {type(network).__name__}")
    return modules


def check_branches(branches: Mapping[str, Sequence[int]], modules: Sequence[str], num_branches: int) -> None:
    """Raise ValueError unless ``branches`` names redundant modules and, for each, the numbers of some branches."""
    for name, numbers in branches.items():
        if name not in modules:
            raise ValueError(
                f"branches names {name!r}, which is not a redundant module of this network; these are "
                f"{', '.join(modules)}"
            )
        if list(numbers) != sorted({number for number in numbers if number in range(num_branches)}):
            raise ValueError(
                f"branches gives {name} {list(numbers)!r}: it takes numbers from 0 to {num_branches - 1} in ascending "
                "order"
            )


def _activation() -> nn.Module:
    name, arguments = ACT
    return Act[name](**arguments)
