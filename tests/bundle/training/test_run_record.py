"""run.json: what a run was started with, and whether another may write beside it."""

import contextlib
import json
import unicodedata
from pathlib import Path

import pytest
from ignite.engine import Engine
from monai.bundle import ConfigParser
from monai.networks.nets import UNet

from lunet_networks import create_network
from lunet_networks.bundle.runtime.locks import LOCK
from lunet_networks.bundle.training.checkpoints import save_atomically
from lunet_networks.bundle.training.replaced_outputs import discard_replaced
from lunet_networks.bundle.training.run_record import DatasetCases, RunRecord, RunRecordHandler
from lunet_networks.bundle.training.trained_network import describe_network
from lunet_networks.kernels.choice import describe_kernels
from lunet_networks.presets import network_without_weights
from tests.helpers.killing import Killed

CASES = [{"image": f"/data/images/{number}.nii.gz", "label": f"/data/labels/{number}.nii.gz"} for number in range(4)]
SETTINGS = {"preset": "lunet_small_4f", "epochs": 10, "seed": 1, "resume": False, "overwrite": False}
SETTINGS["label_names"] = ["anterior", "posterior"]
NETWORK = network_without_weights("lunet_small_4f")


@pytest.fixture
def record(tmp_path):
    """Makes the record of a run with other settings or cases."""

    def record(training=None, network=None, **settings) -> RunRecord:
        training = DatasetCases(CASES[:3]) if training is None else training
        settings = {**SETTINGS, **settings}
        network = network or network_without_weights(settings["preset"])
        return RunRecord(tmp_path, "/data", settings, training, DatasetCases(CASES[3:]), network)

    return record


@pytest.fixture
def work(tmp_path, record):
    """The output of a training."""
    own = record()
    own.open()
    own.close()
    for name in ("checkpoint.pt", "history.csv", "model_epoch0010.pt", "model_before_1.pt", "predictions.txt"):
        (tmp_path / name).write_text("older")
    (tmp_path / "tensorboard").mkdir()
    return tmp_path


def test_a_record_says_what_a_run_was_started_with(tmp_path, record):
    record().open()
    content = json.loads((tmp_path / "run.json").read_text())
    assert content["settings"] == SETTINGS
    names = [f"./labels/{number}.nii.gz" for number in range(4)]
    assert content["cases"] == {"training": names[:3], "validation": names[3:]}
    assert content["versions"].keys() == {"lunet_networks", "monai", "torch"}


def test_output_of_another_run_is_refused_with_the_ways_out(work, record):
    with pytest.raises(FileExistsError, match=r"with --resume True, .* with --overwrite True, .* with --output_dir"):
        record().open()


def test_a_run_that_failed_before_its_first_epoch_is_in_nobodys_way(tmp_path, record):
    record(preset="lunet_small_2f").open()
    record().open()
    assert json.loads((tmp_path / "run.json").read_text())["settings"]["preset"] == "lunet_small_4f"


def test_overwrite_deletes_what_a_training_left_and_nothing_else(work, record):
    new = record(overwrite=True)
    new.open()
    (work / "checkpoint.pt").write_text("newer")
    discard_replaced(work)
    new.close()
    names = ["checkpoint.pt", "model_before_1.pt", "predictions.txt", "run.json"]
    assert sorted(path.name for path in work.iterdir()) == names


class Stopped:
    """A trainer that is stopped."""

    def run(self):
        raise KeyboardInterrupt


def files_of(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file() and path.name != LOCK}


def test_what_is_replaced_comes_back_if_the_new_training_ends_before_its_first_checkpoint(work, record):
    before = files_of(work)
    new = record(overwrite=True, seed=2)
    new.open()
    (work / "history.csv").write_text("of the new one")
    (work / "model_epoch0001.pt").write_text("of the new one")
    with pytest.raises(KeyboardInterrupt):
        new.run(Stopped())
    assert files_of(work) == before
    assert (work / "tensorboard").is_dir()


