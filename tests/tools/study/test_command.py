"""The study's command: what is missing is done, also after it was killed."""

import ast
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from tests.helpers.study_records import made_up
from tools import ROOT
from tools.study.command import Study, study
from tools.study.peers import peer_config
from tools.study.records import CASES, Record, read_records
from tools.study.table import Planned, read_table

SMALL = {"settings": {"roi_size": [32, 32, 32], "batch_size": 2, "num_folds": 2}, "variant": "small"}


@pytest.fixture
def data_dir(tmp_path: Path, tiny_dataset: Path) -> Path:
    """The folder of all data, with a few phantoms in place of the hippocampus."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "Task04_Hippocampus").symlink_to(tiny_dataset)
    return tmp_path / "data"


def write_table(path: Path, *lines: dict) -> str:
    common = {"dataset": "hippocampus", "part": "fold0", "epochs": 2, "seeds": [0]}
    path.write_text(yaml.safe_dump([{**common, **line} for line in lines]))
    return str(path)


def test_the_list_tells_what_is_done_and_the_time_of_the_rest(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    table = write_table(
        tmp_path / "runs.yaml", {"network": "lunet_small_4f", "seeds": [0, 1]}, {"network": "SegResNet"}
    )
    made_up(tmp_path / "records", "lunet_small_4f", [0.8] * 6)
    places = {"work_dir": str(tmp_path), "records": str(tmp_path / "records"), "table": table}
    study(list=True, **places)
    assert capsys.readouterr().out.splitlines() == [
        "done     hippocampus-fold0-lunet_small_4f-2epochs-seed0: Dice 0.800, 2 min of CPU",
        "missing  hippocampus-fold0-lunet_small_4f-2epochs-seed1: 80 s",
        "missing  hippocampus-fold0-SegResNet-2epochs-seed0: time not known yet",
        "1 of 3 done; known of the rest: 80 s",
    ]
    with pytest.raises(ValueError, match=r"--run liver-\* is no run of .*runs.yaml: see the names with --list True"):
        study(run="liver-*", **places)


def test_a_value_that_train_json_lacks_is_named_before_anything_runs(
    tmp_path: Path, data_dir: Path, capsys: pytest.CaptureFixture
) -> None:
    changed = {"settings": {"train#augmentation#6#prob": 0.2}, "variant": "seven"}  # counted from 0, it has six
    table = write_table(tmp_path / "runs.yaml", {"network": "lunet_small_4f", **changed})
    places = {"data_dir": str(data_dir), "work_dir": str(tmp_path / "work"), "records": str(tmp_path / "records")}
    with pytest.raises(ValueError, match=r"failed runs \(1\)"):
        study(table=table, **places)
    told = capsys.readouterr().err
    assert "settings has train#augmentation#6#prob: " in told
    assert "lunet_small/configs/train.json has no such value" in told
    assert not (tmp_path / "records").exists()


def test_a_record_of_another_run_under_the_same_name_is_refused(tmp_path: Path) -> None:
    table = write_table(tmp_path / "runs.yaml", {"network": "lunet_small_4f"})
    record = made_up(tmp_path / "records", "lunet_small_4f", [0.8] * 6)
    file = tmp_path / "records" / record.name / "run.json"
    file.write_text(file.read_text().replace('"bundle": "lunet_small"', '"bundle": "unet_small"'))
    with pytest.raises(ValueError, match="give one of them another variant, or remove the record"):
        study(list=True, work_dir=str(tmp_path), records=str(tmp_path / "records"), table=table)


def test_the_commands_are_those_of_a_user(tmp_path: Path, data_dir: Path) -> None:
    lines = {"network": "SegResNet", **SMALL}, {"network": "lunet_small_1f", **SMALL}
    plan = Study(data_dir, tmp_path, tmp_path, read_table(Path(write_table(tmp_path / "runs.yaml", *lines))))
    of_peer, of_preset = (plan.training(planned).run("training", resume=True).arguments() for planned in plan.table)
    for command, planned in ((of_peer, plan.table[0]), (of_preset, plan.table[1])):
        given = dict(zip(command[4::2], command[5::2], strict=True))
        assert command[:4] == ["-m", "monai.bundle", "run", "training"]
        assert given["--config_file"] == str(ROOT / "bundles" / "lunet_small" / "configs" / "train.json")
        assert (given["--seed"], given["--fold"], given["--resume"]) == ("0", "0", "True")
        assert given["--output_dir"] == str(tmp_path / "runs" / planned.name)
    network = ast.literal_eval(of_peer[of_peer.index("--network_def") + 1])
    assert network == {**peer_config("SegResNet"), "in_channels": 1, "out_channels": 3}
    assert "--preset" not in of_peer
    assert of_preset[of_preset.index("--preset") + 1] == "lunet_small_1f"
    assert plan.training(plan.table[0]).patch_shape() == (1, 1, 32, 32, 32)


@pytest.mark.slow
def test_a_failing_run_is_told_and_the_others_are_done(
    tmp_path: Path, data_dir: Path, capsys: pytest.CaptureFixture
) -> None:
    too_many = {"settings": {**SMALL["settings"], "num_folds": 99}, "variant": "wrong"}
    table = write_table(
        tmp_path / "runs.yaml", {"network": "lunet_small_1f", **too_many}, {"network": "SegResNet", **SMALL}
    )
    places = {"data_dir": str(data_dir), "work_dir": str(tmp_path / "work"), "records": str(tmp_path / "records")}
    with pytest.raises(ValueError, match=r"failed runs \(1\):\n  hippocampus-fold0-lunet_small_1f-wrong-2epochs-seed0"):
        study(table=table, **places)
    assert "num_folds is 99" in capsys.readouterr().err
    (record,) = read_records(tmp_path / "records")
    assert record.run["network_def"]["_target_"] == "monai.networks.nets.SegResNet"
    assert record.run["parameters"] > 1_000_000


@pytest.mark.slow
def test_a_pruned_network_is_trained_again_and_recorded_with_its_pruning(tmp_path: Path, data_dir: Path) -> None:
    plain = {"network": "unet_small_2f", "epochs": 1}
    pruned = {"selection": "largest_layer", "channels_per_step": 8, "max_steps": 2}
    small = {"roi_size": [32, 32, 32], "batch_size": 2}
    table = write_table(tmp_path / "runs.yaml", {**plain, "pruned": {**pruned, **small}, "variant": "largest"})
    places = {"data_dir": str(data_dir), "work_dir": str(tmp_path / "work"), "records": str(tmp_path / "records")}
    study(table=table, **places)
    (record,) = read_records(tmp_path / "records")
    assert record.name == "hippocampus-fold0-unet_small_2f-largest-1epochs-seed0"
    assert record.run["pruning"]["steps"] == 2
    assert record.run["parameters"] < 88_000
    assert record.run["settings"].keys().isdisjoint({"pretrained", "dataset_dir"})
    assert record.cpu_minutes > record.run["pruning"]["cpu_seconds"] / 60
    before = tmp_path / "work" / "runs" / "hippocampus-fold0-unet_small_2f-1epochs-seed0"
    assert (before / "models" / "model.pt").is_file()


@pytest.mark.slow
def test_a_killed_study_goes_on_and_ends_like_an_undisturbed_one(tmp_path: Path, data_dir: Path) -> None:
    table = write_table(tmp_path / "runs.yaml", {"network": "lunet_small_1f", "epochs": 8, **SMALL})
    (planned,) = read_table(Path(table))
    _start(table, data_dir, tmp_path / "once").wait()
    process = _start(table, data_dir, tmp_path / "killed")
    history = tmp_path / "killed" / "work" / "runs" / planned.name / "history.csv"
    while not history.is_file() or len(history.read_text().splitlines()) < 4:
        assert process.poll() is None
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)  # the command and the training that it has started
    process.wait()
    assert read_records(tmp_path / "killed" / "records") == []
    assert 3 < len(history.read_text().splitlines()) < 9
    assert _start(table, data_dir, tmp_path / "killed").wait() == 0
    once, killed = (_record(tmp_path / name, planned) for name in ("once", "killed"))
    assert len({(tmp_path / name / "records" / planned.name / CASES).read_text() for name in ("once", "killed")}) == 1
    assert killed.run == once.run
    assert [_without_times(row) for row in killed.history] == [_without_times(row) for row in once.history]


def _start(table: str, data_dir: Path, folder: Path) -> subprocess.Popen:
    options = {"table": table, "data_dir": data_dir, "work_dir": folder / "work", "records": folder / "records"}
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    command = [sys.executable, "-m", "tools.study", *words]
    return subprocess.Popen(command, cwd=ROOT, start_new_session=True, stdout=subprocess.DEVNULL)


def _record(folder: Path, planned: Planned) -> Record:
    (record,) = read_records(folder / "records")
    assert record.name == planned.name
    return record


def _without_times(row: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in row.items() if not name.endswith("seconds")}
