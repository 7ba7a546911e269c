"""Write the tables of README.md: the bundles and their trained weights, the presets and what they cost."""

import functools
from pathlib import Path

from lunet_networks import PRESETS, create_network, list_presets
from lunet_networks.summary import count_macs, count_parameters
from tools.command_line import as_bool, run_commands
from tools.families import FAMILIES
from tools.marks import write_between_marks
from tools.records import RECORDS, label_dice, read_rows
from tools.templating import ROOT

INPUT_SHAPE = (1, 1, 64, 64, 64)
COMMAND = "python -m tools.make_table"


def make_table(document: str = "README.md", check: bool = False) -> None:
    """Write the tables of bundles and presets between their marks in a document.

    Args:
        document: a Markdown file that holds the marks.
        check: write nothing, and fail when the table is not up to date.
    """
    tables = {"bundles": bundle_table, "presets": preset_table}
    check = as_bool("check", check)
    changed = [write_between_marks(str(document), name, COMMAND, table(), check) for name, table in tables.items()]
    print(f"{document}: tables written" if any(changed) else f"{document} is up to date")


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


@functools.cache
def preset_table() -> str:
    """The presets as a Markdown table: parameters and multiply-accumulates, and the lean nets' savings."""
    shape = " x ".join(map(str, INPUT_SHAPE))
    rows = [
        f"| preset | network | parameters | MACs at {shape} | against the conventional twin |",
        "|---|---|---:|---:|---|",
    ]
    costs = {}
    for name in list_presets():
        network = create_network(name)
        parameters, macs = costs[name] = count_parameters(network), count_macs(network, INPUT_SHAPE)
        saving = ""
        if name.startswith("l"):
            twin_parameters, twin_macs = costs[name.removeprefix("l")]
            saving = f"{twin_parameters / parameters:.1f} x fewer parameters, {twin_macs / macs:.2f} x fewer MACs"
        title = PRESETS.components[name].description
        rows.append(f"| `{name}` | {title} | {parameters:,} | {macs / 1e9:.3f} G | {saving} |")
    return "\n".join(rows)


if __name__ == "__main__":
    run_commands(make_table)
