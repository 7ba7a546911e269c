"""What a run takes over from the record of a training, so that nobody has to repeat its settings.

An evaluation and an inference take those that the weights and the cases depend on, a training that is continued all.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lunet_networks.authoring.running.bundle_run import BundleRun
from lunet_networks.bundle.runtime import outputs
from lunet_networks.bundle.runtime.checks import option
from lunet_networks.bundle.runtime.files import as_path
from lunet_networks.bundle.runtime.settings import SETTINGS
from lunet_networks.bundle.training.records import DATASET_DIR, WEIGHTS, is_model_of, read_record
from lunet_networks.bundle.training.trained_cases import OF_THE_MODEL, SPLIT, differ, other_training

MODEL = "model.pt"
OF_WEIGHTS = (*OF_THE_MODEL, "roi_size")  # the size of windows may be another one, the others may not
OF_COMMAND = ("resume", "overwrite")  # these are about one command, not about the training


@dataclass(frozen=True)
class TakenOver:
    """Settings of trainings that a run needs and was not given.

    Args:
        records: the files that they are from.
        settings: by name, without those that are as in the configs.
    """

    records: Sequence[Path]
    settings: Mapping[str, Any]

    def __str__(self) -> str:
        typed = " ".join(option(name, value) for name, value in self.settings.items())
        return f"as in the training, {', '.join(map(str, self.records))}: {typed}"


def taken_over(run: BundleRun) -> TakenOver:
    """Find the settings of the training that a run continues, or whose weights it uses.

    Raises:
        ValueError: if a given setting is not that of the weights, the weights of an ensemble had different ones, or a
            record is damaged.
    """
    if run.run_id == "training":
        found = _first(_record(run.value("output_dir")), None, run.given) if _is_true(run.given.get("resume")) else None
        trainings = [found] if found else []
        wanted = [name for name, setting in SETTINGS.items() if setting.recorded and name not in OF_COMMAND]
    else:
        trainings = [training for weights in _weights(run) if (training := _training(run, weights))]
        wanted = [*OF_WEIGHTS, *SPLIT]
    if not trainings:
        return TakenOver([], {})
    _check_alike(trainings)
    path, record = trainings[0]
    if run.run_id != "training":
        _check_given(run.given, path, record["settings"])
    dataset = {DATASET_DIR: record[DATASET_DIR]} if DATASET_DIR in record and run.run_id != "inference" else {}
    there = {**dataset, **{name: record["settings"][name] for name in wanted if name in record["settings"]}}
    if not _has_cases(run.given.get(DATASET_DIR), record):
        there = {name: value for name, value in there.items() if name not in SPLIT}
    defaults = run.defaults(there)
    new = {
        name: value
        for name, value in there.items()
        if name not in run.given and name in defaults and differ(value, defaults[name])
    }
    return TakenOver([path for path, _ in trainings], new)


def _weights(run: BundleRun) -> list[Path]:
    folders = run.value("ckpt_dirs") if "ckpt_dirs" in run.given else [run.value("ckpt_dir")]
    return [as_path(folder) for folder in folders]


Training = tuple[Path, Mapping[str, Any]]  # path and content of a record


def _training(run: BundleRun, weights: Path) -> Training | None:
    """The training that has left weights. A run that writes a report looks first where the run itself will look."""
    reports = run.run_id != "inference" and ("output_dir" in run.given or "ckpt_dir" not in run.given)
    places = [*(_record(run.value("output_dir")) if reports else []), *records_beside(weights, run.bundle)]
    return _first(places, weights / MODEL, run.given) if (weights / MODEL).is_file() else None


def _record(folder: Any) -> list[Path]:
    return [as_path(folder) / outputs.RUN_RECORD]


def records_beside(weights: Path, bundle: Path | None) -> Iterator[Path]:
    """Where the record of a training may be that has left weights.

    Args:
        weights: folder of model.pt.
        bundle: folder of the bundle; its docs have the records of weights that come with it.
    """
    for folder in (weights.parent, weights.parent / "eval"):
        yield folder / outputs.RUN_RECORD
    models = bundle and (bundle / "models").resolve()
    if models and weights.resolve().is_relative_to(models):
        yield bundle / "docs" / weights.resolve().relative_to(models) / outputs.RECORDS[outputs.RUN_RECORD]


def _first(places: Sequence[Path], model: Path | None, given: Mapping[str, Any]) -> Training | None:
    """The first record that there is; with a model, the first that is its own."""
    for path in filter(Path.is_file, places):
        record = read_record(path)
        if model is None:
            return path, record
        # a record without a digest is that of other weights if something else was given
        if is_model_of(model, record) and (WEIGHTS in record or not other_training(record["settings"], given)):
            return path, record
    return None


def _check_alike(trainings: Sequence[Training]) -> None:
    (first, one), *others = trainings
    for path, other in others:
        for name in OF_WEIGHTS:
            values = [record["settings"].get(name) for record in (one, other)]
            if differ(*values):
                raise ValueError(
                    f"models of an ensemble have the same {name}: {first} has {values[0]!r}, {path} has {values[1]!r}"
                )


def _check_given(given: Mapping[str, Any], path: Path, settings: Mapping[str, Any]) -> None:
    for name in OF_THE_MODEL:
        if name in given and name in settings and differ(settings[name], _checked(name, given[name])):
            raise ValueError(
                f"{name} is {given[name]!r}, but the weights are those of a training with {settings[name]!r}, "
                f"as {path} says: leave --{name} out, or name other weights with --ckpt_dir"
            )


def _has_cases(dataset_dir: Any, record: Mapping[str, Any]) -> bool:
    """Whether a folder holds the cases that a training has left out."""
    if dataset_dir is None or isinstance(dataset_dir, list):
        return True
    cases, folder = record["cases"]["validation"], as_path(dataset_dir)
    return not isinstance(cases, list) or all((folder / case).exists() for case in cases)


def _checked(name: str, value: Any) -> Any:
    return json.loads(json.dumps(SETTINGS[name].check(name, value)))  # turns tuples into lists, as in a record


def _is_true(value: Any) -> bool:
    return str(value) in ("True", "true")
