"""The presets and what they cost, as tables on the screen."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from lunet_networks.presets import PRESETS, create_network, input_shape, list_presets
from lunet_networks.summary import count_macs, count_parameters, summarise_blocks

__all__ = ["describe", "list_costs"]


def list_costs(
    pattern: str = "*",
    spatial_size: tuple[int, ...] | None = None,
    in_channels: int | None = None,
    out_channels: int = 1,
) -> None:
    """List the presets with their parameters and multiply-accumulates (MACs) of one image.

    Args:
        pattern: of names, with wild-cards, such as 'lunet*'.
        spatial_size: of the image, such as 64,64,64, which is the default; of presets that are 2D it is 256,256. Two
            sizes ask for the 2D form.
        in_channels: 1 by default, of 2D presets 3.
        out_channels: of the network.
    """
    names = list_presets(str(pattern))
    if not names:
        raise ValueError(f"no preset matches {pattern!r}; there are: {', '.join(PRESETS.names)}")
    print(f"{'preset':<18} {'input':<20} {'parameters':>12} {'MACs':>16}  network")
    for name in names:
        network, shape = _make(name, spatial_size, in_channels, out_channels)
        costs = f"{count_parameters(network):>12,} {count_macs(network, shape):>16,}"
        print(f"{name:<18} {_times(shape):<20} {costs}  {PRESETS.components[name].description}")


def describe(
    preset: str, spatial_size: tuple[int, ...] | None = None, in_channels: int | None = None, out_channels: int = 1
) -> None:
    """Show a preset block by block: sizes, parameters, multiply-accumulates (MACs) of one image.

    Args:
        preset: its name.
        spatial_size: of the image, such as 64,64,64, which is the default; of presets that are 2D it is 256,256. Two
            sizes ask for the 2D form.
        in_channels: 1 by default, of 2D presets 3.
        out_channels: of the network.
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
    """A network and the shape of its input."""
    _, channels, *size = input_shape(preset) if preset in PRESETS else (1, 1)  # which create_network refuses
    channels, size = in_channels or channels, spatial_size or size
    if not isinstance(size, list | tuple) or not all(isinstance(side, int) for side in size):
        raise ValueError(f"--spatial_size takes a size for each axis, such as 64,64,64, not {size!r}")
    network = create_network(preset, spatial_dims=len(size), in_channels=channels, out_channels=out_channels)
    return network, (1, channels, *size)


def _times(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))
