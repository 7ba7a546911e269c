"""What a training tells of itself."""

import json
import logging
import math
import shlex
from pathlib import Path

import pytest
import torch
from ignite.engine import Engine, Events
from torch import nn

from lunet_networks.bundle.runtime.errors import tell_if_stopped
from lunet_networks.bundle.training import DatasetCases, History, ProgressBar, RunRecord, Summary, dataset_of_run
from lunet_networks.bundle.training.records import DATASET_DIR
from lunet_networks.presets import network_without_weights
from tests.helpers.running import run_bundle

CASES = [{"image": "/data/imagesTr/a.nii.gz", "label": "/data/labelsTr/a.nii.gz"}]
SETTINGS = {"preset": "lunet_small_4f", "pixdim": [1, 1, 1], "loss_name": "dice_bce", "learning_rate": 0.01}
UNNAMED = {"label_names": ["a"], "resume": False, "overwrite": False}
NETWORK = network_without_weights("lunet_small_4f")
TYPED = ["python", "-m", "monai.bundle", "run", "training", "--config_file", "configs/train.json"]


class Training:
    """A training that computes nothing: its history has Dice 0.5 of anterior, and of posterior what is given."""

    def __init__(self, folder: Path, posterior: float, guest: bool = False, network: nn.Module = NETWORK) -> None:
        data = list(CASES) if guest else DatasetCases(CASES)
        self.record = RunRecord(folder, "/data", SETTINGS, data, data, network)
        self.history = History(folder, ["anterior", "posterior"])
        self.posterior = posterior
        self.summary = Summary(self.record, self.history, "models", "/data", data)

    def run(self, epochs: int) -> None:
        engine = Engine(lambda engine, batch: None)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self.add)
        self.summary.attach(engine)
        engine.run([0], max_epochs=epochs)

    def add(self, engine: Engine) -> None:
        epoch = engine.state.epoch
        row = {"epoch": epoch, "seconds": 30.0, "val_mean_dice": epoch % 7 / 10, "val_anterior": 0.5}
        self.history.rows.append({**row, "val_posterior": self.posterior})


@pytest.fixture(autouse=True)
def log(caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.WARNING, "ignite")  # as in logging.conf
    caplog.set_level(logging.INFO)
    yield caplog
    tell_if_stopped(None)


def test_the_end_names_the_best_epoch_the_files_and_what_to_type(log, tmp_path, monkeypatch):
    (tmp_path / "history.csv").touch()
    words = ["--fold", "1", "--epochs", "12", "--overwrite", "True", "--roi_size", "[32,32,32]"]
    monkeypatch.setattr("sys.orig_argv", TYPED + words)
    Training(tmp_path, 0.25).run(12)
    lines = log.messages[-1].splitlines()
    assert lines == [
        "trained 12 of 12 epochs, 6 min; the best is epoch 6: Dice 0.600 (anterior 0.500, posterior 0.250)",
        "files:",
        f"  {tmp_path}/history.csv",
        f"next, measure it case by case; {tmp_path}/report.html will show the cases:",
        "  python -m monai.bundle run visualize --config_file "
        "\"['configs/train.json','configs/evaluate.json','configs/visualize.json']\" --fold 1 --roi_size '[32,32,32]'",
        "and label images:",
        "  python -m monai.bundle run inference --config_file configs/inference.json --roi_size '[32,32,32]' "
        f"--ckpt_dir models --dataset_dir /data/imagesTr/a.nii.gz --output_dir {tmp_path}/labels",
    ]


def test_a_network_of_the_users_is_named_and_goes_with_the_commands(log, tmp_path, monkeypatch):
    words = ["--network_def#channels", "[2,4]", "--network_def", "{'_target_': 'torch.nn.Conv3d'}", "--dropout", "0.1"]
    monkeypatch.setattr("sys.orig_argv", TYPED + words)
    Training(tmp_path, 0.25, network=nn.Conv3d(1, 3, 1)).run(1)
    assert log.messages[0].startswith("training Conv3d on 1 cases")
    infer = shlex.split(log.messages[-1].splitlines()[-1])
    assert infer[infer.index("--network_def#channels") + 1] == "[2,4]"
    assert infer[infer.index("--network_def") + 1] == "{'_target_': 'torch.nn.Conv3d'}"
    assert "--dropout" not in infer


def test_a_run_from_python_has_no_command_to_repeat(log, tmp_path):
    Training(tmp_path, 0.25).run(1)
    assert "monai.bundle" not in log.text
    assert "the best is epoch 1" in log.messages[-1]


def test_a_label_that_is_not_found_is_told_once_with_its_usual_causes(log, tmp_path):
    Training(tmp_path, 0.0).run(50)
    (hint,) = [message for message in log.messages if "Usual causes" in message]
    assert hint.startswith("the Dice of posterior is still 0 after 20 epochs")
    assert "--loss_name dice_focal" in hint
    assert "[1, 1, 1]" in hint


@pytest.mark.parametrize(("dice", "epochs"), [(0.01, 50), (math.nan, 50), (0.0, 9)])
def test_labels_that_are_found_or_absent_and_short_trainings_have_no_hint(log, tmp_path, dice, epochs):
    Training(tmp_path, dice).run(epochs)
    assert "Usual causes" not in log.text


def test_a_guest_has_its_own_way_to_tell(log, tmp_path):
    Training(tmp_path, 0.25, guest=True).run(2)
    assert log.messages == []


def test_without_a_folder_an_evaluation_takes_that_of_the_training(log, tmp_path):
    used, default = str(tmp_path / "data"), "/workspace/data/Phantom"
    assert dataset_of_run(default, default, tmp_path / "eval") == default
    RunRecord(tmp_path / "eval", used, UNNAMED, DatasetCases(), [], NETWORK).open()
    assert dataset_of_run(default, default, tmp_path / "eval") == used
    assert used in log.text
    assert dataset_of_run("elsewhere", default, tmp_path / "eval") == "elsewhere"
    assert dataset_of_run(str(tmp_path), str(tmp_path), tmp_path / "eval") == str(tmp_path)


def test_the_record_of_a_guest_names_no_folder(tmp_path):
    RunRecord(tmp_path, "/data", UNNAMED, [], [], NETWORK).open()
    assert DATASET_DIR not in json.loads((tmp_path / "run.json").read_text())


def test_a_long_epoch_has_a_line_a_minute(log, monkeypatch):
    minutes = iter(range(1000))
    monkeypatch.setattr("lunet_networks.bundle.training.progress.time.monotonic", lambda: 61.0 * next(minutes))
    monkeypatch.setattr("sys.stderr.isatty", lambda: False, raising=False)
    engine = Engine(lambda engine, batch: {"loss": torch.tensor(0.5)})
    ProgressBar().attach(engine)
    engine.run([0, 1, 2, 3], max_epochs=2)
    lines = [message for message in log.messages if "batch" in message]
    assert lines[0].startswith("epoch 1/2: batch 1 of 4, loss 0.5000; ")
    assert lines[0].endswith(" min left")
    assert lines[-1].startswith("epoch 2/2: batch 4 of 4")


def test_an_evaluation_finds_the_cases_of_its_training(bundle):
    bundle.train(epochs=1)
    settings = {name: value for name, value in bundle.settings().items() if name != "dataset_dir"}
    run_bundle(bundle.root, "train", "evaluate", **settings)
    assert (bundle.eval / "cases.csv").is_file()
    assert str(bundle.dataset_dir) in (bundle.eval / "run.json").read_text()
    assert str(bundle.dataset_dir) not in "".join(path.read_text() for path in (bundle.root / "configs").iterdir())
