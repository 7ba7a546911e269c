"""What is compared, and on which cases: none that a model was trained on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lunet_networks.authoring.comparing.models import Group, Model
from lunet_networks.bundle.data.datalist import load_datalist, read_dataset_json
from lunet_networks.bundle.runtime.errors import shortened_list
from lunet_networks.bundle.training.trained_cases import case_names, found_in

Case = Mapping[str, Any]  # "image" and "label"


@dataclass(frozen=True)
class Candidate:
    """A way to label images.

    Args:
        name: for tables.
        models: whose probabilities are averaged for new images.
        parts: which of them label which cases here: all of them those of a test, each fold those that it held out.
    """

    name: str
    models: Sequence[Model]
    parts: Sequence[tuple[Sequence[Model], Sequence[Case]]]


@dataclass(frozen=True)
class Comparison:
    """Candidates and the cases that all of them label.

    Args:
        candidates: at least one.
        cases: what they are, in words.
        label_names: of all models.
        ignore_label: of all models.
    """

    candidates: Sequence[Candidate]
    cases: str
    label_names: Sequence[str]
    ignore_label: int | None


def compare(groups: Sequence[Group], dataset_dir: Path) -> Comparison:
    """Plan a comparison on the labelled test cases of a dataset; without these, on held-out cases.

    Raises:
        ValueError: if the models have other labels, or there are no cases that none of them was trained on.
    """
    models = [model for group in groups for model in group.models]
    for name in ("label_names", "ignore_label"):
        told = {str(model.record["settings"].get(name)): model.name for model in models}
        if len(told) > 1:
            raise ValueError(f"the models differ in {name}: {', '.join(f'{who} {what}' for what, who in told.items())}")
    settings = models[0].record["settings"]
    candidates, cases = _candidates(groups, models, dataset_dir)
    return Comparison(candidates, cases, settings["label_names"], settings.get("ignore_label"))


def _candidates(groups: Sequence[Group], models: Sequence[Model], dataset_dir: Path) -> tuple[list[Candidate], str]:
    test = load_datalist(dataset_dir, "test")
    if test:
        trained = _trained_on(test, models, dataset_dir)
        if trained:
            raise ValueError(f"{len(trained)} of {len(test)} test cases were trained on:\n{_listed(trained)}")
        return _on(test, groups), f"{len(test)} test cases"
    with_folds = [group for group in groups if group.has_folds]
    if len(with_folds) == len(groups):
        return _out_of_fold(groups, dataset_dir)
    if with_folds:
        raise ValueError(
            f"{with_folds[0].name} is a cross-validation, whose folds were trained on all cases together, and "
            f"{next(group.name for group in groups if not group.has_folds)} is one model: they can only be compared on "
            f"test cases with labels, and {dataset_dir / 'dataset.json'} lists none"
        )
    every = _all_cases(dataset_dir)
    trained = _trained_on(every, models, dataset_dir)
    names = case_names(every, dataset_dir)
    held_out = [case for case, name in zip(every, names, strict=True) if name not in trained]
    if not held_out:
        raise ValueError(f"every case was trained on by one of the models:\n{_listed(trained)}")
    return _on(held_out, groups), f"{len(held_out)} held-out cases, which also chose the best epochs"


def _on(cases: Sequence[Case], groups: Sequence[Group]) -> list[Candidate]:
    """The groups on cases that nobody was trained on: a cross-validation is the ensemble of its folds. Single models of
    the same network make further ensembles."""
    candidates = [Candidate(_name(group), group.models, [(group.models, cases)]) for group in groups]
    alike: list[list[Model]] = []
    for model in (group.models[0] for group in groups if not group.has_folds):
        there = next((models for models in alike if models[0].network == model.network), None)
        if there is None:
            alike.append([model])
        else:
            there.append(model)
    for models in filter(lambda models: len(models) > 1, alike):
        name = f"ensemble of {' and '.join(model.name for model in models)}"
        candidates.append(Candidate(name, models, [(models, cases)]))
    return candidates


def _out_of_fold(groups: Sequence[Group], dataset_dir: Path) -> tuple[list[Candidate], str]:
    """Each case by the model that held it out."""
    every = _all_cases(dataset_dir)
    names = case_names(every, dataset_dir)
    candidates = []
    for group in groups:
        parts = []
        for model in group.models:
            held_out = found_in(names, model.held_out)
            parts.append(([model], [case for case, held in zip(every, held_out, strict=True) if held]))
        done = [str(case["label"]) for _, cases in parts for case in cases]
        if sorted(done) != sorted(str(case["label"]) for case in every):
            raise ValueError(
                f"the folds of {group.name} held out {len(done)} cases, and {dataset_dir} has {len(every)}: the "
                "dataset has changed, or it is another one"
            )
        for model, cases in ((models[0], cases) for models, cases in parts):
            if trained := _trained_on(cases, [model], dataset_dir):
                raise ValueError(f"cases that a fold held out were trained on by it:\n{_listed(trained)}")
        candidates.append(Candidate(_name(group), group.models, parts))
    return candidates, f"{len(every)} cases, each by the fold that held it out, whose best epoch it also chose"


def _name(group: Group) -> str:
    return f"{group.name}, {len(group.models)} folds" if group.has_folds else group.name


def _trained_on(cases: Sequence[Case], models: Sequence[Model], dataset_dir: Path) -> dict[str, str]:
    """Names of the cases that a model was trained on, and of the model."""
    names = case_names(cases, dataset_dir)
    found: dict[str, str] = {}
    for model in models:
        for name, trained in zip(names, found_in(names, model.trained), strict=True):
            if trained:
                found.setdefault(name, model.name)
    return found


def _listed(trained: Mapping[str, str]) -> str:
    return shortened_list(f"{case} by {model}" for case, model in trained.items())


def _all_cases(dataset_dir: Path) -> list[Case]:
    """The training and the validation cases of a dataset."""
    if "validation" in read_dataset_json(dataset_dir):
        return [*load_datalist(dataset_dir, "training"), *load_datalist(dataset_dir, "validation")]
    halves = (load_datalist(dataset_dir, section, fold=0, num_folds=2) for section in ("training", "validation"))
    return sorted((case for half in halves for case in half), key=lambda case: str(case["label"]))
