"""The command ``lunet``: a line each for what it offers. What a command does is imported when it is asked for."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from importlib import import_module

__all__ = ["COMMANDS", "main"]

COMMANDS = {  # name: module in lunet_networks.authoring, function or functions, what it does
    "list": ("presets", "list_costs", "the networks that have a name, with parameters and multiply-accumulates"),
    "describe": ("presets", "describe", "one of these networks, block by block"),
    "get-data": (
        "samples.get_data",
        "phantom hippocampus nuclei rf_spectrograms mobilenet_v3_large",
        "make or fetch a dataset to try things with",
    ),
    "make-datalist": (
        "planning.make_datalist",
        "make_datalist",
        "write dataset.json for a folder of images and labels",
    ),
    "fingerprint": ("planning.measuring", "fingerprint", "measure a dataset, in figures and a picture"),
    "new-bundle": ("planning.new_bundle", "new_bundle", "make a bundle for a dataset"),
    "crossval": ("crossval", "crossval", "train and evaluate all folds of a dataset, with one table"),
    "verify": ("checking.verify", "verify_bundle", "check that a bundle works for all who use bundles"),
    "deploy": ("exporting.deploy", "deploy_bundle", "fuse the layers of a trained bundle's network"),
    "export": (
        "exporting.export",
        "export_bundle",
        "write a trained network for ONNX Runtime, OpenVINO, TorchScript or TensorRT",
    ),
    "package": ("packaging.package", "package_bundle", "make one zip of a bundle and its weights"),
    "convert-checkpoint": ("exporting.convert_checkpoint", "convert_checkpoint", "turn published weights into ours"),
    "demo": ("samples.demo", "demo", "go the whole way from data to labels, in a few minutes"),
}
EXTRA = 'pip install "lunet-networks[bundle]"'


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; a mistake ends in one line on stderr.

    Args:
        arguments: those behind ``lunet``; None takes them from the command line.
    """
    name, *rest = [*(sys.argv[1:] if arguments is None else arguments)] or ["--help"]
    if name in ("--help", "-h", "help"):
        print(_overview())
    elif name == "--version":
        from lunet_networks import __version__

        print(__version__)
    elif name not in COMMANDS:
        near = get_close_matches(name, COMMANDS, n=1)
        hint = f"did you mean {near[0]}?" if near else "lunet --help lists the commands"
        sys.exit(f"error: there is no command {name!r}: {hint}")
    else:
        functions = _functions(name)
        from lunet_networks.authoring.command_line import run_commands

        run_commands(*functions, name=name, arguments=rest)


def _functions(name: str) -> list[Callable[..., None]]:
    """What a command calls; several where its first argument chooses."""
    module, names, _ = COMMANDS[name]
    try:
        found = import_module(f"lunet_networks.authoring.{module}")
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("lunet_networks"):
            raise
        sys.exit(f"error: lunet {name} needs the package {error.name}, which is not installed: {EXTRA}")
    return [getattr(found, function) for function in names.split()]


def _overview() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:{width}}  {what}" for name, (_, _, what) in COMMANDS.items()]
    return "\n".join(["usage: lunet COMMAND ...", "", *lines, "", "lunet COMMAND --help tells what a command takes"])
