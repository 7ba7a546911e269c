"""Records of runs: whole, small, free of paths, and of the runs in the table."""

import re
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.study_records import made_up
from tools.study.datasets import DATASETS
from tools.study.records import CASES, RECORDS, RUN, dice_by_seed, read_one, read_records
from tools.study.table import INSIDE, read_table

COMMITTED = sorted(path.parent for path in RECORDS.glob(f"*/{RUN}"))


def test_what_is_read_of_a_record(tmp_path: Path) -> None:
    record = made_up(tmp_path, "lunet_small_4f", [0.8, 0.6], seed=3)
    assert read_records(tmp_path) == [record]
    assert record.group == "hippocampus-fold0-lunet_small_4f-2epochs"
    assert record.labels == ["anterior", "posterior"]
    assert record.cpu_minutes == 2
    assert record.mean("dice", "anterior") == pytest.approx(0.7)
    assert record.mean("hd95", "posterior") == 1
    assert np.isnan(record.mean("iou", "anterior"))


def test_dice_of_seeds_is_of_the_same_cases(tmp_path: Path) -> None:
    one, other = (made_up(tmp_path, "lunet_small_4f", [0.8, dice], seed) for seed, dice in enumerate((0.6, 0.7)))
    cases, dice = dice_by_seed([one, other])
    assert cases == ["case_0", "case_1"]
    assert dice.tolist() == [[0.8, 0.6], [0.8, 0.7]]
    third = made_up(tmp_path, "lunet_small_4f", [0.8], seed=2)
    with pytest.raises(ValueError, match=r"seed2 and .*seed0 are not of the same cases"):
        dice_by_seed([one, third])


@pytest.mark.parametrize("broken", [f"{CASES}:case,label\n", "history.csv:epoch\n", f"{RUN}:[]", f"{RUN}:{{"])
def test_a_damaged_record_is_named(tmp_path: Path, broken: str) -> None:
    record = made_up(tmp_path, "lunet_small_4f", [0.8, 0.6])
    name, text = broken.split(":", 1)
    (tmp_path / record.name / name).write_text(text)
    with pytest.raises(ValueError, match=r"seed0 is no whole record .*: remove it and do the run again"):
        read_one(tmp_path / record.name)


@pytest.mark.parametrize("folder", COMMITTED, ids=lambda folder: folder.name)
def test_a_committed_record_is_small_and_of_a_run_in_the_table(folder: Path) -> None:
    record, planned = read_one(folder), {run.name: run for run in read_table()}
    assert dict(record.planned) == planned[folder.name].described()
    given = {**DATASETS[record.planned["dataset"]].settings, **record.planned["settings"]}
    given = {name: value for name, value in given.items() if INSIDE not in name}
    assert {name: record.run["settings"][name] for name in given} == given
    assert record.history[-1]["epoch"] == record.planned["epochs"]
    assert sum(path.stat().st_size for path in folder.iterdir()) < 100_000
    assert {path.suffix for path in folder.iterdir()} == {".json", ".csv"}
    assert not re.search(r'"/|/work|/home|/tmp', (folder / RUN).read_text())
