"""Write the table of training steps, with kernels and without, of every preset that trains on kernels."""

import functools
import statistics
import time
from collections.abc import Sequence

import torch
from torch.utils.benchmark import set_torch_threads

from lunet_networks import create_network, list_presets
from lunet_networks.authoring.command_line import run_commands
from lunet_networks.bundle.benchmark.steps import TrainingStep
from lunet_networks.bundle.runtime.freed_memory import keep_freed_memory
from lunet_networks.bundle.training.losses import SegmentationLoss
from lunet_networks.kernels.choice import describe_kernels, use_kernels
from lunet_networks.nets import UNet, UNetPlusPlus
from lunet_networks.nets.fast_training import WIDEST_UNIT
from tools import ROOT
from tools.speed.setup import Setup, describe_setup, load_average, machine_text
from tools.tables.generated_sections import write_between_marks

COMMAND = "python -m tools.bench_training_presets"
NAME = "training steps"
SHAPES = {3: (2, 1, 48, 64, 48), 2: (4, 1, 256, 256)}  # by spatial dimensions
LABELS = 3  # the background included
CHOICES = ("off", "auto")  # of the kernels
TITLES = ("preset", *(f"{choice}, {dims}D" for dims in SHAPES for choice in ("off", "auto", "ratio")))


def bench_training_presets(
    presets: str | Sequence[str] = "",
    rounds: int = 3,
    num_threads: int = 1,
    document: str = str(ROOT / "docs" / "engineering" / "kernels.md"),
) -> None:
    """Time the training step of presets with kernels and without, in turn, and write the table into a document.

    Args:
        presets: names; none: all that train on kernels.
        rounds: steps that are timed after one to warm up.
        num_threads: of the CPU.
        document: Markdown file with the marks of the table.
    """
    names = (presets.split(",") if isinstance(presets, str) else list(presets)) if presets else trained_on_kernels()
    setup = describe_setup(num_threads, rounds)
    keep_freed_memory()  # as a training does
    lines = [f"| {' | '.join(TITLES)} |", f"|---|{'---:|' * (len(TITLES) - 1)}"]
    with set_torch_threads(num_threads):
        for name in names:
            lines.append(row(name, [measure(name, dims, rounds) for dims in SHAPES]))
            print(lines[-1], flush=True)
    write_between_marks(str(document), NAME, COMMAND, "\n".join([*lines, "", conditions(setup)]))


def trained_on_kernels() -> list[str]:
    """The presets whose layers may take kernels when they train.

    Example:
        >>> "lunet_large_12f" in trained_on_kernels(), "lunet_large_24f" in trained_on_kernels()
        (True, False)
    """
    with torch.device("meta"):
        networks = {name: create_network(name) for name in list_presets()}
    return [
        name
        for name, network in networks.items()
        if isinstance(network, UNet | UNetPlusPlus) and network.channels[0] <= WIDEST_UNIT
    ]


def measure(preset: str, dims: int, rounds: int) -> tuple[float, float]:
    """Median processor seconds of a step without kernels and with them."""
    seconds: dict[str, list[float]] = {choice: [] for choice in CHOICES}
    step = TrainingStep(
        make_network=functools.partial(create_network, preset, spatial_dims=dims, out_channels=LABELS, dropout=0.005),
        input_shape=SHAPES[dims],
        loss=SegmentationLoss("dice_bce", LABELS),
        num_values=LABELS,
    ).prepare()
    for _ in range(1 + rounds):
        for choice, found in seconds.items():
            use_kernels(choice)
            describe_kernels()  # loads them
            started = time.process_time()
            step()
            found.append(time.process_time() - started)
    off, auto = (statistics.median(found[1:]) for found in seconds.values())
    return off, auto


def row(preset: str, measured: Sequence[tuple[float, float]]) -> str:
    """Of the table, in Markdown, in milliseconds.

    Example:
        >>> row("net", [(1.0, 0.25), (0.03, 0.02)])
        '| `net` | 1000 | 250 | 4.0 | 30 | 20 | 1.5 |'
    """
    cells = [f"{1000 * off:.0f} | {1000 * auto:.0f} | {off / auto:.1f}" for off, auto in measured]
    return f"| `{preset}` | {' | '.join(cells)} |"


def conditions(setup: Setup) -> str:
    """Where the figures come from."""
    shapes = " and ".join(f"{' x '.join(map(str, shape[2:]))} with batch size {shape[0]}" for shape in SHAPES.values())
    return (
        f"Processor time of a step (forward, loss, backward, optimizer) in ms, {shapes}, {LABELS} labels, with "
        f"`--kernels off` and auto in turn, medians of {setup['rounds']}, on {setup['date']} with "
        f"{machine_text(setup)}. At the end {load_average()} processes ran or waited on the machine."
    )


if __name__ == "__main__":
    run_commands(bench_training_presets)
