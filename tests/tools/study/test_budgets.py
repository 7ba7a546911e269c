"""What budgets of processor time give, of made-up records."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.study_records import made_up
from tools.study.budgets import draw, tell_budgets
from tools.study.records import read_records
from tools.study.results import Comparison, comparisons

BASE = np.linspace(0.7, 0.9, 8)
VARIANT = {"settings": {"batch_size": 4}, "variant": "batch4"}


@pytest.fixture
def compared(tmp_path: Path) -> Sequence[Comparison]:
    """A network in two lengths, of which the longer one is beyond an hour, its twin, and one with a variant only."""
    for seed, less in enumerate((0.0, 0.02)):
        made_up(tmp_path, "lunet_small_4f", BASE - less, seed, 500, minutes=9)
    made_up(tmp_path, "lunet_small_4f", BASE + 0.05, 0, 500, minutes=61, epochs=20)
    made_up(tmp_path, "lunet_small_4f", BASE + 0.09, 0, 500, minutes=8, **VARIANT)
    made_up(tmp_path, "unet_small_4f", BASE + 0.02, 0, 2000, minutes=11)
    made_up(tmp_path, "unet_small_4f", BASE + 0.08, 0, 700, minutes=5, pruned={"selection": "stamp"}, variant="stamp")
    made_up(tmp_path, "SegResNet", BASE - 0.4, 0, 4000, minutes=50, **VARIANT)
    made_up(tmp_path, "DynUNet_hippocampus", BASE, 0, 9000, minutes=601)
    return comparisons(read_records(tmp_path))


def test_the_best_training_that_ends_within_a_budget(compared: Sequence[Comparison]) -> None:
    lines = tell_budgets(compared, "picture.png").splitlines()
    assert lines[0].endswith("fold0, what ten minutes, an hour, a night of a core give")
    assert [line for line in lines if line.startswith("| `")] == [
        "| `lunet_small_4f` | 500 | 0.790 (2; 2) | 0.790 (2; 2) | 0.850 (20; 1) |",
        "| `unet_small_4f` | 2,000 | - | 0.820 (2; 1) | 0.820 (2; 1) |",
        "| `SegResNet (batch4)` | 4,000 | - | 0.400 (2; 1) | 0.400 (2; 1) |",
    ]


def test_trainings_of_one_length_are_no_budgets(compared: Sequence[Comparison]) -> None:
    assert tell_budgets(compared[:1], "picture.png") == ""


def test_every_training_is_named_and_one_far_below_is_not_drawn(compared: Sequence[Comparison]) -> None:
    (axes,) = draw(compared).axes
    named = {text.get_text() for text in axes.texts}
    assert named == {"lunet_small_4f, 2", "lunet_small_4f, 20", "unet_small_4f, 2", "DynUNet_hippocampus, 2"}
