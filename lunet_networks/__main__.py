"""``python -m lunet_networks``: the presets and what they cost."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from torch import nn

from lunet_networks.presets import PRESETS, create_network, input_shape, list_presets
from lunet_networks.summary import count_macs, count_parameters, summarise_blocks

EPILOG = (
    "MACs: multiply-accumulates of the convolutions of one image, 64 x 64 x 64 voxels or, of presets that are 2D, "
    "256 x 256, unless --spatial_size says other. Two sizes ask for the 2D form."
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; a mistake ends in one line on stderr and exit status 1."""
    options = _parser().parse_args(arguments)
    try:
        if options.command == "describe":
            _print_blocks(options.preset, options)
        else:
            _print_presets(options.pattern, options)
    except ValueError as error:
        sys.exit(f"error: {error}")


def _parser() -> argparse.ArgumentParser:
    sizes = argparse.ArgumentParser(add_help=False)
    sizes.add_argument(
        "--spatial_size", type=int, nargs="+", metavar="N", help="default 64 64 64, of 2D presets 256 256"
    )
    sizes.add_argument("--in_channels", type=int, metavar="N", help="default 1, of 2D presets 3")
    sizes.add_argument("--out_channels", type=int, default=1, metavar="N")
    parser = argparse.ArgumentParser(
        prog="python -m lunet_networks", description=__doc__, epilog=EPILOG, parents=[sizes]
    )
    parser.set_defaults(pattern="*")
    commands = parser.add_subparsers(dest="command", metavar="list | describe")
    list_command = commands.add_parser("list", parents=[sizes], epilog=EPILOG, help="the presets (the default)")
    list_command.add_argument("pattern", nargs="?", default="*", help="with wild-cards, such as 'lunet*'")
    describe = commands.add_parser("describe", parents=[sizes], epilog=EPILOG, help="one preset, block by block")
    describe.add_argument("preset")
    return parser


def _make(preset: str, options: argparse.Namespace) -> tuple[nn.Module, tuple[int, ...]]:
    """A network and the shape of its input."""
    _, in_channels, *size = input_shape(preset) if preset in PRESETS else (1, 1)  # which create_network refuses
    in_channels, size = options.in_channels or in_channels, options.spatial_size or size
    network = create_network(preset, spatial_dims=len(size), in_channels=in_channels, out_channels=options.out_channels)
    return network, (1, in_channels, *size)


def _print_presets(pattern: str, options: argparse.Namespace) -> None:
    names = list_presets(pattern)
    if not names:
        raise ValueError(f"no preset matches {pattern!r}; there are: {', '.join(PRESETS.names)}")
    rows = []
    for name in names:
        network, shape = _make(name, options)
        costs = count_parameters(network), count_macs(network, shape)
        rows.append((name, _times(shape), *costs, PRESETS.components[name].description))
    print(f"{'preset':<18} {'input':<20} {'parameters':>12} {'MACs':>16}  network")
    for name, size, parameters, macs, description in rows:
        print(f"{name:<18} {size:<20} {parameters:>12,} {macs:>16,}  {description}")


def _print_blocks(preset: str, options: argparse.Namespace) -> None:
    network, shape = _make(preset, options)
    print(f"{preset}: {PRESETS.components[preset].description}\ninput {_times(shape)}\n")
    print(f"{'block':<16} {'output':>20} {'parameters':>12} {'MACs':>16}")
    for block in summarise_blocks(network, shape):
        print(f"{block.name:<16} {_times(block.output_shape[1:]):>20} {block.parameters:>12,} {block.macs:>16,}")
    print(f"{'total':<16} {'':>20} {count_parameters(network):>12,} {count_macs(network, shape):>16,}")


def _times(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))


if __name__ == "__main__":
    main()
