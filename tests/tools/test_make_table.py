"""The documents hold the figures that were measured, and say what the presets have."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from tools.tables.figures import Figures, as_json, read_figures, rows
from tools.tables.layout import conditions, network_table, readme_table, twin_table
from tools.tables.measurement import TRAINING, measure_networks, static_costs
from tools.tables.peers import COMPARISONS

from lunet_networks import create_network, list_presets
from lunet_networks.authoring.planning.families import FAMILIES
from tools.make_table import COMMAND, choose_networks, make_table

DOCUMENTS = {
    "readme": ("bundles", "presets"),
    "presets": ("conditions", "summary", "networks", "twins", "2D conditions", "2D networks", "peers", "list"),
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
def figures(repository: Path) -> dict[str, Figures]:
    """What was measured, to be changed."""
    return read_figures(repository / "docs" / "benchmark.json")


@pytest.fixture
def volumes(figures: dict[str, Figures]) -> Figures:
    """What was measured in three dimensions, as if it had been in one run."""
    runs = figures["3D"].runs
    networks = {name: figures["3D"].costs(name) for name in figures["3D"].comparison.networks}
    for costs in networks.values():
        costs["seconds"] = {what: [*seconds, *seconds][:2] for what, seconds in costs["seconds"].items()}
    quiet = {**runs[0], "rounds": 3, "load_before": 0.1, "along": [], "networks": networks}
    return Figures(figures["3D"].comparison, [quiet])


def test_the_documents_are_up_to_date() -> None:
    make_table(check=True)


def test_the_figures_are_written_as_they_are_stored(repository: Path, figures: dict[str, Figures]) -> None:
    assert as_json(figures) == (repository / "docs" / "benchmark.json").read_text()


def test_every_preset_is_in_one_comparison() -> None:
    assert sorted(name for each in COMPARISONS.values() for name in each.presets) == sorted(list_presets())
    names = [name for each in COMPARISONS.values() for name in each.networks]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(("part", "title"), [("networks", "3D"), ("2D networks", "2D")])
def test_no_network_is_left_out(repository: Path, part: str, title: str) -> None:
    text = (repository / "docs" / "presets.md").read_text()
    table = text.partition(MARKS[part][0])[2].partition(MARKS[part][1])[0]
    labels = [line.split("|")[1].replace("(provisional)", "").strip() for line in table.splitlines()[3:]]
    names = [label.replace("`, deployed", "_deployed`").strip("`") for label in labels]
    assert names == [*COMPARISONS[title].networks]
    assert "| `lv_unet`, deployed" in text


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
    assert "| `unet_2d` | 31,043,521 |" in presets.replace(" (provisional)", "")
    make_table(**documents, check=True)


def test_a_document_without_the_marks(documents: dict[str, str]) -> None:
    Path(documents["readme"]).write_text("nothing")
    with pytest.raises(ValueError, match="must hold one line"):
        make_table(**documents)


@pytest.mark.parametrize(
    ("change", "name"),
    [
        (lambda networks: networks.pop("UNETR"), "UNETR"),
        (lambda networks: networks["lunet_small_1f"].update(parameters=7), "lunet_small_1f"),
    ],
)
def test_figures_of_other_networks(documents: dict[str, str], figures: dict[str, Figures], change, name: str) -> None:
    change(figures["3D"].run(name)["networks"])
    path = Path(documents["readme"]).with_name("figures.json")
    path.write_text(as_json(figures))
    with pytest.raises(ValueError, match=f"lacks figures of {name} as they are now: .* --measure missing"):
        make_table(**documents, figures=str(path))
    assert choose_networks("missing", figures) == [name]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"figures": "absent.json"}, "absent.json is not there: .* --measure missing"),
        ({"measure": "all", "check": True}, "give one of them"),
        ({"measure": "missing", "rounds": 0}, "--rounds is 0: it is a whole number from 1 on"),
        ({"measure": True}, "--measure is 'True': it is one of all, missing, provisional, unet_small_4f, "),
        ({"measure": ("lv_unet", "lvunet")}, "--measure is 'lvunet': it is one of "),
    ],
)
def test_wrong_options(documents: dict[str, str], options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_table(**documents, **options)


def test_what_is_to_be_measured(figures: dict[str, Figures], volumes: Figures) -> None:
    assert choose_networks((), figures) == []
    assert choose_networks("missing", figures) == []
    assert choose_networks("all", figures) == [name for each in COMPARISONS.values() for name in each.networks]
    assert choose_networks("lv_unet,UNETR", figures) == choose_networks(("lv_unet", "UNETR"), figures)
    assert choose_networks("provisional", {"3D": volumes}) == []
    (run,) = volumes.runs
    assert choose_networks("provisional", {"3D": volumes.with_run(_part(run, ["UNETR"], rounds=1))}) == ["UNETR"]
    assert choose_networks("missing", {"2D": Figures(COMPARISONS["2D"], [])}) == [*COMPARISONS["2D"].networks]


def test_times_that_are_no_measure(volumes: Figures) -> None:
    def told(**changes: float) -> str:
        return conditions(replace(volumes, runs=[{**volumes.runs[0], **changes}]))

    assert "Provisional" not in told()
    assert "fewer than 3 rounds" in told(rounds=2)
    assert "busy with something else (load 1.5)" in told(load_before=1.5)


def _part(run: dict, names: list[str], slower: float = 1, **changes: object) -> dict:
    """A run of some networks and the reference, on a machine that is so many times slower."""
    names = [*names, "lunet_small_4f"]
    networks = {name: dict(run["networks"][name]) for name in names}
    for costs in networks.values():
        costs["seconds"] = {what: [each * slower for each in costs["seconds"][what]] for what in costs["seconds"]}
    return {**run, "date": "2030-01-01", **changes, "along": names[-1:], "networks": networks}


def test_a_later_run_replaces_rows_and_tells_of_itself(volumes: Figures) -> None:
    (run,) = volumes.runs
    names = ["lunet_small_1f", "UNETR"]
    later = volumes.with_run(_part(run, names, slower=4, load_before=2.5))
    old, new = later.runs
    assert rows(new) == names
    assert rows(old) == [name for name in volumes.comparison.networks if name not in names]
    assert conditions(later).startswith(conditions(volumes))
    told = conditions(later).removeprefix(conditions(volumes))
    assert told.startswith("\n\n- `lunet_small_1f`, `UNETR`: measured later or anew, on 2030-01-01 with the same ")
    assert "beside `lunet_small_4f`. Medians of 3 rounds. **Provisional, " in told
    assert "UNETR" not in conditions(later, ["unet_small_4f", "lunet_small_1f"])
    assert "| `UNETR` (provisional) | 92,685,521 |" in network_table(later)
    assert "| `lunet_small_4f` | 9,929 |" in network_table(later)
    again = later.with_run(_part(run, names))
    assert [rows(each) for each in again.runs] == [rows(old), names]  # nothing counts in the run between
    assert "provisional" not in network_table(again)


def test_a_reference_that_is_measured_anew_stays_where_ratios_need_it(volumes: Figures) -> None:
    (run,) = volumes.runs
    reference = {**_part(run, [], slower=2), "along": []}
    later = volumes.with_run(reference)
    assert later.runs[0]["along"] == ["lunet_small_4f"] == rows(later.runs[1])
    assert later.milliseconds("lunet_small_4f", "eager") == 2 * volumes.milliseconds("lunet_small_4f", "eager")
    for name in volumes.comparison.networks:
        assert later.ratio(name, "lunet_small_4f", "eager") == volumes.ratio(name, "lunet_small_4f", "eager")


def test_ratios_do_not_mix_runs(volumes: Figures) -> None:
    """The same networks on a machine that was four times as slow then: every ratio is as it was."""
    volumes.runs[0]["networks"] = {
        name: {**costs, "seconds": {what: seconds[:1] for what, seconds in costs["seconds"].items()}}
        for name, costs in volumes.runs[0]["networks"].items()
    }
    later = volumes.with_run(_part(volumes.runs[0], ["unet_small_4f", "lunet_small_3f", "UNETR"], slower=4))
    assert twin_table(later) == twin_table(volumes)
    for pair in (("UNETR", "SegResNet"), ("SegResNet", "UNETR"), ("lunet_small_4f", "UNETR")):
        assert later.ratio(*pair, "onnx") == pytest.approx(volumes.ratio(*pair, "onnx"))


def test_a_deployed_form_is_not_trained(figures: dict[str, Figures]) -> None:
    pictures = figures["2D"]
    (row,) = (line for line in network_table(pictures).splitlines() if "deployed" in line)
    cells = [cell.strip() for cell in row.split("|")[1:-1]]
    assert [number for number, cell in enumerate(cells) if cell == "-"] == [6, 8]
    assert cells[1] == "510,985"
    assert pictures.ratio("lv_unet_deployed", "unet_2d", TRAINING) is None


def test_the_readme_has_a_table_for_every_comparison_with_a_bundle(
    figures: dict[str, Figures], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name, family in FAMILIES.items() if family.preset in COMPARISONS["2D"].presets]:
        monkeypatch.delitem(FAMILIES, name)
    volumes_only = readme_table(figures)
    monkeypatch.setitem(FAMILIES, "lv_unet", replace(FAMILIES["unet_small"], title="LV-UNet", preset="lv_unet"))
    first, second = readme_table(figures).split("MACs at 256 x 256 |")
    assert first.startswith(volumes_only)
    assert "`unet_small_4f`" not in second
    assert "| LV-UNet | 934,545 |" in second
    assert "| `DynUNet_2d`" in second


def test_a_measurement() -> None:
    names = ("lunet_small_1f", "unet_small_1f")
    networks = {name: partial(create_network, name) for name in names}
    before = torch.get_num_threads()
    figures = measure_networks(
        networks, (1, 1, 32, 32, 32), rounds=2, num_threads=1, backends=("eager", "openvino"), inference_only=names[1:]
    )
    assert torch.get_num_threads() == before
    assert figures["num_threads"] == 1
    assert [*figures["networks"]] == [*names]
    for name, costs in figures["networks"].items():
        static = static_costs(create_network(name), (1, 1, 32, 32, 32))
        assert {cost: costs[cost] for cost in static} == static
        steps = ["eager", "openvino", *([TRAINING] if name == names[0] else [])]
        assert {what: len(seconds) for what, seconds in costs["seconds"].items()} == dict.fromkeys(steps, 2)
        assert all(second > 0 for seconds in costs["seconds"].values() for second in seconds)
    trained, untrained = (figures["networks"][name]["peak_memory_bytes"] for name in names)
    assert trained["inference"] is None or 0 < trained["inference"] < trained[TRAINING]
    assert [*untrained] == ["inference"]


def test_one_network_is_measured_anew(documents: dict[str, str], figures: dict[str, Figures], tmp_path: Path) -> None:
    path = tmp_path / "figures.json"
    path.write_text(as_json(figures))
    make_table(**documents, figures=str(path), measure="lunet_small_1f", rounds=1, num_threads=1)
    measured = read_figures(path)
    run = measured["3D"].runs[-1]
    assert [*run["networks"]] == ["lunet_small_4f", "lunet_small_1f"]
    assert (run["along"], run["rounds"], run["num_threads"]) == (["lunet_small_4f"], 1, 1)
    assert all(
        measured[title].costs(name) == each.costs(name)
        for title, each in figures.items()
        for name in each.comparison.networks
        if name != "lunet_small_1f"
    )
    assert "| `lunet_small_1f` (provisional) |" in Path(documents["presets"]).read_text()
    make_table(**documents, figures=str(path), check=True)


def test_ratios_are_taken_within_a_round(volumes: Figures) -> None:
    """A round that is ten times as slow for all changes no ratio."""
    networks = volumes.runs[0]["networks"].values()
    for costs in networks:
        costs["seconds"] = {what: [seconds[0], seconds[0] * 10] for what, seconds in costs["seconds"].items()}
    table = twin_table(volumes)
    for costs in networks:
        costs["seconds"] = {what: seconds[:1] for what, seconds in costs["seconds"].items()}
    assert twin_table(volumes) == table


@pytest.mark.parametrize(("name", "comparison"), [(name, each) for each in COMPARISONS.values() for name in each.peers])
def test_a_peer_takes_and_gives_what_the_presets_do(name: str, comparison) -> None:
    shape = comparison.input_shape
    with torch.no_grad():
        output = comparison.networks[name]().eval()(torch.zeros(shape))
    assert output.shape == (1, 1, *shape[2:])
