"""The whole way from data to labels in a few minutes: phantom, training, evaluation, inference, pictures."""

import statistics
from pathlib import Path

from tools.command_line import run_commands
from tools.records import label_dice, read_rows
from tools.shell import run_python

BUNDLE = Path(__file__).parent.parent / "bundles" / "lunet_small"


def demo(output_dir: str = "demo", num_cases: int = 40, epochs: int = 24) -> None:
    """Train lunet_small on a phantom, measure it on cases it has not seen, label them, and say where to look.

    Each step is a command that a user would type; it is printed before it runs.

    Args:
        output_dir: where everything goes; a demo that is there already is replaced.
        num_cases: cases to train on and to choose the best epoch by.
        epochs: of training.
    """
    output = Path(str(output_dir)).resolve()
    data, run = output / "phantom", output / "run"
    places = ["--dataset_dir", data, "--output_dir", run, "--ckpt_dir", output / "models"]
    _run(
        "tools.get_data", "phantom", "--output_dir", data, "--num_cases", num_cases, "--num_test", 8,
        "--difficulty", "easy", "--overwrite", "True",
    )  # fmt: skip
    _run_bundle(["train"], "training", *places, "--epochs", epochs, "--batch_size", 4, "--overwrite", "True")
    _run_bundle(["train", "evaluate", "visualize"], "visualize", *places)
    labels = ["--dataset_dir", data / "imagesTs", "--output_dir", output / "labels"]
    _run_bundle(["inference"], "inference", *labels, "--ckpt_dir", output / "models")
    mean_dice = statistics.fmean(label_dice(read_rows(run / "summary.csv")).values())
    print(
        f"\nmean Dice {mean_dice:.3f} on 8 cases that the training has not seen. Look at:\n"
        f"  {run / 'report.html'}  in a browser: figures, pictures of cases, how the training went\n"
        f"  {run / 'overlay.png'}  truth and prediction in the median case\n"
        f"  {run / 'cases.csv'}    every case in figures\n"
        f"  {output / 'labels'}        label maps of the new images"
    )


def _run_bundle(configs: list[str], workflow: str, *arguments: object) -> None:
    files = [str(BUNDLE / "configs" / f"{name}.json") for name in configs]
    config_file = files[0] if len(files) == 1 else str(files)
    _run("monai.bundle", "run", workflow, "--bundle_root", BUNDLE, "--config_file", config_file, *arguments)


def _run(module: str, *arguments: object) -> None:
    run_python(["-m", module, *map(str, arguments)])


if __name__ == "__main__":
    run_commands(demo)
