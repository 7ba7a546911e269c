"""Write the tables of README.md and docs/presets.md: bundles and their weights, what presets and peers cost."""

import functools
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from lunet_networks.authoring.command_line import as_bool, run_commands
from lunet_networks.authoring.planning.families import FAMILIES
from lunet_networks.bundle.report.found_training import RECORDS
from lunet_networks.bundle.report.summaries import label_dice, read_rows
from lunet_networks.bundle.runtime.checks import check_whole_number, choose
from lunet_networks.bundle.runtime.files import write_atomically
from tools.generated_sections import write_between_marks
from tools.repository import ROOT
from tools.tables.figures import Figures, as_json, read_figures
from tools.tables.layout import (
    conditions,
    network_table,
    peer_table,
    preset_table,
    readme_table,
    summary,
    twin_table,
)
from tools.tables.measurement import load_average, measure_networks

COMMAND = "python -m tools.make_table"


def make_table(
    readme: str = str(ROOT / "README.md"),
    presets: str = str(ROOT / "docs" / "presets.md"),
    figures: str = str(ROOT / "docs" / "benchmark.json"),
    measure: str | Sequence[str] = (),
    rounds: int = 3,
    num_threads: int | None = None,
    check: bool = False,
) -> None:
    """Write the tables between their marks in two documents, out of figures that were measured before or are measured
    first: all of them take some twenty minutes on two cores that do nothing else.

    Args:
        readme: Markdown file with the marks of the tables of bundles and of networks.
        presets: Markdown file with the marks of the tables in full.
        figures: JSON file of what was measured.
        measure: networks to measure before, whose figures replace those in that file: "all"; "missing", those that it
            lacks; "provisional", those whose times are no measure; or names.
        rounds: visits to every network, with measure.
        num_threads: of the CPU, with measure; as many as there are cores unless it is given.
        check: write nothing, and fail when a table is not up to date.
    """
    check = as_bool("check", check)
    if measure and check:
        raise ValueError("--measure writes figures and --check writes nothing: give one of them")
    num_threads = os.cpu_count() if num_threads is None else num_threads
    for option, number in {"--rounds": rounds, "--num_threads": num_threads}.items():
        check_whole_number(option, number, least=1)
    path, measured = Path(figures), read_figures(figures)
    if names := choose_networks(measure, measured):
        measured = measure_into(path, measured, names, rounds, num_threads)
    if missing := [name for each in measured.values() for name in each.missing()]:
        what = f"lacks figures of {', '.join(missing)} as they are now" if path.is_file() else "is not there"
        raise ValueError(f"{path} {what}: {COMMAND} --measure missing measures them")
    for document, parts in tables(str(readme), str(presets), measured).items():
        changed = [write_between_marks(document, name, COMMAND, text, check) for name, text in parts.items()]
        print(f"{document}: tables written" if any(changed) else f"{document} is up to date")


def tables(readme: str, presets: str, figures: Mapping[str, Figures]) -> dict[str, dict[str, str]]:
    """What belongs between the marks of each document."""
    volumes, pictures = figures["3D"], figures["2D"]
    return {
        readme: {"bundles": bundle_table(), "presets": readme_table(figures)},
        presets: {
            "conditions": conditions(volumes),
            "summary": summary(volumes),
            "networks": network_table(volumes),
            "twins": twin_table(volumes),
            "2D conditions": conditions(pictures),
            "2D networks": network_table(pictures),
            "peers": peer_table(),
            "list": preset_table(),
        },
    }


def choose_networks(measure: str | Sequence[str], figures: Mapping[str, Figures]) -> list[str]:
    """The names of the networks to measure.

    Raises:
        ValueError: if there is no such network.
    """
    every = {name: [name] for each in figures.values() for name in each.comparison.networks}
    groups = {
        "all": [*every],
        "missing": [name for each in figures.values() for name in each.missing()],
        "provisional": [name for each in figures.values() for name in each.provisional()],
    }
    given = measure if isinstance(measure, list | tuple) else str(measure).split(",")
    return [name for each in given for name in choose("--measure", each, {**groups, **every})]


def measure_into(
    path: Path, figures: Mapping[str, Figures], names: Sequence[str], rounds: int, num_threads: int
) -> dict[str, Figures]:
    """Measure networks, each comparison in a run of its own with the reference along, and write the file after it.

    Returns:
        What the file holds in the end.
    """
    figures, load = dict(figures), load_average()  # once: behind the first run it would be our own
    for title, each in figures.items():
        comparison = each.comparison
        chosen = {name: make for name, make in comparison.networks.items() if name in {*names, comparison.reference}}
        if chosen.keys().isdisjoint(names):
            continue
        run = measure_networks(
            chosen,
            comparison.input_shape,
            rounds,
            num_threads,
            inference_only=comparison.inference_only,
        )
        along = [name for name in chosen if name not in names]
        figures[title] = each.with_run({**run, "load_before": load, "along": along})
        write_atomically(str(path), as_json(figures).encode())
    return figures


@functools.cache
def bundle_table() -> str:
    """The repository's bundles as a Markdown table, with the Dice of the weights that come with them."""
    rows = ["| bundle | network | trained weights | Dice of each label |", "|---|---|---|---|"]
    for name, family in FAMILIES.items():
        folder = ROOT / "bundles" / name
        weights = sorted((folder / "models").glob("**/model.pt"))
        presets = [family.preset if path.parent.name == "models" else path.parent.name for path in weights]
        records = [family.records_of(folder, preset) for preset in presets]
        trained = ", ".join(f"`{preset}`" for preset in presets)
        dice = "; ".join(_dice(record) for record in records)
        rows.append(f"| [`{name}`](bundles/{name}/docs/README.md) | {family.title} | {trained} | {dice} |")
    return "\n".join(rows)


def _dice(records: Path) -> str:
    of_labels = label_dice(read_rows(records / RECORDS["summary.csv"]))
    return ", ".join(f"{label} {mean:.3f}" for label, mean in of_labels.items())


if __name__ == "__main__":
    run_commands(make_table)
