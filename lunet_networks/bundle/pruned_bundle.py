"""A pruned network is a bundle: the configs of the one that it comes from, with the network spelled out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from lunet_networks.bundle.checkpoints import save_atomically
from lunet_networks.bundle.files import config_text, write_atomically
from lunet_networks.bundle.pruning_history import PRUNING_HISTORY, PRUNING_PICTURE, PruningHistory
from lunet_networks.pruning import describe_network

__all__ = ["PrunedBundle", "without_preset"]

MARK = f"docs/{PRUNING_HISTORY}"
TRAINING_ONLY = ("dropout", "deep_supervision")  # a config that trains nothing does not name them
COPIED = ("LICENSE", "docs/data_license.txt", "configs/logging.conf")


class PrunedBundle:
    """The folder of the bundle that a pruning makes.

    Args:
        folder: where it goes.
        source: the bundle whose network is pruned.
    """

    def __init__(self, folder: str | Path, source: str | Path) -> None:
        self.folder = Path(folder)
        self.source = Path(source)

    def open(self, replace: bool) -> None:
        """See that nothing is written over that shall stay, before hours are spent.

        Args:
            replace: whether an older pruned bundle may be written over.

        Raises:
            FileExistsError: if there is one and it may not, or something else lies in the folder.
        """
        if not self.folder.is_dir() or not any(self.folder.iterdir()):
            return
        if not (self.folder / MARK).is_file():
            raise FileExistsError(
                f"{self.folder} holds something else than a pruned bundle: name another folder with --pruned_dir"
            )
        if not replace:
            raise FileExistsError(
                f"{self.folder} is a pruned bundle already: --overwrite True replaces it, --resume True goes on with "
                "its pruning, --pruned_dir names another folder"
            )

    def write(self, network: nn.Module, steps: PruningHistory) -> None:
        """Write the bundle with a network that is good enough. A kill in between is mended by resuming the pruning,
        which writes the same again.

        Args:
            network: with its weights.
            steps: that led to it, written to their files.
        """
        tables = {name: steps.output_dir / name for name in (PRUNING_HISTORY, PRUNING_PICTURE)}
        content = {f"docs/{name}": path.read_bytes() for name, path in tables.items() if path.is_file()}
        package = [path.relative_to(self.source) for path in (self.source / "lunet_networks").rglob("*.py")]
        copied = [*COPIED, *package]  # a packed bundle brings the package along
        content |= {str(name): (self.source / name).read_bytes() for name in copied if (self.source / name).is_file()}
        for path in sorted((self.source / "configs").glob("*.json")):
            config = json.loads(path.read_text(encoding="utf-8"))
            config = _metadata(config, steps) if path.name == "metadata.json" else spell_out(config, network)
            content[f"configs/{path.name}"] = config_text(config).encode()
        card = (self.source / "docs" / "README.md").read_text(encoding="utf-8")
        content["docs/README.md"] = _card(card, steps).encode()
        for name, data in content.items():
            write_atomically(self.folder / name, data)
        save_atomically(network.state_dict(), self.folder / "models" / "model.pt")


def spell_out(config: dict[str, Any], network: nn.Module) -> dict[str, Any]:
    """A config in which a preset's place is taken by the class of a network with its channels.

    Args:
        config: of a bundle.
        network: a :class:`UNet`, :class:`UNetPlusPlus` or :class:`PSPSeg`.

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
    spelled["_target_"] = f"lunet_networks.nets.{type(network).__name__}"
    for name, value in describe_network(network).items():
        if spelled.get(name) in (f"@{name}", f"$@settings['{name}']"):
            config[name] = value
        elif name in spelled or name not in TRAINING_ONLY:
            spelled[name] = value
    return {**config, "network_def": spelled}


def without_preset(config: Mapping[str, Any]) -> dict[str, Any]:
    """A config that does not offer the choice of a preset.

    Example:
        >>> without_preset({"preset": "unet_small_4f", "epochs": 3, "settings": {"preset": "@preset"}})
        {'epochs': 3, 'settings': {}}
    """
    config = {name: value for name, value in config.items() if name != "preset"}
    if isinstance(config.get("settings"), dict):
        config["settings"] = {name: value for name, value in config["settings"].items() if name != "preset"}
    return config


def _metadata(metadata: dict[str, Any], steps: PruningHistory) -> dict[str, Any]:
    name = metadata["name"].removesuffix(", pruned")
    return {**metadata, "name": f"{name}, pruned", "description": f"{name}. {_in_words(steps)}"}


def _in_words(steps: PruningHistory) -> str:
    first, last = steps.steps[0], steps.steps[-1]
    return (
        f"Pruned in {last['step']} steps from {first['parameters']:,} to {last['parameters']:,} parameters and from "
        f"{first['macs'] / 1e9:.3f} to {last['macs'] / 1e9:.3f} G multiply-accumulates for one patch"
    )


def _card(card: str, steps: PruningHistory) -> str:
    """The model card of the source, with what it says of its own network and weights replaced."""
    first, last = steps.steps[0], steps.steps[-1]
    model = (
        f"{_in_words(steps)}. The configs spell out the channels of every convolution. `{MARK}` lists what was "
        f"removed, `docs/{PRUNING_PICTURE}` shows it."
    )
    performance = (
        f"`models/model.pt` has a mean Dice of {last['dice_after_recovery']:.3f} on the validation cases, at which the "
        f"pruning looked after every step; the network had {first['dice_after_recovery']:.3f} before it was pruned. "
        "`run evaluation` measures it case by case."
    )
    sections = card.split("\n## ")
    texts = {"Model Description": model, "Performance": performance}
    replaced = [
        f"{name}\n\n{texts[name]}\n" if (name := part.partition("\n")[0]) in texts else part for part in sections
    ]
    return "\n## ".join(replaced)
