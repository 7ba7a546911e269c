"""Train a network with kernels and without, and write what it took and how well it did into docs/speed.md."""

import csv
import io
import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events

from lunet_networks.authoring.command_line import run_commands
from lunet_networks.bundle.runtime.checks import choose
from lunet_networks.bundle.runtime.files import write_atomically
from lunet_networks.bundle.training.history import KEY_METRIC
from lunet_networks.kernels.choice import KERNELS
from tools import ROOT
from tools.speed.training import training_of
from tools.tables.generated_sections import write_between_marks

RECORDS = ROOT / "docs" / "engineering" / "kernel_trainings.csv"
COMMAND = "python -m tools.compare_kernels table"
NAME = "kernel trainings"
TRAINING = ("dataset", "network", "batch_size", "seed", "kernels")  # what tells one from another
FIELDS = (*TRAINING, "threads", "epoch", "elapsed", "processor", "dice")
TARGETS = {"phantom": 0.80, "Task04_Hippocampus": 0.86}  # Dice to reach, by the dataset's folder
LAST = 10  # epochs whose mean Dice is told
TITLES = (
    "dataset, network, batch size",
    "seed",
    "`--kernels`",
    "epochs",
    "best Dice",
    f"mean of the last {LAST} epochs",
    "processor seconds in all",
    "first epoch with the Dice that is to be reached",
    "processor seconds until then",
)

Row = Mapping[str, Any]


def train(
    dataset_dir: str,
    kernels: str,
    seed: int = 42,
    epochs: int = 60,
    bundle: str = str(ROOT / "bundles" / "lunet_small"),
    batch_size: int = 16,
    records: str = str(RECORDS),
) -> None:
    """Train a bundle on fold 0, validating after each epoch, and record Dice and seconds since the start.

    Args:
        dataset_dir: folder with dataset.json; its name goes into the table.
        kernels: auto or off.
        seed: of the training.
        epochs: of the training.
        bundle: folder of the bundle.
        batch_size: volumes in a step.
        records: CSV file, to which a row is added for each epoch; those of an earlier training like this are removed.
    """
    choose("kernels", kernels, KERNELS)
    elapsed, processor = time.perf_counter(), time.process_time()
    settings = {"dataset_dir": str(dataset_dir), "kernels": kernels, "seed": seed, "batch_size": batch_size}
    with tempfile.TemporaryDirectory() as folder:
        workflow = training_of(Path(str(bundle)), Path(folder), {**settings, "epochs": epochs})
        history, network = (workflow.parser.get_parsed_content(name) for name in ("history", "preset"))
        training = {**settings, "dataset": Path(str(dataset_dir)).name, "network": network}

        def record(engine: Engine) -> None:
            seconds = {"elapsed": time.perf_counter() - elapsed, "processor": time.process_time() - processor}
            row = {
                **{name: str(training[name]) for name in TRAINING},
                "threads": torch.get_num_threads(),
                "epoch": engine.state.epoch,
                **{name: f"{value:.1f}" for name, value in seconds.items()},
                "dice": f"{history.rows[-1][KEY_METRIC]:.4f}",
            }
            add_row(Path(str(records)), row)

        workflow.parser.get_parsed_content("train#trainer").add_event_handler(Events.EPOCH_COMPLETED, record)
        workflow.run()


def add_row(path: Path, row: Row) -> None:
    """Add an epoch to a file; the first one of a training removes an earlier training like it."""
    rows = read_rows(path) if path.is_file() else []
    if row["epoch"] == 1:
        rows = [other for other in rows if any(other[name] != row[name] for name in TRAINING)]
    text = io.StringIO()
    table = csv.DictWriter(text, FIELDS, lineterminator="\n")
    table.writeheader()
    table.writerows([*rows, row])
    write_atomically(path, text.getvalue().encode())


def read_rows(path: Path) -> list[dict[str, str]]:
    """The epochs in a file."""
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def table(records: str = str(RECORDS), document: str = str(ROOT / "docs" / "speed.md")) -> None:
    """Write the table of the recorded trainings.

    Args:
        records: CSV file that the trainings were recorded in.
        document: Markdown file with the marks of the table.
    """
    rows = read_rows(Path(str(records)))
    lines = [f"| {' | '.join(TITLES)} |", f"|---|{'---:|' * (len(TITLES) - 1)}", *map(describe, _trainings(rows))]
    threads = sorted({int(row["threads"]) for row in rows})
    told = ", ".join(f"{dice:.2f} on {dataset}" for dataset, dice in TARGETS.items())
    text = (
        f"Dice of the validation cases of fold 0, after each epoch. To be reached: {told}. Processor seconds count the "
        f"work of all threads from the start of the command, reading and validation included; threads: "
        f"{', '.join(map(str, threads))}.{spread(rows)}{not_run(rows)}"
    )
    write_between_marks(str(document), NAME, COMMAND, "\n".join([*lines, "", text]))


