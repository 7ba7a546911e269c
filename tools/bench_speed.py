"""Compare how fast networks predict on this CPU: as they are published, as they are here, deployed, and in engines."""

import fnmatch
import os
import random
import statistics
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tqdm import tqdm

from lunet_networks import list_presets
from lunet_networks.authoring.command_line import as_bool, run_commands
from lunet_networks.bundle.evaluation.tables import write_csv
from lunet_networks.bundle.report.summaries import read_rows
from lunet_networks.bundle.runtime.checks import check_whole_number, choose
from lunet_networks.bundle.runtime.files import write_figure
from lunet_networks.bundle.runtime.machine import describe_machine
from lunet_networks.bundle.runtime.versions import describe_versions
from lunet_networks.presets import input_shape
from lunet_networks.summary import count_macs, count_parameters
from tools.generated_sections import write_between_marks
from tools.repository import ROOT
from tools.speed.contenders import FORMS, PEER_FORMS, PRODUCT, Contender, Contest, make_network
from tools.speed.results import conditions, draw_latency, speed_table
from tools.tables.measurement import load_average
from tools.tables.peers import VOLUME_PEERS

COMMAND = "python -m tools.bench_speed"
DEFAULT = {
    64: [name for name in list_presets() if len(input_shape(name)) == 5]
    + ["BasicUNet", "UNet", "DynUNet", "SegResNet"],
    128: ["lunet_small_1f", "lunet_small_4f", "unet_small_4f", "lunet_large_6f", "UNet", "DynUNet", "SegResNet"],
}


def bench_speed(
    document: str = str(ROOT / "docs" / "speed.md"),
    networks: str | Sequence[str] = (),
    sizes: int | Sequence[int] = (64, 128),
    rounds: int = 5,
    num_threads: int | None = None,
    check: bool = False,
) -> None:
    """Measure networks in rounds through all forms of each, every one in a process of its own, and write tables of
    medians and ratios between the marks of a document, its CSV and its chart. Some twenty minutes on two cores that do
    nothing else, for which --networks and --sizes ask for less.

    Args:
        document: Markdown file with the marks; DOCUMENT.csv and pictures/DOCUMENT.png come beside it.
        networks: names of presets or peers, or a pattern such as "lunet*", instead of all; the figures of the others
            stay.
        sizes: edges of the volumes, of 64 and 128.
        rounds: visits to every form of a network.
        num_threads: of the CPU; as many as there are cores unless it is given.
        check: measure nothing, and fail when the document does not show what the CSV holds.
    """
    path, load, check = Path(str(document)), load_average(), as_bool("check", check)
    results = path.with_suffix(".csv")
    if not check:
        num_threads = os.cpu_count() if num_threads is None else num_threads
        for option, number in {"--rounds": rounds, "--num_threads": num_threads}.items():
            check_whole_number(option, number, least=1)
        chosen = choose_networks(networks, [sizes] if isinstance(sizes, int) else sizes)
        about = {**describe_machine(), **describe_versions(), "threads": num_threads, "rounds": rounds, "load": load}
        measured = [*measure(chosen, rounds, num_threads, conditions(about))]
        write_csv(results, replaced(read_rows(results) if networks and results.is_file() else [], measured))
    rows = read_rows(results)
    write_between_marks(path, "speed", COMMAND, speed_table(rows), check)
    if not check:
        write_figure(path.parent / "pictures" / f"{path.stem}.png", draw_latency(rows))
        print(speed_table(rows))


def choose_networks(networks: str | Sequence[str], sizes: Sequence[int]) -> dict[int, list[str]]:
    """The names of what is measured, by the edge of the volume."""
    every = {str(size): size for size in DEFAULT}
    edges = [choose("--sizes", str(size), every) for size in sizes]
    if not networks:
        return {edge: DEFAULT[edge] for edge in edges}
    given = networks if isinstance(networks, list | tuple) else str(networks).split(",")
    known = {name: [name] for name in DEFAULT[64]}
    named = [name for each in given for name in fnmatch.filter(known, each) or choose("--networks", each, known)]
    return dict.fromkeys(edges, named)


def replaced(rows: Sequence[Mapping[str, object]], new: Sequence[Mapping[str, object]]) -> list[Mapping[str, object]]:
    """Rows with new ones in the places of those of the same network, size and form, or behind them all.

    Example:
        >>> old = [{"network": name, "size": "64", "form": "ours", "seconds": "2"} for name in ("a", "b")]
        >>> new = [{"network": name, "size": 64, "form": "ours", "seconds": 1} for name in ("a", "c")]
        >>> [(row["network"], row["seconds"]) for row in replaced(old, new)]
        [('a', 1), ('b', '2'), ('c', 1)]
    """
    by_key = {tuple(str(row[key]) for key in ("network", "size", "form")): row for row in (*rows, *new)}
    return [*by_key.values()]


def measure(
    chosen: Mapping[int, Sequence[str]], rounds: int, num_threads: int, about: str
) -> Iterator[Mapping[str, object]]:
    """A row for every form of every network: its median, and that of a matrix product between the same rounds."""
    total = sum(len(_forms(name)) + 1 for names in chosen.values() for name in names) * rounds
    with tqdm(total=total, disable=None, smoothing=0) as bar:
        for size, names in chosen.items():
            for name in names:
                network = make_network(name)
                shape = (1, 1, size, size, size)
                costs = {"parameters": count_parameters(network), "macs": count_macs(network, shape)}
                contenders = [Contender(name, form, shape, num_threads) for form in _forms(name)]
                contenders.append(Contender(PRODUCT, PRODUCT, shape, num_threads))
                bar.set_postfix_str(f"{name}, {size}")
                seconds = take_turns(contenders, rounds, bar)
                for contender, measured in zip(contenders[:-1], seconds[:-1], strict=True):
                    yield {
                        "network": name,
                        "size": size,
                        "form": contender.form,
                        **costs,
                        "seconds": round(statistics.median(measured), 6),
                        "product_seconds": round(statistics.median(seconds[-1]), 6),
                        "conditions": about,
                    }


def take_turns(contenders: Sequence[Contender], rounds: int, bar: tqdm) -> list[list[float]]:
    """Seconds of every round, by contender."""
    seconds: list[list[float]] = [[] for _ in contenders]
    with Contest(contenders) as contest:
        for number in range(rounds):
            # nobody always stands behind the same neighbour
            for which in random.Random(number).sample(range(len(contenders)), len(contenders)):
                seconds[which].append(contest.visit(which))
                bar.update()
    return seconds


def _forms(name: str) -> Sequence[str]:
    return PEER_FORMS if name in VOLUME_PEERS else FORMS


if __name__ == "__main__":
    run_commands(bench_speed)
