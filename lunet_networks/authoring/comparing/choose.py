"""``lunet choose``: which of several trained models, or of their ensembles, is best on the same cases."""

import json
import re
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from lunet_networks.authoring.command_line import as_bool
from lunet_networks.authoring.comparing.candidates import Candidate, Case, Comparison, compare
from lunet_networks.authoring.comparing.choice import Choice, Measured, case_rows, rows, text
from lunet_networks.authoring.comparing.label_maps import Labels, measure_files
from lunet_networks.authoring.comparing.models import Group, Model, find_groups
from lunet_networks.authoring.literals import literal
from lunet_networks.authoring.running.bundle_run import BundleRun
from lunet_networks.authoring.subprocesses import shell
from lunet_networks.bundle.data.case_files import case_names, image_files, image_name
from lunet_networks.bundle.inference.label_maps import keep_largest_component
from lunet_networks.bundle.runtime import outputs
from lunet_networks.bundle.runtime.files import as_path, write_atomically, write_csv

TABLE = "choice.csv"
WINNER = "inference_settings.json"


def choose(
    *bundles: str,
    dataset_dir: str | None = None,
    output_dir: str = "choice",
    bundle: str | None = None,
    overwrite: bool = False,
) -> None:
    """Find out which of several trained models is best, and whether the largest component is better.

    All label the same cases, which none of them was trained on: the labelled test cases of the dataset, otherwise those
    that all held out. Of a cross-validation without test cases every fold labels those that it held out. Single models
    of one network are also compared with their ensemble. Differences have a 95 % interval, a bootstrap over the cases.

    Args:
        bundles: folders of trained bundles, of trainings or of lunet crossval.
        dataset_dir: the folder that holds dataset.json; without it that of the trainings.
        output_dir: where tables, label maps and the settings of the best go.
        bundle: the bundle of models that lie in none.
        overwrite: whether to replace an earlier comparison there.
    """
    if not bundles:
        raise ValueError("name the folders of trained bundles, or of a cross-validation")
    output = as_path(output_dir).absolute()
    if (output / TABLE).exists() and not as_bool("overwrite", overwrite):
        raise FileExistsError(
            f"{output} holds another comparison: name another --output_dir, or replace it with --overwrite True"
        )
    groups = find_groups([as_path(each) for each in bundles], None if bundle is None else as_path(bundle))
    plan = compare(groups, _dataset(dataset_dir, groups))
    labels = Labels.named(plan.label_names, plan.ignore_label)
    measured = [_measured(candidate, labels, output) for candidate in plan.candidates]
    _tell(Choice.of(plan, measured), plan, output)


def _dataset(given: str | None, groups: Sequence[Group]) -> Path:
    if given is not None:
        return as_path(given).resolve()
    told = {model.record.get("dataset_dir"): model.name for group in groups for model in group.models}
    if len(told) > 1 or None in told:
        where = ", ".join(f"{name}: {path or 'not known'}" for path, name in told.items())
        raise ValueError(f"the records of the trainings do not name one dataset, give --dataset_dir ({where})")
    return Path(next(iter(told)))


def _measured(candidate: Candidate, labels: Labels, output: Path) -> tuple[Measured, Measured]:
    """Metrics of the label maps of a candidate, and of their largest components."""
    files: dict[Path, Path] = {}
    for number, (models, cases) in enumerate(candidate.parts):
        folder = output / "labels" / re.sub(r"\W+", "_", candidate.name)
        folder = folder / f"fold_{number}" if len(candidate.parts) > 1 else folder
        files.update(_label(models, cases, folder))
    largest = partial(keep_largest_component, label_values=labels.values)
    plain = {str(truth): measure_files(found, truth, labels) for truth, found in files.items()}
    return plain, {str(truth): measure_files(found, truth, labels, largest) for truth, found in files.items()}


def _label(models: Sequence[Model], cases: Sequence[Case], folder: Path) -> dict[Path, Path]:
    """Label cases with the mean of models. Returns the label maps by the path of the truth."""
    images = [case["image"] for case in cases]
    arguments = {"dataset_dir": images, "output_dir": str(folder), **_inference(models)}
    path = folder.with_name(f"{folder.name}.json")  # the list of images may be too long for a command line
    write_atomically(path, (json.dumps(literal(arguments), indent=1) + "\n").encode())
    run = BundleRun.of(_run_of(models), models[0].bundle, {"args_file": str(path)})
    print(f"\n$ {run.typed()}", flush=True)
    if status := run.run():
        sys.exit(status)
    found = {image_name(path): path for path in image_files(folder)}
    return {Path(case["label"]): found[f"{name}_seg"] for case, name in zip(cases, case_names(images), strict=True)}


def _run_of(models: Sequence[Model]) -> str:
    return "ensemble" if len(models) > 1 else "inference"


def _inference(models: Sequence[Model]) -> dict[str, Any]:
    """The settings with which models label images."""
    folders = [str(model.weights) for model in models]
    return {**models[0].settings, **({"ckpt_dirs": folders} if len(folders) > 1 else {"ckpt_dir": folders[0]})}


def _tell(choice: Choice, plan: Comparison, output: Path) -> None:
    write_csv(output / outputs.CASES, case_rows(choice))
    write_csv(output / TABLE, rows(choice))
    models = choice.winner.candidate.models
    run = BundleRun.of(_run_of(models), models[0].bundle, {})
    settings = {
        "run_id": run.run_id,
        "config_file": [str(run.bundle / "configs" / f"{name}.json") for name in run.configs],
        "bundle_root": str(run.bundle),
        **_inference(models),
        "largest_component_only": choice.largest,
    }
    write_atomically(output / WINNER, (json.dumps(literal(settings), indent=1) + "\n").encode())
    print(f"\n{text(choice, plan)}\n")
    there = f"cd {shell([str(run.bundle)])} && " if run.is_packed else ""
    places = ["--args_file", str(output / WINNER), "--dataset_dir", "IMAGES", "--output_dir", "LABELS"]
    print(f"more in {output / TABLE} and {outputs.CASES} beside it\nnew images, with the settings that are best:")
    print(f"$ {there}{shell(['python', '-m', 'monai.bundle', 'run', *places])}")
