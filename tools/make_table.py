"""Write the tables of README.md and docs/presets.md: bundles and their weights, what presets and peers cost."""

import functools
import json
import os
from pathlib import Path
from typing import Any

from lunet_networks.bundle.files import write_atomically
from lunet_networks.bundle.report_records import RECORDS
from tools.benchmark_networks import all_networks, measure_networks, static_costs
from tools.benchmark_tables import (
    conditions,
    missing_networks,
    network_table,
    peer_table,
    preset_table,
    readme_table,
    summary,
    twin_table,
)
from tools.command_line import as_bool, run_commands
from tools.families import FAMILIES
from tools.marks import write_between_marks
from tools.records import label_dice, read_rows
from tools.templating import ROOT

INPUT_SHAPE = (1, 1, 64, 64, 64)
COMMAND = "python -m tools.make_table"


def make_table(
    readme: str = str(ROOT / "README.md"),
    presets: str = str(ROOT / "docs" / "presets.md"),
    figures: str = str(ROOT / "docs" / "benchmark.json"),
    measure: bool = False,
    rounds: int = 3,
    num_threads: int | None = None,
    check: bool = False,
) -> None:
    """Write the tables between their marks in two documents, out of figures that were measured before or are measured
    first, which takes a quarter of an hour on two cores that do nothing else.

    Args:
        readme: Markdown file with the marks of the tables of bundles and of networks.
        presets: Markdown file with the marks of the tables in full.
        figures: JSON file of what was measured.
        measure: measure all presets and peers, and write that file.
        rounds: visits to every network, with measure.
        num_threads: of the CPU, with measure; as many as there are cores unless it is given.
        check: write nothing, and fail when a table is not up to date.
    """
    check, measure = as_bool("check", check), as_bool("measure", measure)
    if measure and check:
        raise ValueError("--measure writes figures and --check writes nothing: give one of them")
    if measure:
        num_threads = os.cpu_count() if num_threads is None else num_threads
        for name, value in {"rounds": rounds, "num_threads": num_threads}.items():
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ValueError(f"--{name} takes a whole number from 1 on, not {value!r}")
        measured = measure_networks(all_networks(), INPUT_SHAPE, rounds, num_threads)
        write_atomically(str(figures), as_json(measured).encode())
    measured = read_figures(str(figures))
    tables = {
        str(readme): {"bundles": bundle_table(), "presets": readme_table(measured)},
        str(presets): {
            "conditions": conditions(measured),
            "summary": summary(measured),
            "networks": network_table(measured),
            "twins": twin_table(measured),
            "peers": peer_table(),
            "list": preset_table(),
        },
    }
    for document, parts in tables.items():
        changed = [write_between_marks(document, name, COMMAND, text, check) for name, text in parts.items()]
        print(f"{document}: tables written" if any(changed) else f"{document} is up to date")


def read_figures(path: str | Path) -> dict[str, Any]:
    """What was measured.

    Raises:
        FileNotFoundError: if nothing was.
        ValueError: if networks are missing in it, or have other parameters or MACs by now.
    """
    path = Path(path)
    again = f"{COMMAND} --measure True measures"
    if not path.is_file():
        raise FileNotFoundError(f"there is no {path}: {again}")
    figures = json.loads(path.read_text(encoding="utf-8"))
    if missing := missing_networks(figures, all_networks()):
        raise ValueError(f"{path} lacks {', '.join(missing)}: {again} anew")
    for name, costs in _static_costs().items():
        if any(figures["networks"][name][cost] != value for cost, value in costs.items()):
            raise ValueError(f"{path} is of another {name}, it has {costs} now: {again} anew")
    return figures


@functools.cache
def _static_costs() -> dict[str, dict[str, int]]:
    return {name: static_costs(make_network(), INPUT_SHAPE) for name, make_network in all_networks().items()}


def as_json(figures: dict[str, Any]) -> str:
    """The figures with a line for every network."""
    networks = ",\n".join(f'  "{name}": {json.dumps(costs)}' for name, costs in figures["networks"].items())
    rest = ",\n".join(f' "{name}": {json.dumps(value)}' for name, value in figures.items() if name != "networks")
    return f'{{\n{rest},\n "networks": {{\n{networks}\n }}\n}}\n'


@functools.cache
def bundle_table() -> str:
    """The repository's bundles as a Markdown table, with the Dice of the weights that come with them."""
    rows = ["| bundle | network | trained weights | Dice of each label |", "|---|---|---|---|"]
    for name, family in FAMILIES.items():
        folder = ROOT / "bundles" / name
        weights = sorted((folder / "models").glob("**/model.pt"))
        presets = [family.preset if path.parent.name == "models" else path.parent.name for path in weights]
        records = [folder / "docs" / ("" if preset == family.preset else preset) for preset in presets]
        trained = ", ".join(f"`{preset}`" for preset in presets)
        dice = "; ".join(_dice(record) for record in records)
        rows.append(f"| [`{name}`](bundles/{name}/docs/README.md) | {family.title} | {trained} | {dice} |")
    return "\n".join(rows)


def _dice(records: Path) -> str:
    of_labels = label_dice(read_rows(records / RECORDS["summary.csv"]))
    return ", ".join(f"{label} {mean:.3f}" for label, mean in of_labels.items())


if __name__ == "__main__":
    run_commands(make_table)