@pytest.mark.parametrize("moves", range(8))
def test_a_kill_while_outputs_move_loses_none(moves, work, record, monkeypatch):
    """Five files and folders move there, then the folder that holds them is renamed; the same on the way back."""
    before = files_of(work)
    rename, left = Path.rename, [moves]

    def killed(path, target):
        left[0] -= 1
        if left[0] < 0:
            raise Killed
        return rename(path, target)

    new = record(overwrite=True)
    with monkeypatch.context() as patch, contextlib.suppress(Killed):
        patch.setattr(Path, "rename", killed)
        new.open()
        new.close()
    del new  # as a killed process loses its locks
    assert record(resume=True).resumes
    record(resume=True).open()  # the next start
    assert {**files_of(work), "run.json": before["run.json"]} == before
    assert (work / "tensorboard").is_dir()
    assert not list(work.glob(".replaced*"))


def test_a_kill_while_the_replaced_output_is_deleted(work, record):
    new = record(overwrite=True, seed=2)
    new.open()
    (work / "checkpoint.pt").write_text("newer")
    (work / ".replaced" / "checkpoint.pt").unlink()
    del new
    record(resume=True, seed=2).open()
    assert (work / "checkpoint.pt").read_text() == "newer"
    assert not (work / ".replaced").exists()


@pytest.mark.parametrize(("epochs", "done"), [(5, 8), (8, 8), (9, 8)])
def test_fewer_epochs_than_done_are_refused_and_as_many_run_nothing(epochs, done, work, record, caplog):
    caplog.set_level("INFO")
    save_atomically({"epoch": done}, work / "checkpoint.pt")
    schedule = {"scheduler_name": "none", "learning_rate": 0.01}
    give(work, schedule)
    if epochs < done:
        with pytest.raises(ValueError, match="epochs is 5, 8 are done: give --epochs 8 or more"):
            record(resume=True, epochs=epochs, **schedule).open()
        assert json.loads((work / "run.json").read_text())["settings"]["epochs"] == 10
    else:
        record(resume=True, epochs=epochs, **schedule).open()
        assert ("is complete: all 8 epochs are done" in caplog.text) == (epochs == done)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("cosine", "the learning rate (cosine), 0.000245 in epoch 10, rises to 0.005 in epoch 11"),
        ("poly", "the learning rate (poly), 0.00126 in epoch 10, rises to 0.00536 in epoch 11"),
        ("step", ""),
        ("none", ""),
    ],
)
def test_more_epochs_tell_that_the_learning_rate_rises(name, told, work, record, caplog):
    save_atomically({"epoch": 10}, work / "checkpoint.pt")
    schedule = {"scheduler_name": name, "learning_rate": 0.01}
    give(work, schedule)
    record(resume=True, epochs=20, **schedule).open()
    assert caplog.messages == ([f"epochs is 20 instead of 10: {told}"] if told else [])


def give(work, settings):
    """The record in a folder more settings."""
    content = json.loads((work / "run.json").read_text())
    (work / "run.json").write_text(json.dumps({**content, "settings": {**content["settings"], **settings}}))


def test_another_training_in_the_same_folder_is_refused_with_who_is_there(work, record):
    first = record(overwrite=True)
    first.open()
    with pytest.raises(BlockingIOError, match=r"is written by another training \(process \d+ on .+, since 2.+\): wait"):
        record(overwrite=True).open()
    first.close()
    record(overwrite=True).open()


def test_the_folder_of_the_weights_is_locked_too(tmp_path):
    def new(name):
        return RunRecord(tmp_path / name, "/data", SETTINGS, DatasetCases(CASES), [], NETWORK, tmp_path / "models")

    first = new("one")
    first.open()
    with pytest.raises(BlockingIOError, match=r"models is written by another training .* with --ckpt_dir"):
        new("two").open()
    assert not (tmp_path / "two").exists()
    first.close()
    assert not (tmp_path / "models").exists()
    same = new("models")  # one folder for both
    same.open()
    same.close()


