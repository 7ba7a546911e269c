"""Write the table of training speed in docs/speed.md: steps of ``run training`` beside those of a bare loop, which also
runs without our kernels."""

import copy
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events
from monai.bundle import ConfigWorkflow
from torch.utils.benchmark import set_torch_threads

from lunet_networks.authoring.command_line import run_commands
from lunet_networks.authoring.literals import literal
from lunet_networks.authoring.planning.families import FAMILIES
from lunet_networks.bundle.benchmark.steps import TrainingStep
from lunet_networks.bundle.data.datalist import load_datalist
from lunet_networks.kernels.choice import describe_kernels, use_kernels
from tools import ROOT
from tools.speed.setup import Setup, describe_setup, load_average, machine_text
from tools.tables.generated_sections import write_between_marks

COMMAND = "python -m tools.bench_training"
NAME = "training"
FAMILIES_MEASURED = ("lunet_small", "unet_small")
BATCH_SIZES = (16, 1)
TITLES = (
    "network",
    "batch size",
    "bare loop with `--kernels off`, steps a second",
    "bare loop, steps a second",
    "faster than with `--kernels off`",
    "`run training`, steps a second",
    "share of the bare loop's speed",
    "by processor time",
)


@dataclass
class Rounds:
    """Seconds per step, one figure per round.

    Args:
        elapsed: of the clock.
        processor: of all cores together, without other processes.
    """

    elapsed: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)
    _started: tuple[float, float] = (0.0, 0.0)

    def start(self) -> None:
        """Begin a round."""
        self._started = _clocks()

    def stop(self, steps: int) -> None:
        """End a round of ``steps`` steps."""
        for figures, now, started in zip((self.elapsed, self.processor), _clocks(), self._started, strict=True):
            figures.append((now - started) / steps)


def _clocks() -> tuple[float, float]:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter(), time.process_time()


def bench_training(
    dataset_dir: str,
    bundles: str | Sequence[str] = FAMILIES_MEASURED,
    batch_sizes: int | Sequence[int] = BATCH_SIZES,
    cases: int = 128,
    rounds: int = 5,
    num_threads: int = 2,
    num_workers: int = 0,
    device: str = "cpu",
    document: str = str(ROOT / "docs" / "speed.md"),
) -> None:
    """Train bundles, alternate each epoch with as many steps of a bare loop, and write both speeds into a document.

    Args:
        dataset_dir: folder of the dataset that the bundles are for, with dataset.json.
        bundles: names of bundles of the repository.
        batch_sizes: volumes in a step.
        cases: in an epoch, those of an incomplete batch left out.
        rounds: epochs that are timed after one to warm up.
        num_threads: of the CPU.
        num_workers: processes that load and augment.
        device: where to compute.
        document: Markdown file with the marks of the table.
    """
    names = bundles.split(",") if isinstance(bundles, str) else bundles
    sizes = [batch_sizes] if isinstance(batch_sizes, int) else batch_sizes
    lines = [f"| {' | '.join(TITLES)} |", "|---|" + "---:|" * (len(TITLES) - 1)]
    settings, setup = {"num_workers": num_workers, "device": device}, describe_setup(num_threads, rounds)
    with set_torch_threads(num_threads):
        for name in names:
            for batch_size in sizes:
                measured = measure(name, str(dataset_dir), batch_size, cases, rounds, **settings)
                lines.append(row(FAMILIES[name].preset, batch_size, *measured))
                print(lines[-1])
    text = "\n".join([*lines, "", conditions(cases, num_workers, device, setup)])
    write_between_marks(str(document), NAME, COMMAND, text)


