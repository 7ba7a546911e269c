"""The command that runs a bundle, and those that may follow it."""

from __future__ import annotations

import ast
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence

__all__ = ["config_command", "next_command", "quoted", "running_command"]

IN_DOUBLE_QUOTES = set('$`"\\!')  # what a shell still reads there
MODULE = ("-m", "monai.bundle", "run")

Changes = Callable[[dict[str, str]], dict[str, str]]


def running_command() -> list[str]:
    """The arguments of this process behind ``python -m monai.bundle run``; none if it was started in another way."""
    words = sys.orig_argv
    for place in range(len(words)):
        if tuple(words[place : place + len(MODULE)]) == MODULE:
            return words[place + len(MODULE) :]
    return []


def config_command(run_id: str, configs: Sequence[str], settings: Mapping[str, str]) -> str:
    """A command as it is typed.

    Example:
        >>> config_command("inference", ["configs/inference.json"], {"dataset_dir": "my images"})
        "python -m monai.bundle run inference --config_file configs/inference.json --dataset_dir 'my images'"
        >>> config_command("evaluation", ["a.json", "b.json"], {})
        'python -m monai.bundle run evaluation --config_file "[\\'a.json\\',\\'b.json\\']"'
    """
    files = configs[0] if len(configs) == 1 else "[" + ",".join(f"'{file}'" for file in configs) + "]"
    options = "".join(f" --{name} {quoted(value)}" for name, value in settings.items())
    return f"python {' '.join(MODULE)} {run_id} --config_file {quoted(files)}{options}"


def quoted(word: str) -> str:
    """A word for a shell, in double quotation marks if that spares those around every name of a network_def.

    Example:
        >>> print(quoted("{'_target_': 'monai.networks.nets.UNet'}"))
        "{'_target_': 'monai.networks.nets.UNet'}"
    """
    return f'"{word}"' if "'" in word and not set(word) & IN_DOUBLE_QUOTES else shlex.quote(word)


def next_command(
    arguments: Sequence[str], run_id: str, configs: Callable[[list[str]], list[str]], settings: Changes
) -> str:
    """A command for the bundle of another command.

    Args:
        arguments: of that command, see ``running_command``.
        run_id: what to run.
        configs: makes the list of config files of that of the other command.
        settings: makes the settings of those of the other command.

    Returns:
        "" if the arguments are not understood.

    Example:
        >>> arguments = ["training", "--config_file", "configs/train.json", "--fold", "1"]
        >>> next_command(arguments, "training", list, lambda given: {**given, "resume": "True"})
        'python -m monai.bundle run training --config_file configs/train.json --fold 1 --resume True'
    """
    given = _options(arguments[1:])
    files = _files(given.pop("config_file", ""))
    return config_command(run_id, configs(files), settings(given)) if files else ""


def _options(words: Sequence[str]) -> dict[str, str]:
    """Options by name, given as ``--name value`` or ``--name=value``."""
    options: dict[str, str] = {}
    rest = list(words)
    while rest:
        name, given, value = rest.pop(0).removeprefix("--").partition("=")
        options[name] = value if given else rest.pop(0) if rest else ""
    return options


def _files(text: str) -> list[str]:
    if not text.startswith("["):
        return [text] if text else []
    try:
        return [str(file) for file in ast.literal_eval(text)]
    except (ValueError, SyntaxError):  # fire also takes names without quotation marks
        return [file.strip() for file in text.strip("[]").split(",")]
