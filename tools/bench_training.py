"""Write the table of training speed in docs/speed.md: steps of ``run training`` with kernels and without, and those of
a bare loop."""

import functools
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events
from monai.bundle import ConfigWorkflow
from torch.utils.benchmark import set_torch_threads

from lunet_networks import create_network
from lunet_networks.authoring.command_line import run_commands
from lunet_networks.authoring.planning.families import FAMILIES, presets_of
from lunet_networks.bundle.benchmark.memory import measure_peak_memory
from lunet_networks.bundle.benchmark.steps import TrainingStep
from lunet_networks.bundle.data.datalist import load_datalist
from lunet_networks.kernels.choice import describe_kernels, use_kernels
from tools import ROOT
from tools.speed.setup import Setup, describe_setup, load_average, machine_text
from tools.speed.training import training_of
from tools.tables.generated_sections import write_between_marks

COMMAND = "python -m tools.bench_training"
NAME = "training"
NETWORKS = ("lunet_small_4f", "unet_small_4f", "lunet_large_6f")
BATCH_SIZES = (16, 2)
CHOICES = ("off", "auto")  # of the kernels
TITLES = (
    "network",
    "batch size",
    "`run training` with `--kernels off`, ms a step",
    "`run training`, ms a step",
    "times as fast",
    "by processor time",
    "bare loop, ms a step",
    "share of the bare loop's speed",
    "memory of a step with `--kernels off`, MiB",
    "memory of a step, MiB",
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


@dataclass
class Measured:
    """Of a network and a batch size.

    Args:
        trained: rounds of ``run training``, by the choice of kernels.
        bare: those of a bare loop with kernels.
        memory: peak of a step in bytes, by the choice of kernels; None where the system does not tell.
    """

    trained: dict[str, Rounds] = field(default_factory=lambda: {choice: Rounds() for choice in CHOICES})
    bare: Rounds = field(default_factory=Rounds)
    memory: dict[str, int | None] = field(default_factory=dict)


def bench_training(
    dataset_dir: str,
    networks: str | Sequence[str] = NETWORKS,
    batch_sizes: int | Sequence[int] = BATCH_SIZES,
    cases: int = 64,
    rounds: int = 5,
    num_threads: int = 2,
    num_workers: int = 0,
    device: str = "cpu",
    document: str = str(ROOT / "docs" / "speed.md"),
) -> None:
    """Train with kernels and without, epoch by epoch in turn with a bare loop, and write the speeds into a document.

    Args:
        dataset_dir: folder of the dataset that the bundles are for, with dataset.json.
        networks: presets that bundles of the repository can train.
        batch_sizes: volumes in a step.
        cases: in an epoch, those of an incomplete batch left out.
        rounds: epochs that are timed after one to warm up.
        num_threads: of the CPU.
        num_workers: processes that load and augment.
        device: where to compute.
        document: Markdown file with the marks of the table.
    """
    names = networks.split(",") if isinstance(networks, str) else networks
    sizes = [batch_sizes] if isinstance(batch_sizes, int) else batch_sizes
    lines = [f"| {' | '.join(TITLES)} |", "|---|" + "---:|" * (len(TITLES) - 1)]
    settings, setup = {"num_workers": num_workers, "device": device}, describe_setup(num_threads, rounds)
    with set_torch_threads(num_threads):
        for name in names:
            for batch_size in sizes:
                measured = measure(name, str(dataset_dir), batch_size, cases, rounds, **settings)
                lines.append(row(name, batch_size, measured))
                print(lines[-1])
    text = "\n".join([*lines, "", conditions(cases, num_workers, device, setup)])
    write_between_marks(str(document), NAME, COMMAND, text)


def measure(preset: str, dataset_dir: str, batch_size: int, cases: int, rounds: int, **settings: Any) -> Measured:
    """Seconds per step of a bundle's training without kernels and with them, and of a bare loop, which take turns.

    The bare loop has the network, loss and optimizer of the training, and one batch that is in memory all the time.

    Raises:
        ValueError: if there are fewer cases than a batch needs.
    """
    data = load_datalist(dataset_dir, "training")
    steps = min(cases, len(data)) // batch_size
    if not steps:
        raise ValueError(f"--batch_sizes has {batch_size}, --cases is {cases} and the dataset has {len(data)}")
    measured = Measured()
    with tempfile.TemporaryDirectory() as folder:
        data, epochs = data[: steps * batch_size], len(CHOICES) * (rounds + 1)
        workflow = _workflow(preset, dataset_dir, Path(folder), batch_size, epochs, data, settings)
        step = _step(workflow, batch_size)
        for choice in CHOICES:
            _use(choice)
            measured.memory[choice] = measure_peak_memory(step, torch.get_num_threads())
        run = step.prepare()
        trainer = workflow.parser.get_parsed_content("train#trainer")

        def trained(engine: Engine) -> tuple[str, Rounds]:
            choice = CHOICES[(engine.state.epoch - 1) % len(CHOICES)]
            return choice, measured.trained[choice]

        def start(engine: Engine) -> None:
            choice, epoch = trained(engine)
            _use(choice)
            epoch.start()

        def stop(engine: Engine) -> None:
            if engine.state.iteration % steps == 0:
                trained(engine)[1].stop(steps)

        def run_bare(engine: Engine) -> None:
            if trained(engine)[0] == "auto":
                measured.bare.start()
                for _ in range(steps):
                    run()
                measured.bare.stop(steps)

        trainer.add_event_handler(Events.EPOCH_STARTED, start)
        trainer.add_event_handler(Events.ITERATION_COMPLETED, stop)
        trainer.add_event_handler(Events.EPOCH_COMPLETED, run_bare)
        workflow.run()
    return measured


def _use(kernels: str) -> None:
    use_kernels(kernels)
    describe_kernels()  # loads them, for processes that are started later: by the environment


def _workflow(
    preset: str, dataset_dir: str, folder: Path, batch_size: int, epochs: int, data: list[Any], settings: dict[str, Any]
) -> ConfigWorkflow:
    override = {
        "preset": preset,
        "dataset_dir": dataset_dir,
        "batch_size": batch_size,
        "epochs": epochs,
        "val_interval": epochs + 1,
        "train#dataset#data": data,
        "validate#dataset#data": data[:1],
        **settings,
    }
    return training_of(_bundle_of(preset), folder, override)


def _bundle_of(preset: str) -> Path:
    family = next((name for name in FAMILIES if preset in presets_of(name)), None)
    if family is None or not (ROOT / "bundles" / family).is_dir():
        raise ValueError(f"--networks has {preset}: no bundle of the repository trains it")
    return ROOT / "bundles" / family


def _step(workflow: ConfigWorkflow, batch_size: int) -> TrainingStep:
    parsed = workflow.parser.get_parsed_content
    size, definition = parsed("roi_size"), workflow.parser.get("network_def")
    arguments = {name: parsed(f"network_def#{name}") for name in definition if name != "_target_"}
    return TrainingStep(
        make_network=functools.partial(create_network, **arguments),
        input_shape=(batch_size, parsed("in_channels"), *size),
        device=str(parsed("device")),
        loss=parsed("train#loss"),
        optimizer_name=parsed("optimizer_name"),
        num_values=len(parsed("label_names")) + 1,
    )


def row(preset: str, batch_size: int, measured: Measured) -> str:
    """Of the table, in Markdown; the first round of each warms up.

    Example:
        >>> rounds = {"off": Rounds([9.0, 2.0], [9.0, 3.0]), "auto": Rounds([9.0, 0.5, 0.7], [9.0, 0.9, 1.1])}
        >>> bare = Rounds([9.0, 0.54], [9.0, 0.9])
        >>> row("net", 16, Measured(rounds, bare, {"off": 2**30, "auto": None}))
        '| `net` | 16 | 2000 | 600 | 3.3 | 3.0 | 540 | 0.90 | 1024 | - |'
    """
    elapsed, processor = (
        {choice: _median(getattr(rounds, clock)) for choice, rounds in measured.trained.items()}
        for clock in ("elapsed", "processor")
    )
    bare = _median(measured.bare.elapsed)
    cells = [
        *(f"{1000 * seconds:.0f}" for seconds in elapsed.values()),
        *(f"{seconds['off'] / seconds['auto']:.1f}" for seconds in (elapsed, processor)),
        f"{1000 * bare:.0f}",
        f"{bare / elapsed['auto']:.2f}",
        *("-" if peak is None else f"{peak / 2**20:.0f}" for peak in measured.memory.values()),
    ]
    return f"| `{preset}` | {batch_size} | {' | '.join(cells)} |"


def _median(seconds: Sequence[float]) -> float:
    return statistics.median(seconds[1:])


def conditions(cases: int, num_workers: int, device: str, setup: Setup) -> str:
    """Where the figures come from."""
    gpu = f", on {setup['machine']['gpu']}" if device.startswith("cuda") else ""
    return (
        f"Medians of {setup['rounds']} epochs of {cases} cases each way and as many steps of the bare loop, in turn, "
        f"`num_workers` {num_workers}, on {setup['date']} with {machine_text(setup)}{gpu}. At the end {load_average()} "
        "processes ran or waited on the machine: where others compute too, look at the processor time, which counts "
        "the work of all threads. Memory: the peak of network, loss and optimizer, see [memory](engineering/memory.md)."
    )


if __name__ == "__main__":
    run_commands(bench_training)
