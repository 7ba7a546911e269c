"""Trained models to compare: their weights, the bundle that runs them, and the cases that they were trained on."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lunet_networks.authoring.crossval import PLACES
from lunet_networks.authoring.running.taken_over import records_beside
from lunet_networks.bundle.training.records import check_model, read_record

WEIGHTS = "model.pt"
OF_NETWORK = ("preset", "label_names", "in_channels", "pixdim", "roi_size")  # settings that inference has, too


@dataclass(frozen=True)
class Model:
    """A trained model.

    Args:
        name: for tables.
        weights: folder of its model.pt.
        bundle: folder of the bundle that runs it.
        record: of its training.
    """

    name: str
    weights: Path
    bundle: Path
    record: Mapping[str, Any]

    @property
    def trained(self) -> list[str]:
        """Names of the cases that it was trained on."""
        return list(self.record["cases"]["training"])

    @property
    def held_out(self) -> list[str]:
        """Names of the cases that chose its best epoch."""
        return list(self.record["cases"]["validation"])

    @property
    def network(self) -> dict[str, Any]:
        """Everything that models of an ensemble share: how images are prepared, and the network."""
        config = self._inference()
        others = {name: value for name, value in config.items() if name not in (*OF_NETWORK, "dataset_dir")}
        return {**others, **{name: self.record["settings"].get(name, config.get(name)) for name in OF_NETWORK}}

    @property
    def settings(self) -> dict[str, Any]:
        """The settings of its training that inference has, too."""
        then, known = self.record["settings"], self._inference()
        return {name: then[name] for name in OF_NETWORK if name in then and name in known}

    def _inference(self) -> dict[str, Any]:
        return json.loads((self.bundle / "configs" / "inference.json").read_text(encoding="utf-8"))


@dataclass(frozen=True)
class Group:
    """What a user names: a model, or the folds of a cross-validation.

    Args:
        name: for tables.
        models: one, or that of every fold.
    """

    name: str
    models: Sequence[Model]

    @property
    def has_folds(self) -> bool:
        """Whether it is a cross-validation."""
        return len(self.models) > 1


def find_groups(paths: Sequence[Path], bundle: Path | None) -> list[Group]:
    """The models in folders: bundles, outputs of trainings, folders of weights, or cross-validations.

    Args:
        paths: of the folders.
        bundle: that runs those which do not lie in one; None: it is found in the folder of the cross-validation.

    Raises:
        FileNotFoundError: if a folder holds no model, or there is no record of its training or no bundle for it.
        ValueError: if a record does not name cases, or a fold is missing.
    """
    tails = [path.resolve().name for path in paths]
    names = tails if len(set(tails)) == len(tails) else list(map(str, paths))
    return [_group(path, name, bundle) for path, name in zip(paths, names, strict=True)]


def _group(path: Path, name: str, bundle: Path | None) -> Group:
    for weights in (path / "models", path):
        if (weights / WEIGHTS).is_file():
            return Group(name, [_model(weights, name, bundle)])
    folds = sorted(path.glob(f"fold_*/models/{WEIGHTS}"))
    if not folds:
        raise FileNotFoundError(
            f"there is no {path / 'models' / WEIGHTS}: name the folder of a trained bundle or of lunet crossval"
        )
    models = [_model(fold.parent, f"{name}/{fold.parent.parent.name}", bundle) for fold in folds]
    number = models[0].record["settings"]["num_folds"]
    if sorted(model.record["settings"]["fold"] for model in models) != list(range(number)):
        raise ValueError(f"{path} has {len(models)} of {number} folds: lunet crossval does those that are missing")
    return Group(name, models)


def _model(weights: Path, name: str, bundle: Path | None) -> Model:
    around = next((parent for parent in weights.resolve().parents if (parent / "configs").is_dir()), None)
    places = list(records_beside(weights, around))
    path = next((place for place in places if place.is_file()), None)
    if path is None:
        raise FileNotFoundError(
            f"{weights / WEIGHTS} has no record of its training, so nobody knows which cases it was trained on: there "
            f"is none of {', '.join(map(str, places))}"
        )
    record = read_record(path)
    check_model(weights / WEIGHTS, path, record, "name a folder whose model.pt and run.json are of one training")
    if not all(isinstance(record["cases"][section], list) for section in ("training", "validation")):
        raise ValueError(f"{path} has the number of the cases, not their names: compare the bundle that was packed")
    found = bundle or around or _bundle_of_crossval(weights.resolve().parents[1])
    if found is None or not (found / "configs" / "inference.json").is_file():
        raise FileNotFoundError(f"{name} lies in no bundle: name the one that it was trained with, --bundle BUNDLE")
    return Model(name, weights.resolve(), found.resolve(), record)


def _bundle_of_crossval(folder: Path) -> Path | None:
    path = folder / PLACES
    return Path(json.loads(path.read_text(encoding="utf-8"))["bundle"]) if path.is_file() else None
