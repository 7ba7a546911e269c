"""The documents show the record, and say so where it has no figures."""

from pathlib import Path

import pytest

from tools.make_table import COMMAND, make_table
from tools.tables.cost_tables import NOT_MEASURED, setups, speed_table
from tools.tables.networks import PEERS, Subject
from tools.tables.record import Record, read_record
from tools.tables.speed_picture import draw_speed, trained_dice

MARKS = {
    "readme": ("bundles", "presets"),
    "presets": ("networks", "2D networks", "twins", "peers", "list"),
    "speed": ("speed", "twin times"),
}
MACHINE = {"cpu": "X", "cpu_cores": 2, "cpu_instructions": "AVX2", "ram_gib": 8, "gpu": None, "os": "Linux"}
SETUP = {"date": "2030-01-31", "machine": MACHINE, "versions": {"torch": "2"}, "num_threads": 2, "rounds": 3, "load": 0}


@pytest.fixture
def documents(tmp_path: Path) -> dict[str, str]:
    """The documents with nothing between the marks."""
    paths = {name: tmp_path / f"{name}.md" for name in MARKS}
    for name, path in paths.items():
        lines = [f"<!-- {part}: written by {COMMAND} -->\n<!-- end of {part} -->" for part in MARKS[name]]
        path.write_text("\n".join(["above", *lines, "below"]))
    return {name: str(path) for name, path in paths.items()}


def _rows(document: str, network: str) -> list[list[str]]:
    """The cells of all rows whose first cell is a network."""
    lines = (line.strip("| ").split(" | ") for line in Path(document).read_text().splitlines() if line.startswith("|"))
    return [cells for cells in lines if cells[0] == network]


def test_the_documents_are_up_to_date() -> None:
    make_table(check=True)


def test_what_stands_around_the_tables_stays(documents: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=f"not up to date: run {COMMAND}"):
        make_table(**documents, check=True)
    make_table(**documents)
    make_table(**documents, check=True)
    for document in documents.values():
        text = Path(document).read_text()
        assert text.startswith("above\n<!-- ")
        assert text.endswith(" -->\nbelow")
    (row,) = _rows(documents["readme"], "`lunet_small_4f`")
    assert row[:4] == ["`lunet_small_4f`", "Lean U-Net", "9,929", "0.568 G"]
    assert _rows(documents["presets"], "MONAI's SwinUNETR")[0][1] == "62,186,659"
    assert (Path(documents["speed"]).parent / "pictures" / "speed.png").is_file()


def test_a_document_without_the_marks(documents: dict[str, str]) -> None:
    Path(documents["readme"]).write_text("nothing")
    with pytest.raises(ValueError, match="must hold one line"):
        make_table(**documents)


def test_what_was_not_measured_is_called_so(
    documents: dict[str, str], new_preset: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(PEERS, "NewestPeer", PEERS["UNet"])
    make_table(**documents)
    make_table(**documents, check=True)
    for name in (f"`{new_preset}`", "MONAI's NewestPeer"):
        assert _rows(documents["presets"], name)[0][1:] == [NOT_MEASURED] * 4
        (times,) = _rows(documents["speed"], name)
        assert set(times[1:]) - {"-"} == {NOT_MEASURED}
    assert _rows(documents["presets"], f"`{new_preset}`")[1][1] == "Newest Net, 2 levels of 2, 4 channels"


def test_nothing_at_all_was_measured(documents: dict[str, str], tmp_path: Path) -> None:
    make_table(**documents, record=str(tmp_path / "none.json"))
    (row,) = _rows(documents["readme"], "`lunet_small_4f`")
    assert row[2:] == [NOT_MEASURED] * 5 + [f"{NOT_MEASURED} / {NOT_MEASURED}"]
    assert "Measured" not in Path(documents["speed"]).read_text()


def _figures(name: str, seconds: dict[str, list[float]]) -> dict[str, object]:
    costs = {"network": name, "size": 64, "parameters": 10, "macs": 2048**3, "product_seconds": [0.5]}
    return {**costs, "seconds": seconds, "peak_bytes": {"inference": 2**20, "training_step": 2**21}}


def test_the_table_of_speed_tells_ratios_of_what_was_measured() -> None:
    times = {"published": [8.0], "ours": [2.0], "deployed": [1.0], "onnx": [4.0], "openvino": [3.0]}
    of_peer = {form: times[form] for form in ("published", "onnx", "openvino")}
    record = Record([{**SETUP, "figures": [_figures("lunet_small_4f", times), _figures("UNet", of_peer)]}])
    lines = [
        line for line in speed_table(record).splitlines() if line.startswith(("| `lunet_small_4f`", "| MONAI's UNet"))
    ]
    measured = "8000.0 | 2000.0 | 1000.0 | 4000.0 | 3000.0 | not measured | 8.0 | 3.00 | 50%"
    assert lines[0] == f"| `lunet_small_4f` | {measured} |"
    assert lines[1] == "| MONAI's UNet | 8000.0 | - | - | 4000.0 | 3000.0 | not measured | - | - | 17% |"


def test_a_sentence_for_every_set_up() -> None:
    shown = [Subject(name, 64) for name in ("lunet_small_4f", "UNet", "DynUNet")]
    parts = {"times": ("seconds", "ours"), "memory": ("peak_bytes", "inference")}
    names = [subject.network for subject in shown]
    one = Record([{**SETUP, "figures": [_figures(name, {"ours": [1.0]}) for name in names]}])
    when, machine = "on 2030-01-31, medians of 3 rounds", "2 threads of X (2 cores, AVX2, 8 GiB, Linux); torch 2"
    assert setups(one, shown, {"times": parts["times"]}) == f"Measured {when} with {machine}."
    busy = {**SETUP, "load": 2.5}
    two = one.with_figures(busy, _figures("UNet", {"ours": [1.0]}))
    warning = "(provisional: other work on the machine, load 2.5)"
    assert setups(two, shown, parts).splitlines() == [
        f"Measured with {machine}:",
        "",
        f"- times of MONAI's UNet {when} {warning}.",
        f"- times of all others {when}.",
        "- memory on 2030-01-31.",
    ]
    elsewhere = one.with_figures({**SETUP, "num_threads": 1}, _figures("UNet", {"ours": [1.0]}))
    told = setups(elsewhere, shown, {"times": parts["times"]})
    assert f"- times of MONAI's UNet {when} with 1 thread of X" in told
    assert f"- times of all others {when} with 2 threads of X" in told


def test_the_chart_draws_what_was_measured() -> None:
    left, right = draw_speed(read_record()).axes
    assert {"lunet_small_4f", "DynUNet"} <= {text.get_text() for text in left.texts}
    assert {text.get_text() for text in right.texts} == trained_dice().keys()
