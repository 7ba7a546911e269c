"""The documents hold the figures that were measured, and say what the presets have."""

import json
from functools import partial
from pathlib import Path

import pytest
import torch

from lunet_networks import create_network, list_presets
from tools.benchmark_networks import TRAINING, measure_networks, static_costs
from tools.benchmark_tables import conditions, twin_table
from tools.make_table import COMMAND, INPUT_SHAPE, all_networks, as_json, make_table
from tools.peers import PEERS

DOCUMENTS = {
    "readme": ("bundles", "presets"),
    "presets": ("conditions", "summary", "networks", "twins", "peers", "list"),
}
MARKS = {
    name: (f"<!-- {name}: written by {COMMAND} -->", f"<!-- end of {name} -->")
    for names in DOCUMENTS.values()
    for name in names
}


@pytest.fixture
def documents(tmp_path: Path) -> dict[str, str]:
    """Both documents with nothing between the marks."""
    paths = {name: tmp_path / f"{name}.md" for name in DOCUMENTS}
    for name, path in paths.items():
        parts = ("\n".join(("above", *MARKS[part], "below")) for part in DOCUMENTS[name])
        path.write_text("\n".join(parts))
    return {name: str(path) for name, path in paths.items()}


@pytest.fixture
def figures(repository: Path) -> dict:
    """What was measured, to be changed."""
    return json.loads((repository / "docs" / "benchmark.json").read_text())


def test_the_documents_are_up_to_date() -> None:
    make_table(check=True)


def test_the_figures_are_written_as_they_are_stored(repository: Path, figures: dict) -> None:
    assert as_json(figures) == (repository / "docs" / "benchmark.json").read_text()


def test_no_network_is_left_out(repository: Path) -> None:
    text = (repository / "docs" / "presets.md").read_text()
    table = text.partition(MARKS["networks"][0])[2].partition(MARKS["networks"][1])[0]
    assert [line.split("`")[1] for line in table.splitlines()[3:]] == [*list_presets(), *PEERS]


def test_what_stands_around_the_tables_stays(documents: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="not up to date"):
        make_table(**documents, check=True)
    make_table(**documents)
    readme, presets = (Path(path).read_text() for path in documents.values())
    begin, end = MARKS["presets"]
    assert readme.startswith(f"above\n{MARKS['bundles'][0]}\n| bundle |")
    assert f"{MARKS['bundles'][1]}\nbelow\nabove\n{begin}\n| network |" in readme
    assert readme.endswith(f"{end}\nbelow")
    assert "| `lunet_small_4f` | Lean U-Net, small | 9,929 | 0.568 G |" in readme
    assert "| `lunet_small_4f` | `unet_small_4f` | 35.6 | 1.68 |" in presets
    assert "| `SwinUNETR` | 62,186,659 |" in presets
    make_table(**documents, check=True)


def test_a_document_without_the_marks(documents: dict[str, str]) -> None:
    Path(documents["readme"]).write_text("nothing")
    with pytest.raises(ValueError, match="must hold one line"):
        make_table(**documents)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda networks: networks.pop("UNETR"), "lacks UNETR: .* --measure True"),
        (lambda networks: networks["lunet_small_1f"].update(parameters=7), "of another lunet_small_1f"),
    ],
)
def test_figures_of_other_networks(documents: dict[str, str], figures: dict, change, message: str) -> None:
    change(figures["networks"])
    path = Path(documents["readme"]).with_name("figures.json")
    path.write_text(as_json(figures))
    with pytest.raises(ValueError, match=message):
        make_table(**documents, figures=str(path))


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"figures": "absent.json"}, FileNotFoundError, "there is no absent.json: .* --measure True"),
        ({"measure": True, "check": True}, ValueError, "give one of them"),
        ({"measure": True, "rounds": 0}, ValueError, "--rounds takes a whole number from 1 on, not 0"),
        ({"measure": "maybe"}, ValueError, "--measure takes True or False"),
    ],
)
def test_wrong_options(documents: dict[str, str], options: dict, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make_table(**documents, **options)


def test_times_that_are_no_measure(figures: dict) -> None:
    quiet = {**figures, "rounds": 3, "load_before": 0.1}
    assert "Provisional" not in conditions(quiet)
    assert "fewer than 3 rounds" in conditions({**quiet, "rounds": 2})
    assert "busy with something else (load 1.5)" in conditions({**quiet, "load_before": 1.5})


def test_a_measurement() -> None:
    names = ("lunet_small_1f", "unet_small_1f")
    networks = {name: partial(create_network, name) for name in names}
    before = torch.get_num_threads()
    figures = measure_networks(networks, (1, 1, 32, 32, 32), rounds=2, num_threads=1, backends=("eager", "openvino"))
    assert torch.get_num_threads() == before
    assert figures["num_threads"] == 1
    assert [*figures["networks"]] == [*names]
    for name, costs in figures["networks"].items():
        static = static_costs(create_network(name), (1, 1, 32, 32, 32))
        assert {cost: costs[cost] for cost in static} == static
        assert {what: len(seconds) for what, seconds in costs["seconds"].items()} == {
            "eager": 2,
            "openvino": 2,
            TRAINING: 2,
        }
        assert all(second > 0 for seconds in costs["seconds"].values() for second in seconds)
        peaks = costs["peak_memory_bytes"]
        assert peaks["inference"] is None or 0 < peaks["inference"] < peaks[TRAINING]


def test_ratios_are_taken_within_a_round(figures: dict) -> None:
    """A round that is ten times as slow for all changes no ratio."""
    table = twin_table(figures)
    for costs in figures["networks"].values():
        costs["seconds"] = {what: [seconds[0], seconds[0] * 10] for what, seconds in costs["seconds"].items()}
    once = twin_table(figures)
    for costs in figures["networks"].values():
        costs["seconds"] = {what: seconds[:1] for what, seconds in costs["seconds"].items()}
    assert twin_table(figures) == once
    assert table.splitlines()[:2] == once.splitlines()[:2]


@pytest.mark.parametrize("name", PEERS)
def test_a_peer_takes_and_gives_what_the_presets_do(name: str) -> None:
    with torch.no_grad():
        assert PEERS[name].make_network().eval()(torch.zeros(INPUT_SHAPE)).shape == INPUT_SHAPE


def test_all_presets_and_peers_are_measured() -> None:
    assert [*all_networks()] == [*list_presets(), *PEERS]
