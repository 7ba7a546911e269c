"""Write the table of presets into README.md, from the presets themselves."""

from pathlib import Path

from lunet_networks import PRESETS, create_network, list_presets
from lunet_networks.bundle.files import write_atomically
from lunet_networks.summary import count_macs, count_parameters
from tools.command_line import as_bool, run_commands

INPUT_SHAPE = (1, 1, 64, 64, 64)
BEGIN = "<!-- presets: written by python -m tools.make_table -->"
END = "<!-- end of presets -->"


def make_table(document: str = "README.md", check: bool = False) -> None:
    """Write the table of presets between its two marks in a document.

    Args:
        document: a Markdown file that holds the marks.
        check: write nothing, and fail when the table is not up to date.
    """
    path = Path(str(document))
    text = path.read_text(encoding="utf-8")
    if text.count(BEGIN) != 1 or text.count(END) != 1:
        raise ValueError(f"{path} must hold one line {BEGIN!r} and one {END!r}: the table goes between them")
    before, rest = text.split(BEGIN)
    new = f"{before}{BEGIN}\n{preset_table()}\n{END}{rest.split(END)[1]}"
    if new == text:
        print(f"{path} is up to date")
    elif as_bool("check", check):
        raise ValueError(f"{path} is not up to date: run python -m tools.make_table")
    else:
        write_atomically(path, new.encode())
        print(f"{path}: table written")


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
