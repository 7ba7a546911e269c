"""The table of the study's runs."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from lunet_networks.authoring.planning.families import FAMILIES, presets_of
from lunet_networks.bundle.runtime.checks import check_whole_number, choose
from lunet_networks.bundle.runtime.settings import check_settings
from tools import ROOT
from tools.study.datasets import DATASETS
from tools.study.peers import peers

TABLE = ROOT / "tools" / "study" / "runs.yaml"
# By the dimensions of the data. MALUNet's is near LV-UNet's: the same batches and learning rates, but AdamW, BCE
# counted whole instead of by half, no deep training.
RECIPE_OF_PEERS = {2: "malunet", 3: "lunet_small"}
INSIDE = "#"  # MONAI's sign in the name of a value inside a config
GIVEN_BY_COLUMNS = {"preset", "fold", "seed", "epochs", "resume", "overwrite", "output_dir", "ckpt_dir", "dataset_dir"}


@dataclass(frozen=True)
class Planned:
    """A run of the table.

    Args:
        network: a preset or a peer.
        dataset: one of ``DATASETS``.
        part: a fold or split of it.
        epochs: of the training.
        seed: of the training.
        bundle: the family whose recipe is used.
        settings: other settings than the recipe's, or values inside train.json, such as train#augmentation#0#prob.
        variant: a word for these, in the name.
        pruned: settings of prune.json: the network is first trained in the same way without variant, then pruned, and
            the pruned network is trained again; None: it is not pruned.
    """

    network: str
    dataset: str
    part: str
    epochs: int
    seed: int
    bundle: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    variant: str | None = None
    pruned: Mapping[str, Any] | None = None

    @property
    def name(self) -> str:
        """Of the run, its folder and its record.

        Example:
            >>> Planned("lunet_small_4f", "hippocampus", "fold0", 60, 1, "lunet_small").name
            'hippocampus-fold0-lunet_small_4f-60epochs-seed1'
        """
        words = [self.dataset, self.part, self.network, self.variant, f"{self.epochs}epochs", f"seed{self.seed}"]
        return "-".join(word for word in words if word)

    @property
    def is_peer(self) -> bool:
        """Whether the network is MONAI's."""
        return self.network in peers()

    def before_pruning(self) -> "Planned":
        """The run that trains the network before it is pruned."""
        return replace(self, variant=None, settings={}, pruned=None)

    def described(self) -> dict[str, Any]:
        """As a record keeps it."""
        return {name: value for name, value in asdict(self).items() if name != "pruned" or value}


def title(network: str, variant: str | None) -> str:
    """What tables call a network that was trained with the settings of a variant.

    Example:
        >>> title("unet_small_4f", "stamp"), title("unet_small_4f", None)
        ('unet_small_4f (stamp)', 'unet_small_4f')
    """
    return f"{network} ({variant})" if variant else network


def read_table(path: Path = TABLE) -> list[Planned]:
    """The runs of a table, in its order.

    Raises:
        ValueError: if a line is wrong; the message names it.
    """
    lines = yaml.safe_load(path.read_text(encoding="utf-8"))
    if not isinstance(lines, list) or not all(isinstance(line, dict) for line in lines):
        raise ValueError(f"{path} has to be a list of runs, such as - {{network: lunet_small_4f, dataset: ...}}")
    planned: dict[str, Planned] = {}
    for number, line in enumerate(lines, start=1):
        try:
            runs = _runs(**line)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{path}, run {number}, {line}: {error}") from error
        for run in runs:
            if run.name in planned:
                raise ValueError(f"{path} has {run.name} twice: remove one, or give it another variant")
            planned[run.name] = run
    return list(planned.values())


def _runs(
    network: str,
    dataset: str,
    part: str,
    epochs: int,
    seeds: list[int],
    bundle: str | None = None,
    settings: Mapping[str, Any] | None = None,
    variant: str | None = None,
    pruned: Mapping[str, Any] | None = None,
) -> list[Planned]:
    families = {preset: name for name, family in FAMILIES.items() for preset in family.others}
    families |= {preset: name for name in FAMILIES for preset in presets_of(name)}
    choose("network", network, {**families, **dict.fromkeys(peers())})
    chosen = choose("dataset", dataset, DATASETS)
    bundle = bundle or families.get(network, RECIPE_OF_PEERS[chosen.spatial_dims])
    family = choose("bundle", bundle, FAMILIES)
    choose("part", part, dict.fromkeys(chosen.parts))
    presets = [*presets_of(bundle), *family.others]
    if network in families and network not in presets:
        raise ValueError(f"network {network} is not of the bundle {bundle}: it has {', '.join(presets)}")
    if chosen.spatial_dims in family.cannot_train:
        raise ValueError(f"{bundle} cannot be trained on {dataset}: {family.cannot_train[chosen.spatial_dims]}")
    check_whole_number("epochs", epochs, least=1)
    settings, pruned = dict(settings or {}), dict(pruned or {})
    for column, given in {"settings": settings, "pruned": pruned}.items():
        for name in sorted(given.keys() & GIVEN_BY_COLUMNS):
            raise ValueError(f"{column} has {name}: that is given by a column, or by the command")
    check_settings(**{name: value for name, value in settings.items() if INSIDE not in name})
    check_settings(**pruned)
    if bool(settings or pruned) != bool(variant):
        raise ValueError("settings and variant go together: the variant is a word for the settings")
    if pruned and settings:
        raise ValueError("settings and pruned do not go together: a network is pruned from a training by the recipe")
    if pruned and family.pruning != "channels":
        raise ValueError(f"{bundle} has no channels that can be pruned")
    if not isinstance(seeds, list) or not seeds:
        raise ValueError(f"seeds is {seeds!r}: it has to be a list, such as [0, 1, 2]")
    given, rest = (network, dataset, part, epochs), (bundle, settings, variant, pruned or None)
    return [Planned(*given, check_whole_number("seeds", seed, 0), *rest) for seed in seeds]
