"""Two processes that torchrun starts, on the CPU: they train as one does, and end together whatever happens."""

import math
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from monai.bundle import ConfigParser, ConfigWorkflow

from lunet_networks.authoring.samples.get_data import nuclei, phantom
from lunet_networks.bundle.data.datalist import load_datalist
from lunet_networks.bundle.runtime.errors import root_cause
from tests.helpers.trainable import TrainableBundle, same_results

TIMEOUT = 900  # seconds on a busy machine; what hangs hangs for hours
STANDALONE = ("--standalone", "--nproc_per_node=2")
# Normalisation and loss are means over volumes, so that it does not matter which process has which; the statistics of a
# batch norm and the loss that has Dice in it are of the batch of a process.
OF_VOLUMES = {"preset": "mednext_small", "dropout": 0.0, "loss_name": "bce"}
# Adam divides by the size of the gradient, and so makes much of what rounding left of gradients that are zero.
SGD = {"_target_": "torch.optim.SGD", "params": "$@network.parameters()", "lr": 0.1}
# Soon finds something, with the statistics of a batch norm that sees one volume at a time.
QUICK = {"batch_size": 1, "learning_rate": 0.03, "scheduler_name": "none"}


@pytest.fixture
def seven_cases(tmp_path: Path) -> dict[str, object]:
    """Settings for a dataset of which four cases train and three validate."""
    phantom(str(tmp_path / "seven"), num_cases=7, difficulty="easy", shape=(32, 32, 32))
    return {"dataset_dir": str(tmp_path / "seven"), "num_folds": 2, "fold": 1}


def test_two_processes_train_as_one_with_twice_the_batch(new_bundle, seven_cases):
    settings = {**seven_cases, **OF_VOLUMES, "optimizer": SGD, "epochs": 3}
    one, two = new_bundle("one"), new_bundle("two")
    assert two.start_two(batch_size=1, **settings).wait(TIMEOUT) == 0, two.errors.read_text()
    assert sorted(path.name for path in two.eval.iterdir()) == [
        *("checkpoint.pt", "curves.png", "history.csv", "run.json", "tensorboard")
    ]
    assert len(list((two.eval / "tensorboard").iterdir())) == 1
    assert [path.name for path in two.model.parent.iterdir()] == ["model.pt"]

    one.train(batch_size=2, **settings)
    assert len(one.history()) == len(two.history()) == 3
    for row, other in zip(one.history(), two.history(), strict=True):
        assert row["learning_rate"] == other["learning_rate"]
        assert {name: float(value) for name, value in other.items()} == pytest.approx(
            {name: float(value) for name, value in row.items()}, abs=1e-6
        )
    weights = two.weights()
    assert all(torch.allclose(weights[name], value, atol=1e-6) for name, value in one.weights().items())
    assert_validated_as_by_one_process(two, **settings)

    with pytest.raises(RuntimeError) as caught:
        two.train(batch_size=1, **settings, resume=True)
    assert "processes: 2 then, 1 now" in str(root_cause(caught.value))


@pytest.mark.slow
def test_a_wrong_setting_ends_both_with_one_message(bundle):
    assert bundle.start_two(loss_name="focal").wait(TIMEOUT) == 1
    errors = bundle.errors.read_text()
    message = "error: loss_name is 'focal': it has to be one of dice, bce, dice_bce, dice_half_bce, dice_focal"
    assert errors.splitlines().count(message) == 1
    assert "ValueError" not in errors
    assert "traceback : error: loss_name is 'focal'" in errors.splitlines()[-2]  # of torchrun's summary
    assert not bundle.eval.exists()


def test_without_torchrun_the_config_says_how_to_start_it(bundle):
    with pytest.raises(RuntimeError) as caught:
        workflow(bundle, "train", "multi_gpu_train")
    assert "torchrun --standalone --nproc_per_node=2 -m monai.bundle run training" in str(root_cause(caught.value))


def test_one_process_evaluates_with_all_three_configs(bundle):
    bundle.train(epochs=1, **QUICK)
    for configs in (("train", "evaluate"), ("train", "multi_gpu_train", "evaluate")):
        folders = {"output_dir": str(bundle.root / str(len(configs))), "ckpt_dir": str(bundle.model.parent)}
        evaluation = workflow(bundle, *configs, **folders)
        evaluation.run()
        evaluation.finalize()
    assert (bundle.root / "3" / "cases.csv").read_text() == (bundle.root / "2" / "cases.csv").read_text()


