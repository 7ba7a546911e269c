"""Run the commands of docs/tutorial.md one after the other, and write their output and pictures into it."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path

import torch

from lunet_networks.authoring.command_line import run_commands
from tools import ROOT
from tools.speed.setup import describe_setup, machine_text
from tools.tables.generated_sections import write_between_marks

COMMAND = "python -m tools.walk_tutorial"
PLACE = "/walk"  # stands for the folder of the walk
PICTURES = {  # in the document's folder, and what writes them in the walk
    "pictures/tutorial_fingerprint.png": "my_bundle_fingerprint.png",
    "pictures/tutorial_curves.png": "my_bundle/eval/curves.png",
    "pictures/tutorial_overlay.png": "my_bundle/eval/overlay.png",
}
MACHINE = "machine"  # section with what it was walked on
STEP = re.compile(rf"^```bash\n((?:(?!```).*\n)+)```\n\n<!-- (\w+): written by {re.escape(COMMAND)} -->$", re.M)
OF_MONAI = "Setting logging properties based on config"
EPOCH = re.compile(r"INFO epoch \d+/\d+: ")
BEGINNING, END = 8, 20  # lines of a long output that are kept


def walk_tutorial(document: str = str(ROOT / "docs" / "tutorial.md")) -> None:
    """Run every command that has a section for its output, in a new folder, and write what it prints.

    The commands are those of this Python's environment: install the package there, as the tutorial tells.

    Args:
        document: holds the commands in fences of bash, each before its section.
    """
    path, outputs = Path(document), {}
    with tempfile.TemporaryDirectory() as folder:
        for commands, name in STEP.findall(path.read_text(encoding="utf-8")):
            began = time.monotonic()
            lines = run_step(commands, Path(folder))
            seconds = round(time.monotonic() - began)
            print(f"{name}: {seconds} s", flush=True)
            outputs[name] = "\n".join(["```text", *shortened(lines), "```", "", f"{seconds} seconds."])
        for picture, source in PICTURES.items():
            shutil.copyfile(Path(folder, source), path.parent / picture)
    setup = describe_setup(torch.get_num_threads(), rounds=1)
    outputs[MACHINE] = f"Walked on {setup['date']} with {machine_text(setup)}."
    for name, text in outputs.items():
        write_between_marks(path, name, COMMAND, text)


def run_step(commands: str, folder: Path) -> list[str]:
    """Run commands in bash.

    Args:
        commands: a line each.
        folder: to run in.

    Returns:
        The lines that they print, on both streams.

    Raises:
        ValueError: if one fails; the message has its output.
    """
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "COLUMNS")}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    ended = subprocess.run(
        ["bash", "-e", "-c", commands],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if ended.returncode:
        raise ValueError(f"{commands}ended with status {ended.returncode}:\n{ended.stdout}")
    return [line.replace(str(folder), PLACE) for line in ended.stdout.strip().splitlines()]


def shortened(lines: Sequence[str]) -> list[str]:
    """The lines that a reader needs, with ``...`` where some are left out.

    Example:
        >>> shortened([f"12:00:00 INFO epoch {epoch}/9: loss 1" for epoch in range(1, 10)])[1:4]
        ['12:00:00 INFO epoch 2/9: loss 1', '...', '12:00:00 INFO epoch 8/9: loss 1']
    """
    kept = list(_few_epochs([line for line in lines if OF_MONAI not in line]))
    return kept if len(kept) <= BEGINNING + END else [*kept[:BEGINNING], "...", *kept[-END:]]


def _few_epochs(lines: Sequence[str]) -> Iterator[str]:
    """The first two and the last two epochs of each training."""
    for are_epochs, group in groupby(lines, lambda line: EPOCH.search(line) is not None):
        together = list(group)
        yield from [*together[:2], "...", *together[-2:]] if are_epochs and len(together) > 5 else together


if __name__ == "__main__":
    run_commands(walk_tutorial)
