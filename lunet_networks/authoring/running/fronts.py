"""``lunet train``, ``evaluate``, ``label`` and ``report``: the runs of a bundle, each in one line."""

import ast
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lunet_networks.authoring.command_line import wrong_usage
from lunet_networks.authoring.running.bundle_run import BundleRun
from lunet_networks.authoring.running.taken_over import taken_over
from lunet_networks.authoring.subprocesses import shell
from lunet_networks.bundle.runtime.checks import check_whole_number
from lunet_networks.bundle.runtime.outputs import weights_folder
from lunet_networks.bundle.training.records import DATASET_DIR


def train(bundle: str, dataset_dir: str | None = None, gpus: int = 1, **settings: Any) -> None:
    """Train a bundle's network, or continue its training with --resume True.

    The settings are checked, the command that this stands for is printed, and it runs. A training is continued with its
    own dataset and settings, as far as no others are given.

    Args:
        bundle: the bundle's folder; a packed bundle has to be unzipped.
        dataset_dir: the folder that holds dataset.json; without it that of the training to continue.
        gpus: number of processes, each of which uses a GPU; each of them takes batch_size cases.
        settings: any setting of the bundle, such as --epochs 20; lunet train BUNDLE --help lists them.
    """
    check_whole_number("gpus", gpus, least=1)
    _run("training", bundle, _given(dataset_dir, settings), processes=gpus)
    _tell_next(bundle, settings)


def evaluate(bundle: str, dataset_dir: str | None = None, **settings: Any) -> None:
    """Measure a trained bundle on cases with labels: cases.csv, summary.csv and a picture.

    The settings are checked, those of the training are taken over from its run.json, such as preset and fold, the
    command that this stands for is printed, and it runs.

    Args:
        bundle: the bundle's folder; a packed bundle has to be unzipped.
        dataset_dir: the folder that holds dataset.json; without it that of the training.
        settings: any setting of the bundle, such as --section test; lunet evaluate BUNDLE --help lists them.
    """
    _run("evaluation", bundle, _given(dataset_dir, settings))


def report(bundle: str, dataset_dir: str | None = None, **settings: Any) -> None:
    """Measure a trained bundle as lunet evaluate does, and write report.html with pictures and curves.

    The settings are checked, those of the training are taken over from its run.json, such as preset and fold, the
    command that this stands for is printed, and it runs.

    Args:
        bundle: the bundle's folder; a packed bundle has to be unzipped.
        dataset_dir: the folder that holds dataset.json; without it that of the training.
        settings: any setting of the bundle, such as --section test; lunet report BUNDLE --help lists them.
    """
    _run("visualize", bundle, _given(dataset_dir, settings))


def label(bundle: str, images: str, **settings: Any) -> None:
    """Write the label maps of new images.

    The settings are checked, those of the training are taken over from its run.json, such as preset and pixdim, the
    command that this stands for is printed, and it runs.

    Args:
        bundle: the bundle's folder; a packed bundle has to be unzipped.
        images: a folder of images, one image, or a list such as "['a.nii.gz','b.nii.gz']".
        settings: any setting of the bundle, such as --output_dir LABELS; lunet label BUNDLE --help lists them.
            --ckpt_dirs "['FOLD_0/models','FOLD_1/models']" averages several models.
    """
    if "dataset_dir" in settings:
        wrong_usage("lunet label does not take --dataset_dir: the images are the second argument, or --images")
    _run("ensemble" if "ckpt_dirs" in settings else "inference", bundle, {"dataset_dir": _images(images), **settings})


def _given(dataset_dir: str | None, settings: Mapping[str, Any]) -> dict[str, Any]:
    return {**({} if dataset_dir is None else {"dataset_dir": dataset_dir}), **settings}


def _tell_next(bundle: str, settings: Mapping[str, Any]) -> None:
    """The commands of the training's summary again, as they are typed with ``lunet``."""
    places = {name: str(settings[name]) for name in ("output_dir", "ckpt_dir") if name in settings}
    weights = {"ckpt_dir": weights_folder(places["output_dir"], bundle)} if "output_dir" in places else {}
    of_label = {"ckpt_dir": places["ckpt_dir"]} if "ckpt_dir" in places else weights
    # a record does not tell how to make a network that is not of this package
    network = {name: str(value) for name, value in settings.items() if name.startswith("network_def")}
    print("shorter:")
    for words, options in ((["report", bundle], places | network), (["label", bundle, "IMAGES"], of_label | network)):
        print(" ", shell(["lunet", *words, *(word for name in options for word in (f"--{name}", options[name]))]))


def _images(text: str) -> str | list[Any]:
    if not text.startswith("[") or Path(text).exists():
        return text
    try:
        return list(ast.literal_eval(text))
    except (ValueError, SyntaxError):  # names without quotation marks
        return [name.strip() for name in text.strip("[]").split(",")]


def _run(name: str, bundle: str, given: Mapping[str, Any], processes: int = 1) -> None:
    if "bundle_root" in given:
        wrong_usage("--bundle_root is left out: the first argument is the bundle")
    run = BundleRun.of(name, Path(bundle), given, processes)
    try:
        run.check_names()
    except ValueError as error:
        wrong_usage(str(error))
    run.check_values()
    if (found := taken_over(run)).settings:
        run = run.taking_over(found.settings)
        print(found)
    if name == "training" and DATASET_DIR not in run.given:
        wrong_usage("lunet train needs DATASET_DIR, unless --resume True continues a training: its record has it")
    print(f"$ {run.typed()}", flush=True)
    status = run.run()
    if status:
        sys.exit(status)
