"""Tables and pictures of made-up records."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from tests.helpers.study_records import made_up
from tools.study.records import read_records
from tools.study.results import comparisons, draw, pairs_of, section

BASE = np.linspace(0.7, 0.9, 8)


@pytest.fixture
def compared(tmp_path: Path):
    """A lean network with two seeds, its twin, and a peer of an unequal recipe."""
    for seed in (0, 1):
        made_up(tmp_path, "lunet_small_4f", BASE + 0.02 * seed, seed, parameters=500)
    made_up(tmp_path, "unet_small_4f", BASE + 0.02, parameters=2000)
    made_up(tmp_path, "SegResNet", BASE - 0.05, parameters=4000)
    made_up(tmp_path, "lunet_small_1f", BASE, parameters=50, epochs=3)
    found = comparisons(read_records(tmp_path))
    assert [each.epochs for each in found] == [2, 3]
    return found[0]


def test_a_network_is_a_row_with_its_seeds(compared) -> None:
    lines = section(compared, "picture.png").splitlines()
    assert lines[0] == "## Hippocampus (Medical Segmentation Decathlon Task04, MR): fold0, 2 epochs"
    assert "4 training and 8 validation cases, by the same recipe: batch size 16" in lines[2]
    rows = [line for line in lines if line.startswith("| `")]
    assert rows[0].startswith("| `lunet_small_4f` | 500 | 2.00 | 2 | 2 | 0.810 ± 0.014 | 0.810 ± 0.014 | 1.00 ± 0.00 |")
    assert rows[1].startswith("| `unet_small_4f` | 2,000 | 2.00 | 2 | 1 | 0.820 | 0.820 |")


def test_lean_against_twin_and_others_against_the_small_lean_one(compared) -> None:
    rows = [line for line in section(compared, "picture.png").splitlines() if line.startswith("| `")][3:]
    assert rows == [
        "| `lunet_small_4f`, `unet_small_4f` | 0.25 | 2, 1 | -0.010 [-0.020, +0.000] |",
        "| `SegResNet`, `lunet_small_4f` | 8 | 1, 2 | -0.060 [-0.070, -0.050] |",
    ]


def test_a_variant_against_its_network_and_a_pruned_one_against_the_small_lean_one(tmp_path: Path) -> None:
    made_up(tmp_path, "lunet_small_4f", BASE)
    made_up(tmp_path, "unet_small_4f", BASE + 0.02)
    made_up(tmp_path, "unet_small_4f", BASE + 0.05, settings={"batch_size": 8}, variant="small_batches")
    made_up(tmp_path, "unet_small_4f", BASE - 0.01, pruned={"selection": "stamp"}, variant="stamp")
    (compared,) = comparisons(read_records(tmp_path))
    pairs = {(one.name, other.name) for one, other in pairs_of(compared.networks)}
    assert pairs == {
        ("lunet_small_4f", "unet_small_4f"),
        ("unet_small_4f (small_batches)", "unet_small_4f"),
        ("unet_small_4f (stamp)", "lunet_small_4f"),
    }


def test_every_network_is_named_in_both_charts(compared) -> None:
    for axes in draw(compared).axes:
        assert [text.get_text() for text in axes.texts] == ["lunet_small_4f", "unet_small_4f", "SegResNet"]


def test_variants_stand_in_the_first_chart_only_unless_they_stand_for_their_network(tmp_path: Path) -> None:
    variant = {"settings": {"batch_size": 8}, "variant": "small_batches"}
    made_up(tmp_path, "lunet_small_4f", BASE)
    for network in ("lunet_small_4f", "unet_small_4f"):
        made_up(tmp_path, network, BASE + 0.01, **variant)
    (compared,) = comparisons(read_records(tmp_path))
    points, times = ({text.get_text() for text in axes.texts} for axes in draw(compared).axes)
    assert points == {"lunet_small_4f", "lunet_small_4f (small_batches)", "unet_small_4f (small_batches)"}
    assert times == points - {"lunet_small_4f (small_batches)"}


def test_a_network_far_below_is_named_and_not_drawn(tmp_path: Path) -> None:
    for network, less in {"lunet_small_4f": 0.0, "unet_small_4f": 0.01, "unet_small_1f": 0.65}.items():
        made_up(tmp_path, network, BASE - less)
    figure = draw(comparisons(read_records(tmp_path))[0])
    assert figure.get_suptitle() == "below, with their Dice: unet_small_1f\N{NO-BREAK SPACE}0.15"
    for axes in figure.axes:
        assert {text.get_text() for text in axes.texts} == {"lunet_small_4f", "unet_small_4f"}


def test_the_names_of_many_networks_far_below_fit_the_picture(tmp_path: Path) -> None:
    made_up(tmp_path, "lunet_small_4f", BASE)
    made_up(tmp_path, "unet_small_4f", BASE)
    for number in range(12):
        made_up(tmp_path, "unet_small_1f", BASE / 10, variant=f"a_variant_{number}", settings={"seed": number})
    figure = draw(comparisons(read_records(tmp_path))[0])
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    title = figure.texts[0].get_window_extent(canvas.get_renderer())
    assert 0 <= title.x0 < title.x1 <= figure.bbox.width
    assert title.y0 >= max(axes.get_window_extent().y1 for axes in figure.axes)


def test_where_all_others_are_far_below_they_are_drawn(tmp_path: Path) -> None:
    for network, less in {"lunet_small_4f": 0.3, "unet_small_4f": 0.0}.items():
        made_up(tmp_path, network, BASE - less)
    figure = draw(comparisons(read_records(tmp_path))[0])
    assert figure.get_suptitle() == ""
    assert {text.get_text() for text in figure.axes[0].texts} == {"lunet_small_4f", "unet_small_4f"}


def test_the_smallest_of_a_family_is_named(tmp_path: Path) -> None:
    for size, less in {"1f": 0.05, "2f": 0.008, "4f": 0.0}.items():
        made_up(tmp_path, f"lunet_small_{size}", BASE - less, parameters=100 * int(size[0]))
    (compared,) = comparisons(read_records(tmp_path))
    last = section(compared, "picture.png").splitlines()[-1]
    assert last.startswith("How small can it be? Of `lunet_small`, lunet_small_2f, 200 parameters, is the smallest")
    compared = replace(compared, networks=compared.networks[1:])
    assert "How small" not in section(compared, "picture.png")  # two sizes answer nothing


def test_pictures_have_their_own_metrics(tmp_path: Path) -> None:
    made_up(tmp_path, "lv_unet", BASE, dataset="polyps", bundle="lv_unet")
    (compared,) = comparisons(read_records(tmp_path))
    text = section(compared, "picture.png")
    assert "| IoU anterior | IoU posterior |" in text
    assert "A pixel counts as 1 mm." in text
    assert "first less second" not in text  # nothing to compare it with


def test_a_variant_is_told_and_is_not_taken_for_another_recipe(tmp_path: Path) -> None:
    made_up(tmp_path, "lunet_small_4f", BASE)
    changed = {"settings": {"batch_size": 8}, "variant": "small_batches"}
    made_up(tmp_path, "lunet_small_4f", BASE + 0.01, **changed)
    (compared,) = comparisons(read_records(tmp_path))
    text = section(compared, "picture.png")
    assert "by the same recipe: batch size 16" in text
    assert "Variants of it: `small_batches`: batch_size 8." in text
    assert "| `lunet_small_4f (small_batches)`, `lunet_small_4f` | 1 | 1, 1 | +0.010 [+0.010, +0.010] |" in text
