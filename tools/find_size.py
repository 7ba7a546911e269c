"""How small can it be: train the presets of a family and name the smallest network that is nearly as good as the
best."""

import json
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import torch

from lunet_networks.authoring.command_line import run_commands
from lunet_networks.authoring.planning.families import FAMILIES, presets_of
from lunet_networks.authoring.running.bundle_run import BundleRun
from lunet_networks.bundle.runtime.checks import check_whole_number, choose
from lunet_networks.bundle.runtime.files import write_csv, write_figure
from lunet_networks.summary import count_parameters
from tools.study.records import RUN, Record, read_one, read_records, write_record
from tools.study.running import BundleTraining
from tools.study.sizes import WITHIN, draw, measure_costs, rows, sizes, table, verdict

OWN_SETTINGS = {"preset", "seed", "resume", "overwrite", "ckpt_dir", "bundle_root"}  # that this command gives


def find_size(
    bundle: str,
    output_dir: str,
    dataset_dir: str | None = None,
    within: float = WITHIN,
    presets: str | tuple[str, ...] | None = None,
    seeds: int = 1,
    records: str | None = None,
    run: str = "*",
    **settings: Any,
) -> None:
    """Train the presets of a bundle's family on a fold, from small to large, draw their Dice over parameters, time and
    memory, and name the smallest network whose Dice is within a margin of the best, with how sure that is.

    Repeat the command to continue after a stop. sizes.csv and sizes.png are written to output_dir.

    Args:
        bundle: the bundle's folder; its recipe is used for all presets.
        output_dir: where trainings, records and results go.
        dataset_dir: folder that holds dataset.json; not needed with --records.
        within: the margin, in Dice.
        presets: which presets to compare, such as lunet_small_1f,lunet_small_2f; by default all of the family.
        seeds: trainings of each preset, with the seeds 0, 1, ...
        records: folder of records of python -m tools.study to read, instead of training.
        run: of these, names of the records to take, such as "hippocampus-fold0-*-60epochs-*".
        settings: any other setting of train.json, such as --epochs 20 --fold 1.
    """
    root, output = Path(str(bundle)).resolve(), Path(str(output_dir)).resolve()
    if not isinstance(within, int | float) or not 0 < within < 1:
        raise ValueError(f"--within is {within!r}: it has to be a number above 0 and below 1, such as 0.01")
    check_whole_number("--seeds", seeds, least=1)
    chosen = _presets(root, presets)
    if records is not None:
        found = _of_records(Path(str(records)), str(run), chosen)
    elif dataset_dir is None:
        raise ValueError("find_size needs --dataset_dir to train on, or --records to read")
    else:
        found = _trained(root, Path(str(dataset_dir)).resolve(), output, chosen, seeds, settings)
    costs = measure_costs({name: of_preset[0] for name, of_preset in found.items()}, threads=torch.get_num_threads())
    compared = sizes(found, costs)
    write_csv(output / "sizes.csv", rows(compared))
    write_figure(output / "sizes.png", draw(compared, within))
    print(f"{table(compared)}\n\n{verdict(compared, within)}\n{output / 'sizes.csv'} and sizes.png beside it")


def _presets(bundle: Path, given: str | Sequence[str] | None) -> list[str]:
    """The presets to compare.

    Raises:
        FileNotFoundError: if it is no bundle.
        ValueError: if a preset is not of the bundle's family, or there is only one.
    """
    preset = BundleRun.of("training", bundle, {}).value("preset")
    family = next((family for family in FAMILIES if preset in presets_of(family)), None)
    if family is None:
        raise ValueError(f"{bundle} has the network {preset!r}, which is of no family: there is no size to choose")
    of_family = presets_of(family)
    names = of_family if given is None else [given] if isinstance(given, str) else list(given)
    for name in names:
        choose("--presets", name, dict.fromkeys(of_family))
    if len(set(names)) < 2:
        raise ValueError(
            f"there is nothing to compare: {family} has the presets {', '.join(of_family)}, name two or more"
        )
    return list(dict.fromkeys(names))


def _of_records(folder: Path, pattern: str, presets: Sequence[str]) -> dict[str, list[Record]]:
    """Records of the presets, all of the same cases and number of epochs.

    Raises:
        ValueError: if they are not, or of fewer than two presets.
    """
    found: dict[str, list[Record]] = {}
    for record in read_records(folder):
        if record.planned["network"] in presets and fnmatchcase(record.name, pattern):
            found.setdefault(record.planned["network"], []).append(record)
    kinds = {
        (each.planned["dataset"], each.planned["part"], each.planned["epochs"], each.planned["variant"])
        for of_preset in found.values()
        for each in of_preset
    }
    if len(kinds) > 1:
        names = ", ".join(sorted({each.group for of_preset in found.values() for each in of_preset}))
        raise ValueError(f"--run has to name records of one dataset, part and number of epochs, not {names}")
    if len(found) < 2:
        raise ValueError(
            f"{folder} has records of {', '.join(found) or 'none'} of {', '.join(presets)}: two are needed"
        )
    return found


def _trained(
    bundle: Path, dataset_dir: Path, output: Path, presets: Sequence[str], seeds: int, given: Mapping[str, Any]
) -> dict[str, list[Record]]:
    """Train what is not trained yet, the smallest preset first."""
    for name in sorted(given.keys() & OWN_SETTINGS):
        raise ValueError(f"--{name} is not for find_size, which gives it by itself")
    runs = {
        (preset, seed): BundleTraining(
            bundle, dataset_dir, output / "runs" / f"{preset}-seed{seed}", {**given, "preset": preset, "seed": seed}
        )
        for preset in presets
        for seed in range(seeds)
    }
    for run in runs.values():
        run.run("training").check_names()
        run.run("training").check_values()
    parameters = {preset: count_parameters(runs[preset, 0].make_network()) for preset in presets}
    found: dict[str, list[Record]] = {}
    for preset in sorted(presets, key=parameters.__getitem__):
        found[preset] = [_record(runs[preset, seed], output / "records") for seed in range(seeds)]
    return found


def _record(training: BundleTraining, records: Path) -> Record:
    """The record of a run, which is done before if need be.

    Raises:
        ValueError: if it was done with other settings.
    """
    name = training.folder.name
    planned = _planned(training)
    if (records / name / RUN).is_file():
        record = read_one(records / name)
        differing = [key for key in planned if json.loads(json.dumps(planned[key])) != record.planned[key]]
        if differing:
            told = "; ".join(f"{key}: {record.planned[key]} then, {planned[key]} now" for key in differing)
            raise ValueError(f"{records / name} is of another run, {told}: name another --output_dir")
        return record
    print(f"{name} ...", flush=True)
    training.finish()
    return read_one(write_record(name, planned, training, records))


def _planned(training: BundleTraining) -> dict[str, Any]:
    """What a record keeps of the command."""
    settings = {name: list(value) if isinstance(value, tuple) else value for name, value in training.settings.items()}
    return {
        "network": settings["preset"],
        "dataset": training.dataset_dir.name,
        "part": f"fold{settings.get('fold', 0)}",
        "epochs": training.run("training").value("epochs"),
        "seed": settings["seed"],
        "bundle": training.bundle.name,
        "settings": settings,
        "variant": None,
    }


if __name__ == "__main__":
    run_commands(find_size)
