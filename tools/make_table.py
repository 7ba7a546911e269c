"""Write the tables of bundles and of what networks cost into README.md, docs/presets.md and docs/speed.md."""

import functools
from pathlib import Path

from lunet_networks.authoring.command_line import as_bool, run_commands
from lunet_networks.authoring.planning.families import FAMILIES
from lunet_networks.bundle.report.summaries import label_dice, read_rows
from lunet_networks.bundle.runtime import outputs
from lunet_networks.bundle.runtime.files import write_figure
from lunet_networks.bundle.runtime.outputs import RECORDS
from tools import ROOT
from tools.tables.cost_tables import (
    cost_table,
    peer_table,
    preset_table,
    readme_table,
    speed_table,
    twin_speed_table,
    twin_table,
)
from tools.tables.generated_sections import write_between_marks
from tools.tables.record import RECORD, Record, read_record
from tools.tables.speed_picture import draw_speed

COMMAND = "python -m tools.make_table"


def make_table(
    readme: str = str(ROOT / "README.md"),
    presets: str = str(ROOT / "docs" / "presets.md"),
    speed: str = str(ROOT / "docs" / "speed.md"),
    record: str = str(RECORD),
    check: bool = False,
) -> None:
    """Write the tables between their marks in three documents, and the chart of speed, from what
    ``python -m tools.measure`` has measured. Missing figures are shown as "not measured".

    Args:
        readme: Markdown file with the marks of the tables of bundles and of a few networks.
        presets: Markdown file with the marks of parameters, operations and memory.
        speed: Markdown file with the marks of times; the chart is ``pictures/speed.png`` beside it.
        record: JSON file of what was measured.
        check: write nothing, and fail when a table is not up to date.
    """
    check, measured = as_bool("check", check), read_record(Path(str(record)))
    for document, parts in tables(str(readme), str(presets), str(speed), measured).items():
        changed = [write_between_marks(document, name, COMMAND, text, check) for name, text in parts.items()]
        print(f"{document}: tables written" if any(changed) else f"{document} is up to date")
    if not check:
        write_figure(Path(str(speed)).parent / "pictures" / "speed.png", draw_speed(measured))


def tables(readme: str, presets: str, speed: str, record: Record) -> dict[str, dict[str, str]]:
    """What belongs between the marks of each document."""
    return {
        readme: {"bundles": bundle_table(), "presets": readme_table(record)},
        presets: {
            "networks": cost_table(record, 64),
            "2D networks": cost_table(record, 256),
            "twins": twin_table(record),
            "peers": peer_table(),
            "list": preset_table(),
        },
        speed: {"speed": speed_table(record), "twin times": twin_speed_table(record)},
    }


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
    of_labels = label_dice(read_rows(records / RECORDS[outputs.SUMMARY]))
    return ", ".join(f"{label} {mean:.3f}" for label, mean in of_labels.items())


if __name__ == "__main__":
    run_commands(make_table)