@pytest.mark.slow
def test_the_decoupling_loss_of_two_processes_is_that_of_one(tmp_path, seven_cases, one_thread):
    """Its weights are not compared: instance norm of volumes this small makes much of what rounding left."""
    settings = {**seven_cases, "loss_name": "bce", "optimizer": {**SGD, "lr": 0.001}}
    one, two = (TrainableBundle(tmp_path / name, tmp_path, "pspseg_small") for name in ("one", "two"))
    assert two.start_two(batch_size=1, **settings).wait(TIMEOUT) == 0, two.errors.read_text()
    one.train(batch_size=2, **settings)
    for row, other in zip(one.history(), two.history(), strict=True):
        for term in ("loss", "l1", "l2"):
            assert float(row[term]) > 0
            assert float(other[term]) == pytest.approx(float(row[term]), rel=1e-4)


@pytest.mark.slow
def test_the_slope_of_deep_training_is_the_same_in_both(tmp_path, one_thread):
    """What is saved is the mean of their buffers, of which the slope is one."""
    nuclei(str(tmp_path / "nuclei"))
    bundle = TrainableBundle(tmp_path / "lv_unet", tmp_path / "nuclei", "lv_unet")
    settings = {"roi_size": [256, 256], "epochs": 3, "save_interval": 1}
    assert bundle.start_two(**settings).wait(TIMEOUT) == 0, bundle.errors.read_text()
    noted = [float(row["slope"]) for row in bundle.history()]
    assert noted == pytest.approx([0, 1 - math.sqrt(0.5), 1])
    for epoch, slope in enumerate(noted, start=1):
        weights = torch.load(bundle.eval / f"model_epoch{epoch:04d}.pt", weights_only=True)
        saved = [value.item() for name, value in weights.items() if name.endswith(".slope")]
        assert saved == pytest.approx([slope] * 10)


@pytest.mark.slow
def test_killed_and_resumed_the_result_is_that_of_an_uninterrupted_training(new_bundle):
    """With fewer validation cases than processes, and training cases that cannot be shared out evenly."""
    settings = {**QUICK, "epochs": 4, "num_folds": 6, "resume": True}
    uninterrupted, killed = new_bundle("uninterrupted"), new_bundle("killed")
    assert uninterrupted.start_two(**settings).wait(TIMEOUT) == 0, uninterrupted.errors.read_text()
    assert_validated_as_by_one_process(uninterrupted, **settings)

    torchrun = killed.start_two(**settings)
    kill_one_of(torchrun, when=killed.checkpoint.is_file)
    assert torchrun.wait(TIMEOUT) == 1  # and with it the other process
    assert "SIGKILL" in killed.errors.read_text()
    before = len(killed.history())
    torchrun = killed.start_two(*STANDALONE, "--max_restarts=1", **settings)
    kill_one_of(torchrun, when=lambda: len(killed.history()) > before)
    assert torchrun.wait(TIMEOUT) == 0, killed.errors.read_text()
    assert same_results(killed, uninterrupted)


@pytest.mark.slow
def test_a_broken_file_ends_both_with_one_message(bundle, tmp_path):
    bundle.dataset_dir = shutil.copytree(bundle.dataset_dir, tmp_path / "copy")
    broken = sorted(bundle.dataset_dir.glob("imagesTr/*"))[2]
    broken.write_bytes(broken.read_bytes()[:1000])
    assert bundle.start_two().wait(TIMEOUT) == 1
    errors = bundle.errors.read_text()
    assert errors.count(f"\n  {broken} cannot be read") == 1
    assert ("\n" + errors).count("\nerror: the data cannot be used (cases: 6, faults: 1):") == 1
    assert not bundle.eval.exists()


@pytest.mark.slow
def test_an_error_in_one_process_alone_ends_both_with_its_message(bundle):
    """It is the first one, which writes, while the other goes on to the next epoch and waits for it."""
    bundle.model.mkdir(parents=True)
    assert bundle.start_two().wait(TIMEOUT) == 1
    errors = bundle.errors.read_text()
    assert ("\n" + errors).count("\nerror: ") == 1
    assert f"cannot write {bundle.model}" in errors
    assert bundle.checkpoint.is_file()


@pytest.mark.slow
def test_what_only_the_first_process_refuses_ends_both_with_its_message(bundle):
    bundle.eval.mkdir()
    bundle.checkpoint.touch()
    assert bundle.start_two().wait(TIMEOUT) == 1
    errors = bundle.errors.read_text()
    assert ("\n" + errors).count("\nerror: ") == 1
    assert f"\nerror: {bundle.eval} holds the output of another training" in errors
    assert [path.name for path in bundle.eval.iterdir()] == ["checkpoint.pt"]


