"""Measure what networks cost on this machine: operations, the times of all their forms, memory."""

import fnmatch
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from lunet_networks.authoring.command_line import run_commands
from lunet_networks.bundle.runtime.checks import check_whole_number, choose
from tools.speed.measurement import measure_costs, num_parts
from tools.speed.setup import describe_setup, reservations
from tools.tables.networks import Subject, subjects
from tools.tables.record import RECORD, Record, read_record


def measure(
    networks: str | Sequence[str] = "provisional",
    sizes: int | Sequence[int] | None = None,
    rounds: int = 5,
    num_threads: int | None = None,
    record: str = str(RECORD),
) -> None:
    """Measure networks and write the record from which ``python -m tools.make_table`` makes its tables. Use a machine
    that does nothing else.

    The forms of a network take turns, each in its own process. The record is written after every network, so a stopped
    measurement loses one network at most. Then wait a minute until the machine is idle, and measure the provisional
    networks.

    Args:
        networks: "all"; "missing": those without figures, or with other parameters or operations by now;
            "provisional": the missing ones, and those with figures of a busy machine, of fewer than three rounds or of
            several runs; or names of presets and peers, or patterns such as "lunet*".
        sizes: edges of volumes and pictures, of 64, 128 and 256; by default all.
        rounds: visits to every form of a network.
        num_threads: of the CPU; by default as many as there are cores.
        record: JSON file of the figures.
    """
    num_threads = os.cpu_count() if num_threads is None else num_threads
    for option, number in {"--rounds": rounds, "--num_threads": num_threads}.items():
        check_whole_number(option, number, least=1)
    path, setup = Path(str(record)), describe_setup(num_threads, rounds)
    measured = read_record(path)
    chosen = choose_subjects(networks, sizes, measured)
    for reason in reservations(setup):
        print(f"the figures will be provisional: {reason}", file=sys.stderr)
    with tqdm(total=sum(num_parts(subject, rounds) for subject in chosen), disable=None, smoothing=0) as bar:
        for subject in chosen:
            bar.set_postfix_str(f"{subject.network}, {subject.size}")
            measured = measured.with_figures(setup, measure_costs(subject, rounds, num_threads, bar.update))
            measured.write(path)
    print(f"{len(chosen)} networks measured, figures in {path}: make tables with python -m tools.make_table")


def choose_subjects(networks: str | Sequence[str], sizes: int | Sequence[int] | None, record: Record) -> list[Subject]:
    """What is to be measured.

    Raises:
        ValueError: if there is no such network or size, or a network is not compared at any of the sizes.
    """
    every = subjects()
    edges = {str(subject.size): subject.size for subject in every}
    given = edges.values() if sizes is None else sizes if isinstance(sizes, list | tuple) else [sizes]
    wanted = {choose("--sizes", str(size), edges) for size in given}
    of_sizes = [subject for subject in every if subject.size in wanted]
    groups = {
        "all": lambda subject: True,
        "missing": record.is_missing,
        "provisional": record.is_provisional,
    }
    chosen: set[Subject] = set()
    for name in networks if isinstance(networks, list | tuple) else str(networks).split(","):
        if name in groups:
            chosen |= set(filter(groups[name], of_sizes))
        elif found := {subject for subject in of_sizes if fnmatch.fnmatchcase(subject.network, str(name))}:
            chosen |= found
        else:
            known = dict.fromkeys(subject.network for subject in of_sizes)
            choose("networks", name, {**groups, **known})
    return [subject for subject in of_sizes if subject in chosen]


if __name__ == "__main__":
    run_commands(measure)
