"""Means over published splits, also while only some of them are recorded."""

from pathlib import Path

import numpy as np
import pytest

from tests.helpers.study_records import made_up
from tools.make_results import sections
from tools.study.records import read_records
from tools.study.results import comparisons

BASE = np.linspace(0.6, 0.8, 8)


def recorded(folder: Path, network: str, dice: float, *splits: int, **more: int) -> None:
    for split in splits:
        made_up(folder, network, BASE + dice + 0.01 * split, dataset="ultrasound", part=f"split{split}", **more)


@pytest.fixture
def lines(tmp_path: Path) -> list[str]:
    """Of the document, with a network on all splits, one on two and one on another number of epochs."""
    recorded(tmp_path, "lunet_small_4f", 0.0, 1, 2, 3, parameters=500)
    recorded(tmp_path, "lv_unet", 0.05, 1, 3, parameters=1000)
    recorded(tmp_path, "lv_unet", 0.05, 1, parameters=1000, epochs=3)
    first, other = sections(comparisons(read_records(tmp_path)))
    assert other.startswith("## Breast ultrasound (BUSI): the published splits, 3 epochs")
    return first.splitlines()


def test_a_row_is_the_mean_over_splits(lines: list[str]) -> None:
    assert lines[0] == "## Breast ultrasound (BUSI): the published splits, 2 epochs"
    assert lines[2].startswith("4 training and 8 validation cases")
    rows = [line for line in lines if line.startswith("| `") and line.count("|") == 9]
    assert [row.split(" | ")[4:6] for row in rows] == [["1, 2, 3", "1"], ["1, 3", "1"]]
    assert rows[0].endswith("| 0.720 ± 0.010 |")
    assert rows[1].endswith("| 0.770 ± 0.014 |")


def test_published_rows_are_called_so(lines: list[str]) -> None:
    rows = [line for line in lines if "as published" in line]
    assert rows[0] == "| U-Net, as published | | | | 1, 2, 3 | | 0.686 | 0.770 |"
    assert len(rows) == 4
    assert "by that project's own training" in " ".join(lines)


def test_missing_splits_are_named(lines: list[str]) -> None:
    assert lines[4].startswith("Not all splits are recorded yet: `lv_unet` has split 1, 3.")


def test_networks_are_compared_over_the_splits_that_both_have(lines: list[str]) -> None:
    assert "| `lv_unet`, `lunet_small_4f` | 2 | 1, 3 | 8 | +0.050 [+0.050, +0.050] |" in lines
