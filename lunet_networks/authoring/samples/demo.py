"""The whole way from data to labels in a few minutes: phantom, bundle, training, evaluation, inference, pictures."""

import statistics
from pathlib import Path

from lunet_networks.authoring.command_help import columns
from lunet_networks.authoring.command_line import as_bool
from lunet_networks.authoring.literals import literal
from lunet_networks.authoring.subprocesses import run_python
from lunet_networks.bundle.report.summaries import label_dice, read_rows
from lunet_networks.bundle.runtime import outputs
from lunet_networks.bundle.runtime.checks import check_whole_number


def demo(output_dir: str = "demo", num_cases: int = 40, epochs: int = 24, overwrite: bool = False) -> None:
    """Go the whole way on procedural data: dataset, bundle, training, evaluation, inference, report.

    Each step is a command that a user could type; it is printed before it runs.

    Args:
        output_dir: the folder for everything, which is made.
        num_cases: cases for training and for choosing the best epoch; at least 5, because there are five folds.
        epochs: number of epochs.
        overwrite: replace an earlier demo in the folder.
    """
    check_whole_number("--num_cases", num_cases, least=5)
    check_whole_number("--epochs", epochs, least=1)
    output = Path(str(output_dir)).resolve()
    if output.is_dir() and any(output.iterdir()) and not as_bool("overwrite", overwrite):
        raise FileExistsError(f"{output} is not empty: name another folder, or replace the demo with --overwrite True")
    data, bundle, run = output / "phantom", output / "lunet_small", output / "run"
    _lunet(
        "get-data", "phantom", "--output_dir", data, "--num_cases", num_cases, "--num_test", 8, "--difficulty", "easy",
        "--overwrite", True,
    )  # fmt: skip
    _lunet("new-bundle", "lunet_small", "--dataset_dir", data, "--output_dir", bundle, "--overwrite", True)
    places = ["--dataset_dir", data, "--output_dir", run, "--ckpt_dir", output / "models"]
    _run(bundle, ["train"], "training", *places, "--epochs", epochs, "--batch_size", 4, "--overwrite", True)
    _run(bundle, ["train", "evaluate", "visualize"], "visualize", *places)
    labels = ["--dataset_dir", data / "imagesTs", "--output_dir", output / "labels"]
    _run(bundle, ["inference"], "inference", *labels, "--ckpt_dir", output / "models")
    mean_dice = statistics.fmean(label_dice(read_rows(run / outputs.SUMMARY)).values())
    made = {
        run / "report.html": "in a browser: figures, pictures of cases, how the training went",
        run / "overlay.png": "outlines of truth and prediction in the median case",
        run / outputs.CASES: "the metrics of every case",
        output / "labels": "label maps of the new images, their volumes, and colours for viewers",
        bundle: "the bundle, which docs/README.md explains",
    }
    print(f"\nmean Dice {mean_dice:.3f} on 8 cases that were not used in training. Look at:")
    print(*columns((str(path), text) for path, text in made.items()), sep="\n")


def _lunet(*arguments: object) -> None:
    run_python(["-m", "lunet_networks", *map(str, arguments)])


def _run(bundle: Path, configs: list[str], workflow: str, *arguments: object) -> None:
    files = [str(bundle / "configs" / f"{name}.json") for name in configs]
    config_file = files[0] if len(files) == 1 else str(files)
    where = ["--bundle_root", literal(str(bundle)), "--config_file", config_file]
    run_python(["-m", "monai.bundle", "run", workflow, *where, *(literal(str(each)) for each in arguments)])
