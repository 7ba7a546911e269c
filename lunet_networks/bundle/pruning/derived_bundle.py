"""A bundle that is made from another one: the same configs, with a changed network spelled out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from lunet_networks.bundle.runtime.files import config_text

__all__ = ["derived_files", "spell_out", "without_preset"]

TRAINING_ONLY = ("dropout", "deep_supervision")  # configs without a training do not name them
COPIED = ("LICENSE", "docs/data_license.txt", "configs/logging.conf")


def derived_files(
    source: str | Path, network: nn.Module, form: str, description: str, sections: Mapping[str, str]
) -> dict[str, bytes]:
    """The files of the new bundle by their path in it, without the weights.

    Args:
        source: folder of the original bundle.
        network: the configs name its class and arguments.
        form: a word to append to the bundle's name, such as "pruned".
        description: what was done to the network, without a full stop.
        sections: new texts for sections of the model card, by heading.
    """
    source = Path(source)
    package = [
        path.relative_to(source) for path in (source / "lunet_networks").rglob("*") if "__pycache__" not in path.parts
    ]
    copied = [*COPIED, *package]  # a packed bundle contains the package
    content = {str(name): (source / name).read_bytes() for name in copied if (source / name).is_file()}
    for path in sorted((source / "configs").glob("*.json")):
        config = json.loads(path.read_text(encoding="utf-8"))
        if path.name == "metadata.json":
            name = config["name"].removesuffix(f", {form}")
            config |= {"name": f"{name}, {form}", "description": f"{name}. {description}"}
        else:
            config = spell_out(config, network)
        content[f"configs/{path.name}"] = config_text(config).encode()
    card = (source / "docs" / "README.md").read_text(encoding="utf-8")
    content["docs/README.md"] = _card(card, sections).encode()
    return content


def spell_out(config: dict[str, Any], network: nn.Module) -> dict[str, Any]:
    """Replace the preset of a config by the class and arguments of a network.

    Args:
        config: of a bundle.
        network: of a class of ``lunet_networks.nets``.

    Example:
        >>> from lunet_networks import UNet
        >>> network = UNet(channels=(2, 3), convs_per_block=1)
        >>> network_def = {"_target_": "lunet_networks.create_network", "preset": "@preset"}
        >>> config = spell_out({"preset": "unet_small_4f", "network_def": network_def}, network)
        >>> config["network_def"]["_target_"], config["network_def"]["channels"], "preset" in config
        ('lunet_networks.nets.UNet', [2, 3], False)
    """
    config = without_preset(config)
    if not isinstance(config.get("network_def"), dict):
        return config
    spelled = {name: value for name, value in config["network_def"].items() if name != "preset"}
    description = network.describe()
    spelled["_target_"] = f"lunet_networks.nets.{type(network).__name__}"
    for name, value in description.items():
        if spelled.get(name) in (f"@{name}", f"$@settings['{name}']"):
            config[name] = value
        elif name in spelled or name not in TRAINING_ONLY:
            spelled[name] = value
    if description.get("deployed") and "deep_training" in config:
        config["deep_training"] = "none"  # a deployed network has no slope to raise
    return {**config, "network_def": spelled}


def without_preset(config: Mapping[str, Any]) -> dict[str, Any]:
    """A config without the setting ``preset``.

    Example:
        >>> without_preset({"preset": "unet_small_4f", "epochs": 3, "settings": {"preset": "@preset"}})
        {'epochs': 3, 'settings': {}}
    """
    config = {name: value for name, value in config.items() if name != "preset"}
    if isinstance(config.get("settings"), dict):
        config["settings"] = {name: value for name, value in config["settings"].items() if name != "preset"}
    return config


def _card(card: str, sections: Mapping[str, str]) -> str:
    """A model card with the texts of some sections replaced."""
    parts = card.split("\n## ")
    replaced = [
        f"{name}\n\n{sections[name]}\n" if (name := part.partition("\n")[0]) in sections else part for part in parts
    ]
    return "\n## ".join(replaced)