def test_resume_takes_up_the_same_run_also_with_more_epochs(work, record):
    record(resume=True, epochs=20).open()
    assert (work / "checkpoint.pt").read_text() == "older"


def test_resume_with_other_kernels_says_that_it_rounds_differently(work, record, caplog):
    record(resume=True).open()
    assert not caplog.text
    content = json.loads((work / "run.json").read_text())
    content["kernels"] = {"source": "0123456789ab", "instructions": "AVX9"}
    (work / "run.json").write_text(json.dumps(content))
    record(resume=True).open()
    assert "began with kernels 0123456789ab for AVX9 and resumes with" in caplog.text
    assert json.loads((work / "run.json").read_text())["kernels"] == describe_kernels()


def test_resume_without_anything_to_resume_starts_anew_and_says_so(tmp_path, record, caplog):
    caplog.set_level("INFO")
    for _ in range(2):  # an empty folder, and one with a record alone
        record(resume=True).open()
    assert caplog.text.count("nothing to resume") == 2
    assert (tmp_path / "run.json").is_file()


def test_resume_without_a_checkpoint_deletes_nothing(work, record):
    (work / "checkpoint.pt").unlink()
    before = sorted(work.iterdir())
    with pytest.raises(FileExistsError) as caught:
        record(resume=True).open()
    message = str(caught.value)
    assert f"{work} has no checkpoint.pt to resume, but holds the output of another training (" in message
    assert "(history.csv, model_epoch0010.pt, tensorboard)" in message
    assert message.endswith("with --overwrite True, which deletes it, or choose another folder with --output_dir")
    assert sorted(work.iterdir()) == before
    record(overwrite=True).open()
    assert not (work / "history.csv").exists()


def test_a_run_that_was_killed_in_its_first_epoch_is_started_again(tmp_path, record):
    record().open()
    for name in ("history.csv", "pruning_history.csv"):  # which are written before the checkpoint
        (tmp_path / name).write_text("epoch,loss\n1,0.5\n")
    assert record(resume=True).resumes
    record(resume=True).open()
    with pytest.raises(FileExistsError, match="holds the output of another training"):
        record(resume=True, preset="unet_small_4f").open()
    (tmp_path / "history.csv").write_text("epoch,loss\n1,0.5\n2,0.4\n")
    assert not record(resume=True).resumes
    with pytest.raises(FileExistsError, match=r"has no checkpoint\.pt to resume"):
        record(resume=True).open()


def test_what_is_resumed(tmp_path, record):
    assert not record(resume=True).resumes, "nothing is there"
    record().open()
    assert not record(resume=True).resumes, "a record alone"
    (tmp_path / "checkpoint.pt").touch()
    assert record(resume=True).resumes
    assert not record().resumes


def test_another_run_is_not_resumed_and_the_differences_are_listed(work, record):
    with pytest.raises(ValueError, match="it was another training") as caught:
        record(training=DatasetCases(CASES[1:3]), preset="unet_small_4f", seed=2, resume=True).open()
    message = str(caught.value)
    assert "preset: 'lunet_small_4f' then, 'unet_small_4f' now" in message
    assert "seed: 1 then, 2 now" in message
    assert "training cases: 3 then, 2 now, 1 of them differ" in message
    assert "epochs" not in message
    assert json.loads((work / "run.json").read_text())["settings"]["seed"] == 1


def test_a_network_def_of_the_users_is_recorded_for_what_it_is(tmp_path, record):
    network = UNet(spatial_dims=3, in_channels=1, out_channels=3, channels=(4, 8), strides=(2,))
    mine = record(network=network)
    mine.open()
    kept = json.loads((tmp_path / "run.json").read_text())
    assert mine.network_name == "UNet"
    assert kept["network"]["_target_"] == "monai.networks.nets.unet.UNet"
    assert "preset" not in kept["settings"]