@pytest.mark.slow
def test_both_stop_early_at_the_same_epoch(bundle):
    settings = {"epochs": 6, "early_stop_patience": 2, "learning_rate": 1e-9, "scheduler_name": "none"}
    assert bundle.start_two(**settings).wait(TIMEOUT) == 0, bundle.errors.read_text()
    assert 3 <= len(bundle.history()) < 6
    assert (bundle.eval / "curves.png").is_file()


@pytest.mark.slow
def test_two_nodes_train_as_one_with_two_processes(new_bundle):
    """Both are this machine. Each process validates cases, and has statistics of batch norm that are of its own."""
    settings = {**QUICK, "ema_decay": 0.5}
    node, nodes = new_bundle("node"), new_bundle("nodes")
    assert node.start_two(**settings).wait(TIMEOUT) == 0, node.errors.read_text()
    assert_validated_as_by_one_process(node, **settings)
    with socket.socket() as free:
        free.bind(("localhost", 0))
        endpoint = f"localhost:{free.getsockname()[1]}"
    options = ("--nnodes=2", "--nproc_per_node=1", "--rdzv_id=7", "--rdzv_backend=c10d", f"--rdzv_endpoint={endpoint}")
    started = [nodes.start_two(*options, **settings) for _ in range(2)]
    assert [torchrun.wait(TIMEOUT) for torchrun in started] == [0, 0], nodes.errors.read_text()
    assert same_results(nodes, node)


@pytest.mark.slow
def test_monai_label_starts_it_on_lists_and_handlers_of_its_own(bundle, tiny_dataset):
    """It writes a train.json with its overrides filled in, and runs the id "run" of that and this config."""
    bundle.train(epochs=1)
    own = bundle.checkpoint.read_bytes()
    path = bundle.root / "configs" / "train.json"
    config = ConfigParser()
    config.read_config(str(path))
    loader = {
        "_target_": "CheckpointLoader",
        "load_path": str(bundle.model),
        "load_dict": {"model": "$@network"},
        "strict": False,
    }
    overrides = {
        "bundle_root": str(bundle.root),
        "dataset_dir": "nowhere",
        "device": "cuda",
        "train#trainer#max_epochs": 1,
        "train#dataset#data": list(load_datalist(tiny_dataset, "training")),
        "validate#dataset#data": [],
        "train#handlers": [loader, *config["train#handlers"]],
    }
    for name, value in overrides.items():
        config.set(value, name)
    ConfigParser.export_config_file(config.config, str(path))
    bundle.settings = lambda **override: {"roi_size": [32, 32, 32], "batch_size": 2, "device": "cpu"}
    assert bundle.start_two().wait(TIMEOUT) == 0, bundle.errors.read_text()
    assert (bundle.eval / "set_aside_1" / "checkpoint.pt").read_bytes() == own
    assert [row["val_mean_dice"] for row in bundle.history()] == [""]


def workflow(bundle: TrainableBundle, *configs: str, **override: object) -> ConfigWorkflow:
    """A run of several configs in this process, initialised."""
    run = ConfigWorkflow(
        config_file=[str(bundle.root / "configs" / f"{name}.json") for name in configs],
        logging_file=False,
        workflow_type="train",
        **bundle.settings(**override),
    )
    run.initialize()
    return run


def assert_validated_as_by_one_process(bundle: TrainableBundle, **settings: object) -> None:
    """The last row of the history has to the last bit what this process finds for the weights that were saved."""
    one = bundle.workflow(**settings).parser
    evaluator = one.get_parsed_content("validate#evaluator")
    evaluator.network.load_state_dict(bundle.averaged_weights() or bundle.weights())
    evaluator.run(1)
    dice = evaluator.state.metrics["val_mean_dice"]
    assert dice > 0
    row = bundle.history()[-1]
    assert float(row["val_mean_dice"]) == dice
    of_labels = torch.nanmean(evaluator.state.metric_details["val_mean_dice"].double(), dim=0)
    assert [float(row["val_anterior"]), float(row["val_posterior"])] == of_labels.tolist()


def kill_one_of(torchrun: subprocess.Popen, when: Callable[[], bool]) -> None:
    """Kill the last of the processes that torchrun has started, as the system does when memory runs out."""
    while torchrun.poll() is None and not when():
        time.sleep(0.01)
    assert torchrun.poll() is None, "it ended by itself"
    children = Path(f"/proc/{torchrun.pid}/task/{torchrun.pid}/children").read_text().split()
    os.kill(int(children[-1]), signal.SIGKILL)
