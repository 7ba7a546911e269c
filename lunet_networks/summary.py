"""What a network costs: parameters and multiply-accumulates, in total and block by block."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from lunet_networks.nets.supervision import SUPERVISION

__all__ = ["BlockSummary", "count_macs", "count_parameters", "summarise_blocks"]


def count_parameters(network: nn.Module) -> int:
    """Number of the parameters of a network that predict, which are all but those of deep supervision.

    Example:
        >>> count_parameters(nn.Conv3d(1, 4, kernel_size=3))
        112
    """
    return sum(each.numel() for name, each in network.named_parameters() if not name.startswith(SUPERVISION))


def count_macs(network: nn.Module, input_shape: Sequence[int]) -> int:
    """Multiply-accumulates of one forward pass.

    PyTorch's ``FlopCounterMode`` counts convolutions, transposed convolutions (on the grid of their input) and linear
    layers. Bias, norm, activation, pooling, interpolation and additions are not counted. Nothing is computed: the pass
    runs on PyTorch's meta device.

    Args:
        network: any network; unchanged.
        input_shape: shape of the input, ``(B, C, [D,] H, W)``.

    Example:
        >>> count_macs(nn.Conv3d(1, 4, kernel_size=3, padding=1), (1, 1, 64, 64, 64)) == 64**3 * 4 * 27
        True
    """
    return _count(_meta_copy(network), input_shape).get_total_flops() // 2


def _meta_copy(network: nn.Module) -> nn.Module:
    return copy.deepcopy(network).to("meta").eval()


def _count(network: nn.Module, input_shape: Sequence[int]) -> FlopCounterMode:
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(torch.empty(tuple(input_shape), device="meta"))
    return counter


@dataclass(frozen=True)
class BlockSummary:
    """One block of a network: where it stands, what it makes of the input, what it costs."""

    name: str
    output_shape: tuple[int, ...]
    parameters: int
    macs: int


def summarise_blocks(network: nn.Module, input_shape: Sequence[int]) -> list[BlockSummary]:
    """The blocks of a network in the order in which they run.

    A block is a module with parameters, directly in the network or in its (nested) module lists.

    Args:
        network: any network; unchanged.
        input_shape: shape of the input, ``(B, C, [D,] H, W)``.

    Example:
        >>> from lunet_networks import UNet
        >>> blocks = summarise_blocks(UNet(channels=(4, 4)), (1, 1, 32, 32, 32))
        >>> [block.name for block in blocks]
        ['encoders.0', 'bottleneck', 'upsamples.0', 'decoders.0', 'segmenter', 'head']
        >>> blocks[1].output_shape
        (1, 4, 16, 16, 16)
    """
    network = _meta_copy(network)
    shapes: dict[str, tuple[int, ...]] = {}  # filled in the order of execution
    blocks = dict(_blocks(network))
    for name, block in blocks.items():
        block.register_forward_hook(lambda _, __, output, name=name: shapes.__setitem__(name, tuple(output.shape)))
    counts = _count(network, input_shape).get_flop_counts()
    root = type(network).__name__
    return [
        BlockSummary(
            name, shapes[name], count_parameters(blocks[name]), sum(counts.get(f"{root}.{name}", {}).values()) // 2
        )
        for name in shapes
    ]


def _blocks(module: nn.Module, prefix: str = "") -> Iterator[tuple[str, nn.Module]]:
    for name, child in module.named_children():
        if isinstance(child, nn.ModuleList):
            yield from _blocks(child, f"{prefix}{name}.")
        elif any(True for _ in child.parameters()):
            yield f"{prefix}{name}", child
