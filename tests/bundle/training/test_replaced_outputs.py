"""Two trainings and one folder: what a real process sees that comes second, or that is killed."""

import json
import subprocess
import time

import pytest
import torch

from lunet_networks.bundle.runtime.errors import root_cause
from lunet_networks.state_dicts import read_state_dict, weights_digest


@pytest.fixture
def endless():
    """Settings with which a training does not end by itself."""
    return {"epochs": 10_000, "scheduler_name": "none", "augment": False}


def wait_for(process: subprocess.Popen, condition) -> None:
    while not condition():
        assert process.poll() is None, "it ended by itself"
        time.sleep(0.01)


def test_a_second_training_ends_at_once_and_changes_nothing(bundle, endless):
    first = bundle.start(**endless)
    try:
        wait_for(first, bundle.checkpoint.is_file)
        with open(bundle.errors, "w") as stderr:
            second = bundle._start([], ["train"], {**endless, "overwrite": True}, stderr=stderr)
        assert second.wait() == 1
        assert (
            bundle.errors.read_text()
            .splitlines()[-1]
            .startswith(f"error: {bundle.eval} is written by another training (process {first.pid} on ")
        )
        other = {"output_dir": str(bundle.root / "other"), "ckpt_dir": str(bundle.root / "models")}
        with pytest.raises(RuntimeError) as caught:
            bundle.train(**endless, **other)
        assert "choose another folder with --ckpt_dir" in str(root_cause(caught.value))
        assert not (bundle.root / "other").exists()
        assert first.poll() is None
    finally:
        first.kill()
        first.wait()
    epochs = torch.load(bundle.checkpoint, weights_only=True)["epoch"]
    settings = {**endless, "epochs": epochs + 1}
    bundle.train(**settings, resume=True)
    record = json.loads((bundle.eval / "run.json").read_text())
    assert record["weights"]["sha256"] == weights_digest(read_state_dict(bundle.model))


def test_a_kill_before_the_first_checkpoint_loses_nothing(bundle):
    bundle.train(epochs=1)
    history, weights = bundle.history(), bundle.weights()
    process = bundle.start(epochs=1, overwrite=True, seed=7)
    wait_for(process, (bundle.eval / ".replaced").is_dir)
    process.kill()
    process.wait()
    assert not bundle.checkpoint.exists(), "killed too late for this test"
    bundle.train(epochs=1, resume=True)
    assert bundle.history() == history
    assert all(torch.equal(weights[name], tensor) for name, tensor in bundle.weights().items())
    assert not list(bundle.eval.glob(".*"))


def test_what_is_replaced_is_deleted_with_the_first_checkpoint(bundle, endless):
    bundle.train(epochs=1)
    process = bundle.start(**endless, overwrite=True, seed=7)
    wait_for(process, (bundle.eval / ".replaced").is_dir)
    wait_for(process, lambda: not (bundle.eval / ".replaced").exists())
    process.kill()
    process.wait()
    assert json.loads((bundle.eval / "run.json").read_text())["settings"]["seed"] == 7
    with pytest.raises(RuntimeError) as caught:
        bundle.train(epochs=2, resume=True)
    assert "seed: 7 then, 42 now" in str(root_cause(caught.value))
