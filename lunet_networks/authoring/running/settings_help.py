"""The settings of a bundle for ``--help``: names and defaults of its configs, what they mean from the comments of the
templates, as in the model card. It imports nothing that takes seconds."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lunet_networks.authoring.command_help import columns
from lunet_networks.authoring.literals import literal_value
from lunet_networks.authoring.planning.described_settings import meanings
from lunet_networks.authoring.running.configs import config_files

IN_BUNDLE = re.compile(r"\$(?:str\()?@bundle_root\)? \+ '(.*)'")


def settings_help(configs: Sequence[str], arguments: Sequence[str]) -> str:
    """The settings of a command, a line each: of the bundle that is named, otherwise those of most bundles.

    Args:
        configs: names of the config files.
        arguments: of the command line; the first folder with configs is the bundle.
    """
    bundle = next((Path(word) for word in arguments if (Path(word) / "configs").is_dir()), None)
    if bundle is None:
        rows = [(f"--{setting}", text) for setting, text in meanings(configs, common=True).items()]
        return "\n".join(
            ["Settings of most bundles; name the bundle to see its own, with defaults:", "", *columns(rows)]
        )
    told, rows = meanings(["train", *configs]), []  # inference repeats settings of the training
    for setting, default in _defaults(bundle, configs).items():
        if setting not in told:  # a part of the config
            continue
        shown = _shown(default)
        text = told[setting].rstrip(".")
        rows.append((f"--{setting}", f"{text}. Default: {shown}" if shown else text))
    return "\n".join([f"Settings of {bundle}:", "", *columns(rows)])


def _defaults(bundle: Path, configs: Sequence[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for path in config_files(bundle, configs):
        found |= json.loads(path.read_text(encoding="utf-8"))
    return found


def _shown(default: Any) -> str:
    """A default in words; nothing for an expression, which the meaning explains."""
    value = literal_value(default)
    if isinstance(value, str) and (found := IN_BUNDLE.fullmatch(value)):
        return f"BUNDLE{found[1]}"
    if isinstance(value, str):
        return "" if value.startswith("$") else value
    if isinstance(value, list) and any("$" in str(each) for each in value):
        return ""
    return json.dumps(value, ensure_ascii=False)
