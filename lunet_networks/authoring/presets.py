"""The presets and what they cost, as tables on the screen."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from lunet_networks.presets import PRESETS, input_shape, list_presets, network_without_weights
from lunet_networks.summary import count_macs, count_parameters, summarise_blocks

__all__ = ["describe", "list_costs"]


def list_costs(
    pattern: str = "*",
    spatial_size: tuple[int, ...] | None = None,
    in_channels: int | None = None,
    out_channels: int = 1,
) -> None:
    """List the networks (presets) with their parameters and the multiply-accumulates (MACs) of one image.

    Args:
        pattern: of the names, such as 'lunet*'.
        spatial_size: size of the image, such as 64,64,64; two sizes ask for 2D networks. Without it 64,64,64, for
            presets in 2D 256,256.
        in_channels: channels of the image; without it 1, for presets in 2D 3.
        out_channels: channels of the output.
    """
    names = list_presets(str(pattern))
    if not names:
        raise ValueError(f"no preset matches {pattern!r}; there are: {', '.join(PRESETS.names)}")
    width = max(map(len, ("preset".ljust(18), *names)))
    print(f"{'preset':<{width}} {'input':<20} {'parameters':>12} {'MACs':>16}  network")
    for name in names:
        network, shape = _make(name, spatial_size, in_channels, out_channels)
        costs = f"{count_parameters(network):>12,} {count_macs(network, shape):>16,}"
        print(f"{name:<{width}} {_times(shape):<20} {costs}  {PRESETS.components[name].description}")


def describe(
    preset: str, spatial_size: tuple[int, ...] | None = None, in_channels: int | None = None, out_channels: int = 1
) -> None:
    """Show a network block by block: sizes, parameters and multiply-accumulates (MACs) of one image.

    Args:
        preset: name of the network, such as lunet_small_4f; lunet list shows all.
        spatial_size: size of the image, such as 64,64,64; two sizes ask for the network in 2D. Without it 64,64,64, for
            presets in 2D 256,256.
        in_channels: channels of the image; without it 1, for presets in 2D 3.
        out_channels: channels of the output.
    """
    network, shape = _make(str(preset), spatial_size, in_channels, out_channels)
    print(f"{preset}: {PRESETS.components[preset].description}\ninput {_times(shape)}\n")
    print(f"{'block':<16} {'output':>20} {'parameters':>12} {'MACs':>16}")
    for block in summarise_blocks(network, shape):
        print(f"{block.name:<16} {_times(block.output_shape[1:]):>20} {block.parameters:>12,} {block.macs:>16,}")
    print(f"{'total':<16} {'':>20} {count_parameters(network):>12,} {count_macs(network, shape):>16,}")


def _make(
    preset: str, spatial_size: Sequence[int] | None, in_channels: int | None, out_channels: int
) -> tuple[nn.Module, tuple[int, ...]]:
    """A network without weights and the shape of its input."""
    _, channels, *size = input_shape(preset) if preset in PRESETS else (1, 1)  # which is refused below
    channels, size = in_channels or channels, spatial_size or size
    if not isinstance(size, list | tuple) or not all(isinstance(side, int) for side in size):
        raise ValueError(f"--spatial_size takes a size for each axis, such as 64,64,64, not {size!r}")
    network = network_without_weights(preset, spatial_dims=len(size), in_channels=channels, out_channels=out_channels)
    return network, (1, channels, *size)


def _times(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))