def _trainings(rows: Sequence[Row]) -> Iterator[list[Row]]:
    def key(row: Row) -> tuple:
        return row["dataset"], row["network"], int(row["batch_size"]), int(row["seed"]), row["kernels"]

    for _, epochs in groupby(sorted(rows, key=key), key):
        yield list(epochs)


def spread(rows: Sequence[Row]) -> str:
    """What kernels and what seeds change, of every dataset with several seeds that were trained both ways.

    Example:
        >>> of = {"dataset": "phantom", "network": "net", "batch_size": "4", "epoch": "1"}
        >>> dice = {("1", "off"): "0.81", ("1", "auto"): "0.82", ("2", "off"): "0.85", ("2", "auto"): "0.84"}
        >>> spread([{**of, "seed": seed, "kernels": way, "dice": each} for (seed, way), each in dice.items()])
        ' On phantom with `net`, 4, kernels change the mean of the last epochs by at most 0.010, seeds by up to 0.040.'
    """
    ends: dict[tuple[str, str, str], dict[str, dict[str, float]]] = {}
    for epochs in _trainings(rows):
        first = epochs[0]
        training = first["dataset"], first["network"], first["batch_size"]
        of_seed = ends.setdefault(training, {}).setdefault(first["seed"], {})
        of_seed[first["kernels"]] = statistics.fmean(float(row["dice"]) for row in epochs[-LAST:])
    told = []
    for (dataset, network, batch_size), seeds in ends.items():
        both = [of_seed for of_seed in seeds.values() if len(of_seed) == len(KERNELS)]
        if len(both) > 1:
            kernels = max(max(each.values()) - min(each.values()) for each in both)
            seed = max(max(way) - min(way) for way in zip(*(each.values() for each in both), strict=True))
            told.append(
                f" On {dataset} with `{network}`, {batch_size}, kernels change the mean of the last epochs by at most "
                f"{kernels:.3f}, seeds by up to {seed:.3f}."
            )
    return "".join(told)


def not_run(rows: Sequence[Row]) -> str:
    """The trainings without their counterpart, which the table cannot compare; nothing if all have one.

    Example:
        >>> of = {"dataset": "phantom", "network": "net", "batch_size": "4", "seed": "1"}
        >>> not_run([{**of, "kernels": "auto"}])
        ' Not run: phantom, `net`, 4, seed 1 with `--kernels off`.'
    """
    found = {tuple(row[name] for name in TRAINING) for row in rows}
    missing = sorted({(*of, kernels) for *of, _ in found for kernels in KERNELS} - found)
    told = [f"{of[0]}, `{of[1]}`, {of[2]}, seed {of[3]} with `--kernels {of[4]}`" for of in missing]
    return f" Not run: {'; '.join(told)}." if told else ""


def describe(epochs: Sequence[Row]) -> str:
    """A line of the table.

    Example:
        >>> of = {"dataset": "phantom", "network": "net", "batch_size": "4", "seed": "1", "kernels": "off"}
        >>> numbers = [("10.0", "0.7"), ("20.0", "0.8"), ("30.0", "0.78")]
        >>> epochs = [{**of, "epoch": str(k), "processor": s, "dice": d} for k, (s, d) in enumerate(numbers, start=1)]
        >>> describe(epochs)
        '| phantom, `net`, 4 | 1 | off | 3 | 0.800 | 0.760 | 30 | 2 | 20 |'
    """
    first, dice = epochs[0], [float(row["dice"]) for row in epochs]
    target = TARGETS.get(first["dataset"], 1.0)
    reached = [row for row in epochs if float(row["dice"]) >= target]
    there = [reached[0]["epoch"], f"{float(reached[0]['processor']):.0f}"] if reached else ["-", "-"]
    cells = [
        f"{first['dataset']}, `{first['network']}`, {first['batch_size']}",
        first["seed"],
        first["kernels"],
        str(len(epochs)),
        f"{max(dice):.3f}",
        f"{statistics.fmean(dice[-LAST:]):.3f}",
        f"{float(epochs[-1]['processor']):.0f}",
        *there,
    ]
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    run_commands(train, table)
