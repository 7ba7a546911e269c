"""Lean networks beside their twins: every pair by the recipe, once, and nothing else."""

from pathlib import Path

import numpy as np
import pytest

from tests.helpers.study_records import made_up
from tools.study.records import read_records
from tools.study.results import comparisons
from tools.study.twins import COLOURS, Twins, draw, tell_twins, twins

BASE = np.linspace(0.7, 0.9, 8)


def found(folder: Path) -> list[Twins]:
    return twins(comparisons(read_records(folder)))


@pytest.fixture
def records(tmp_path: Path) -> Path:
    """Two pairs, one of them with a variant, and one whose twin did not learn."""
    for seed in (0, 1):
        made_up(tmp_path, "lunet_small_4f", BASE - 0.05, seed=seed, parameters=10)
    made_up(tmp_path, "unet_small_4f", BASE, parameters=1000)
    made_up(tmp_path, "lunet_small_4f", BASE + 0.1, variant="ema", settings={"ema_decay": 0.9})
    made_up(tmp_path, "lunet_small_1f", BASE)
    made_up(tmp_path, "unet_small_1f", BASE * 0)
    made_up(tmp_path, "lunet_small_4f", BASE, dataset="heart")
    made_up(tmp_path, "unet_small_4f", BASE + 0.005, dataset="heart")
    return tmp_path


def test_every_pair_by_the_recipe_is_a_row(records: Path) -> None:
    told = tell_twins(found(records), "twins.png")
    hippocampus, heart = [line for line in told.splitlines() if "| `lunet" in line]
    assert hippocampus.endswith(
        "| 2 | `lunet_small_4f` | 10 and 1,000 | 8 | 2 and 1 | 0.750 and 0.800 | -0.050 [-0.050, -0.050] |"
    )
    assert heart.startswith("| Heart (ACDC, cine MR) | 2 | `lunet_small_4f` |")
    assert "did not learn: `lunet_small_1f` after 2 epochs." in told


def test_the_picture_has_them_in_the_colours_of_their_answers(records: Path) -> None:
    pairs = found(records)
    axes = draw(pairs).axes[0]
    assert [label.get_text().partition(",")[0] for label in axes.get_yticklabels()] == ["Hippocampus", "Heart"]
    dots = [line.get_color() for line in axes.lines if line.get_marker() == "o" and len(line.get_xdata())]
    assert dots == [COLOURS[False], COLOURS[True]]


def test_between_the_two_answers_nothing_is_told(tmp_path: Path) -> None:
    made_up(tmp_path, "lunet_small_4f", BASE + np.tile([-0.05, 0.04], 4))
    made_up(tmp_path, "unet_small_4f", BASE)
    (pair,) = found(tmp_path)
    assert pair.comparable is None


def test_published_splits_are_one_row_as_soon_as_all_are_there(tmp_path: Path) -> None:
    for split in (1, 2, 3):
        assert found(tmp_path) == []
        for network, dice in (("lunet_small_4f", BASE - 0.02), ("unet_small_4f", BASE)):
            made_up(tmp_path, network, dice, dataset="ultrasound", part=f"split{split}")
    (pair,) = found(tmp_path)
    assert pair.difference.mean == pytest.approx(-0.02)


def test_without_a_pair_there_is_no_part(tmp_path: Path) -> None:
    made_up(tmp_path, "lunet_small_4f", BASE)
    assert tell_twins(found(tmp_path), "twins.png") == ""