def test_the_record_of_a_changed_preset_holds_the_network_def_that_makes_it(tmp_path, record):
    network = create_network("lunet_small_4f", out_channels=3, channels=(2, 4))
    record(network=network).open()
    kept = json.loads((tmp_path / "run.json").read_text())
    again = ConfigParser({"network_def": kept["network"]}).get_parsed_content("network_def")
    assert str(again) == str(network)
    assert "preset" not in kept["settings"]


@pytest.mark.parametrize(
    ("change", "told"),
    [({"strides": (1,)}, "network_def#layers: "), ({"channels": (4, 6)}, "network_def#parameters: ")],
)
def test_another_network_def_is_not_resumed(change, told, work, record):
    def network(strides=(2,), channels=(4, 8)):
        return UNet(spatial_dims=3, in_channels=1, out_channels=3, channels=channels, strides=strides)

    with pytest.raises(ValueError, match=r"network_def#_target_: 'lunet_networks\.nets\.UNet' then, 'monai"):
        record(network=network(), resume=True).open()
    content = json.loads((work / "run.json").read_text())
    settings = {name: value for name, value in content["settings"].items() if name != "preset"}
    content |= {"settings": settings, "network": describe_network(network())}
    (work / "run.json").write_text(json.dumps(content))
    record(network=network(), resume=True).open()
    with pytest.raises(ValueError, match=told):
        record(network=network(**change), resume=True).open()


def test_resume_and_overwrite_exclude_each_other(work, record):
    with pytest.raises(ValueError, match="resume and overwrite are both True"):
        record(resume=True, overwrite=True).open()
    assert (work / "checkpoint.pt").is_file()


def test_a_checkpoint_without_a_record_is_not_resumed(work, record):
    (work / "run.json").unlink()
    with pytest.raises(ValueError, match=r"has no run\.json"):
        record(resume=True).open()


def test_a_guest_is_never_refused_and_destroys_nothing(work, record):
    record(training=CASES[:2]).open()
    assert (work / "set_aside_1" / "checkpoint.pt").read_text() == "older"
    assert (work / "set_aside_1" / "tensorboard").is_dir()
    assert json.loads((work / "run.json").read_text())["guest"]
    record(training=CASES[1:2]).open()  # a guest's own older output is not kept
    assert [path.name for path in work.glob("set_aside_*")] == ["set_aside_1"]


def test_the_record_of_an_older_version_is_resumed(work, record):
    """It had the names of the label files without their folders."""
    content = json.loads((work / "run.json").read_text())
    for names in content["cases"].values():
        names[:] = [name.rpartition("/")[2] for name in names]
    (work / "run.json").write_text(json.dumps(content))
    record(resume=True).open()
    assert json.loads((work / "run.json").read_text())["cases"]["validation"] == ["./labels/3.nii.gz"]


def test_what_is_set_aside_replaces_nothing(work, record):
    """Also where the first of two was deleted."""
    (work / "set_aside_2").mkdir()
    (work / "set_aside_2" / "checkpoint.pt").write_text("oldest")
    record(training=CASES[:2]).open()
    assert (work / "set_aside_2" / "checkpoint.pt").read_text() == "oldest"
    assert (work / "set_aside_3" / "checkpoint.pt").read_text() == "older"


def test_a_trainer_started_by_itself_is_a_guest(work, record):
    own = record()
    engine = Engine(lambda engine, batch: None)
    RunRecordHandler(own).attach(engine)
    engine.run([0], max_epochs=1)
    engine.run([0], max_epochs=2)  # the next federated round
    assert own.guest
    assert [path.name for path in work.glob("set_aside_*")] == ["set_aside_1"]


def test_names_of_labels_are_recorded_in_one_unicode_form(record):
    training = [{"image": "a.nii", "label": unicodedata.normalize("NFD", "läsion.nii")}]
    assert record(training).cases["training"] == [unicodedata.normalize("NFC", "läsion.nii")]
