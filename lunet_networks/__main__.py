"""``python -m lunet_networks``: the presets and what they cost."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from lunet_networks.presets import PRESETS, create_network, list_presets
from lunet_networks.summary import count_macs, count_parameters, summarise_blocks

EPILOG = (
    "MACs: multiply-accumulates of the convolutions of one volume, 64 x 64 x 64 unless --spatial_size says other. "
    "Two sizes ask for the 2D form."
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; a mistake ends in one line on stderr and exit status 1."""
    options = _parser().parse_args(arguments)
    shape = (1, options.in_channels, *options.spatial_size)
    keywords = {
        "spatial_dims": len(options.spatial_size),
        "in_channels": options.in_channels,
        "out_channels": options.out_channels,
    }
    try:
        if options.command == "describe":
            _print_blocks(options.preset, shape, keywords)
        else:
            _print_presets(options.pattern, shape, keywords)
    except ValueError as error:
        sys.exit(f"error: {error}")


def _parser() -> argparse.ArgumentParser:
    sizes = argparse.ArgumentParser(add_help=False)
    sizes.add_argument(
        "--spatial_size", type=int, nargs="+", default=[64, 64, 64], metavar="N", help="default 64 64 64"
    )
    sizes.add_argument("--in_channels", type=int, default=1, metavar="N")
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


def _print_presets(pattern: str, shape: tuple[int, ...], keywords: dict[str, int]) -> None:
    names = list_presets(pattern)
    if not names:
        raise ValueError(f"no preset matches {pattern!r}; there are: {', '.join(PRESETS.names)}")
    rows = []
    for name in names:
        network = create_network(name, **keywords)
        rows.append((name, count_parameters(network), count_macs(network, shape), PRESETS.components[name].description))
    print(f"input {_times(shape)}\n")
    print(f"{'preset':<18} {'parameters':>12} {'MACs':>16}  network")
    for name, parameters, macs, description in rows:
        print(f"{name:<18} {parameters:>12,} {macs:>16,}  {description}")


def _print_blocks(preset: str, shape: tuple[int, ...], keywords: dict[str, int]) -> None:
    network = create_network(preset, **keywords)
    print(f"{preset}: {PRESETS.components[preset].description}\ninput {_times(shape)}\n")
    print(f"{'block':<16} {'output':>20} {'parameters':>12} {'MACs':>16}")
    for block in summarise_blocks(network, shape):
        print(f"{block.name:<16} {_times(block.output_shape[1:]):>20} {block.parameters:>12,} {block.macs:>16,}")
    print(f"{'total':<16} {'':>20} {count_parameters(network):>12,} {count_macs(network, shape):>16,}")


def _times(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))


if __name__ == "__main__":
    main()