def measure(
    name: str, dataset_dir: str, batch_size: int, cases: int, rounds: int, **settings: Any
) -> tuple[Rounds, Rounds, Rounds]:
    """Seconds per step of a bare loop without kernels and with them, and of a bundle's training, which take turns.

    The bare loop has the network, loss and optimizer of the training, and one batch that is in memory all the time.

    Raises:
        ValueError: if there are fewer cases than a batch needs.
    """
    data = load_datalist(dataset_dir, "training")
    steps = min(cases, len(data)) // batch_size
    if not steps:
        raise ValueError(f"--batch_sizes has {batch_size}, --cases is {cases} and the dataset has {len(data)}")
    plain, bare, bundle = Rounds(), Rounds(), Rounds()
    with tempfile.TemporaryDirectory() as folder:
        data = data[: steps * batch_size]
        workflow = _workflow(name, dataset_dir, Path(folder), batch_size, rounds + 1, data, settings)
        step = _bare_step(workflow, batch_size)
        trainer = workflow.parser.get_parsed_content("train#trainer")

        def stop(engine: Engine) -> None:
            if engine.state.iteration % steps == 0:
                bundle.stop(steps)

        def run_bare(engine: Engine) -> None:
            for loop, kernels in ((plain, "off"), (bare, "auto")):
                use_kernels(kernels)
                describe_kernels()  # loads them
                loop.start()
                for _ in range(steps):
                    step()
                loop.stop(steps)

        trainer.add_event_handler(Events.EPOCH_STARTED, bundle.start)
        trainer.add_event_handler(Events.ITERATION_COMPLETED, stop)
        trainer.add_event_handler(Events.EPOCH_COMPLETED, run_bare)
        workflow.run()
    return plain, bare, bundle


def _workflow(
    name: str, dataset_dir: str, folder: Path, batch_size: int, epochs: int, data: list[Any], settings: dict[str, Any]
) -> ConfigWorkflow:
    root = ROOT / "bundles" / name
    override = {
        "bundle_root": root,
        "dataset_dir": dataset_dir,
        "output_dir": folder / "eval",
        "ckpt_dir": folder / "models",
        "batch_size": batch_size,
        "epochs": epochs,
        "val_interval": epochs + 1,
        "train#dataset#data": data,
        "validate#dataset#data": data[:1],
        **settings,
    }
    workflow = ConfigWorkflow(
        config_file=str(root / "configs" / "train.json"),
        logging_file=False,
        workflow_type="train",
        **literal(override),
    )
    workflow.initialize()
    return workflow


def _bare_step(workflow: ConfigWorkflow, batch_size: int) -> Callable[[], None]:
    parsed = workflow.parser.get_parsed_content
    network, size = parsed("network_def"), parsed("roi_size")
    return TrainingStep(
        make_network=lambda: copy.deepcopy(network),
        input_shape=(batch_size, parsed("in_channels"), *size),
        device=str(parsed("device")),
        loss=parsed("train#loss"),
        optimizer_name=parsed("optimizer_name"),
        num_values=len(parsed("label_names")) + 1,
    ).prepare()


def row(preset: str, batch_size: int, plain: Rounds, bare: Rounds, bundle: Rounds) -> str:
    """Of the table, in Markdown; the first round of each warms up.

    Example:
        >>> bare = Rounds([9.0, 0.9, 1.0], [9.0, 1.0, 1.0])
        >>> row("net", 16, Rounds([9.0, 2.0], [9.0, 3.0]), bare, Rounds([9.0, 1.0, 1.2], [9.0, 1.25, 1.25]))
        '| `net` | 16 | 0.50 | 1.05 | 3.0 | 0.91 | 0.86 | 0.80 |'
    """
    elapsed, processor = (
        [statistics.median(getattr(rounds, clock)[1:]) for rounds in (plain, bare, bundle)]
        for clock in ("elapsed", "processor")
    )
    without, with_kernels, trained = (f"{1 / seconds:.2f}" for seconds in elapsed)
    faster = f"{processor[0] / processor[1]:.1f}"
    shares = " | ".join(f"{seconds[1] / seconds[2]:.2f}" for seconds in (elapsed, processor))
    return f"| `{preset}` | {batch_size} | {without} | {with_kernels} | {faster} | {trained} | {shares} |"


def conditions(cases: int, num_workers: int, device: str, setup: Setup) -> str:
    """Where the figures come from."""
    gpu = f", on {setup['machine']['gpu']}" if device.startswith("cuda") else ""
    return (
        f"Medians of {setup['rounds']} epochs of {cases} cases and of as many steps of the bare loops, in turn, "
        f"`num_workers` {num_workers}, on {setup['date']} with {machine_text(setup)}{gpu}. At the end {load_average()} "
        "processes ran or waited on the machine: where others compute too, look at the processor time, which counts "
        "the work of both; how much faster the kernels are is by processor time."
    )


if __name__ == "__main__":
    run_commands(bench_training)
