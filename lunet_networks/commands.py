"""The command ``lunet`` and its subcommands. The code of a subcommand is imported only when it runs, not for help."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

import lunet_networks
from lunet_networks.authoring.command_help import list_commands
from lunet_networks.authoring.command_line import (
    check_usage,
    choose_command,
    help_asked_for,
    mistakes_told,
    run_commands,
)
from lunet_networks.authoring.completion import completion_script
from lunet_networks.authoring.described import Described, described_in
from lunet_networks.authoring.planning.described_settings import meanings
from lunet_networks.authoring.running.configs import CONFIGS, FRONTS
from lunet_networks.authoring.running.settings_help import settings_help

__all__ = ["COMMANDS", "Command", "described", "functions", "main", "options"]

AUTHORING = f"{lunet_networks.__name__}.authoring"


class Command(NamedTuple):
    """What a command runs.

    Args:
        summary: what it does.
        module: in ``lunet_networks.authoring``.
        functions: in that module; if there are several, the next word on the command line selects one.
    """

    summary: str
    module: str
    functions: tuple[str, ...]


DATASETS = ("phantom", "hippocampus", "nuclei", "rf_spectrograms", "mobilenet_v3_large")
COMMANDS = {
    "list": Command("list the networks with their parameters and multiply-accumulates", "presets", ("list_costs",)),
    "describe": Command("show a network block by block", "presets", ("describe",)),
    "get-data": Command("make or download a dataset to try things with", "samples.get_data", DATASETS),
    "make-datalist": Command(
        "write dataset.json for a folder of images and labels", "planning.make_datalist", ("make_datalist",)
    ),
    "fingerprint": Command(
        "measure a dataset: shapes, spacing, intensities, volumes of the labels", "planning.measuring", ("fingerprint",)
    ),
    "new-bundle": Command("make a bundle for a dataset", "planning.new_bundle", ("new_bundle",)),
    "train": Command("train a bundle", "running.fronts", ("train",)),
    "evaluate": Command("measure a trained bundle on cases with labels", "running.fronts", ("evaluate",)),
    "label": Command("write the label maps of new images", "running.fronts", ("label",)),
    "report": Command("measure a trained bundle and write report.html", "running.fronts", ("report",)),
    "crossval": Command("train and evaluate all folds of a dataset, with one table", "crossval", ("crossval",)),
    "score": Command("measure a folder of label maps against the truth", "comparing.score", ("score",)),
    "choose": Command("find the best of trained models and ensembles", "comparing.choose", ("choose",)),
    "verify": Command("check a bundle, as a folder or as a zip", "checking.verify", ("verify_bundle",)),
    "deploy": Command("fuse the layers of a trained bundle's network", "exporting.deploy", ("deploy_bundle",)),
    "export": Command(
        "write a trained network for ONNX Runtime, OpenVINO, TorchScript, TensorRT or as a web page",
        "exporting.export",
        ("export_bundle",),
    ),
    "package": Command("pack a trained bundle into one zip", "packaging.package", ("package_bundle",)),
    "convert-checkpoint": Command(
        "turn a published checkpoint into weights for this package",
        "exporting.convert_checkpoint",
        ("convert_checkpoint",),
    ),
    "demo": Command("run all steps from data to label maps, in a few minutes", "samples.demo", ("demo",)),
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line. A mistake of the user is reported in one line on stderr.

    Args:
        arguments: the words after ``lunet``; None takes them from the command line.
    """
    with mistakes_told():
        _run([*(sys.argv[1:] if arguments is None else arguments)] or ["--help"])


def _run(arguments: Sequence[str]) -> None:
    name, *rest = arguments
    if name in ("--help", "-h", "help"):
        print(list_commands("lunet", {each: command.summary for each, command in COMMANDS.items()}))
    elif name == "--version":
        print(lunet_networks.__version__)
    elif [name, *rest] == ["--", "--completion"]:  # as fire has it
        print(completion_script("lunet", {each: options(each) for each in COMMANDS}))
    else:
        chosen = choose_command("lunet", name, COMMANDS)
        if help_ := help_asked_for(f"lunet {chosen}", rest, described(chosen)):
            print(help_)
            if chosen in FRONTS:
                print("", settings_help(CONFIGS[FRONTS[chosen]], rest), sep="\n")
        else:
            check_usage(f"lunet {chosen}", rest, described(chosen))
            run_commands(*functions(chosen), name=f"lunet {chosen}", arguments=rest)


def functions(name: str) -> list[Callable[..., None]]:
    """Import what a command runs. If a package that it needs is missing, the process ends with status 1.

    Args:
        name: a key of ``COMMANDS``.
    """
    command = COMMANDS[name]
    try:
        module = import_module(f"{AUTHORING}.{command.module}")
    except ImportError as error:
        missing = (error.name or "").partition(".")[0]
        if missing in ("", lunet_networks.__name__):
            raise
        sys.exit(f'error: lunet {name} needs the package {missing}: pip install "lunet-networks[bundle]"')
    return [getattr(module, function) for function in command.functions]


def described(name: str) -> dict[str, Described]:
    """What a command runs, by name, with docstrings and arguments. Nothing is imported.

    Args:
        name: a key of ``COMMANDS``.
    """
    command = COMMANDS[name]
    source = Path(__file__).with_name("authoring").joinpath(*command.module.split(".")).with_suffix(".py")
    return described_in(source, command.functions)


def options(name: str) -> dict[str, list[str]]:
    """The options of a command, and the settings of most bundles where it takes them, by the function that it runs.
    Nothing is imported.

    Args:
        name: a key of ``COMMANDS``.

    Example:
        >>> options("describe")
        {'describe': ['preset', 'spatial_size', 'in_channels', 'out_channels']}
    """
    settings = meanings(CONFIGS[FRONTS[name]], common=True) if name in FRONTS else {}
    return {each: [*dict.fromkeys([*function.option_names(), *settings])] for each, function in described(name).items()}
