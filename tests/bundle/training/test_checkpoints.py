"""Weights and checkpoints that a training leaves, also on a full disk."""

import resource

import pytest
import torch

from lunet_networks.bundle.runtime.errors import root_cause


def test_best_last_and_kept_weights_are_plain_state_dicts(bundle):
    bundle.train(epochs=4, save_interval=2)
    assert sorted(path.name for path in bundle.model.parent.iterdir()) == ["model.pt"]
    rows = bundle.history()
    best = max(rows, key=lambda row: float(row["val_mean_dice"]))
    assert [path.name for path in sorted(bundle.eval.glob("model_epoch*"))] == [
        "model_epoch0002.pt",
        "model_epoch0004.pt",
    ]
    last = torch.load(bundle.eval / "model_epoch0004.pt", weights_only=True)
    model = torch.load(bundle.model, weights_only=True)
    assert model.keys() == last.keys() == bundle.weights().keys()
    assert all(torch.equal(last[name], value) for name, value in bundle.weights().items())
    assert all(torch.equal(last[name], value) for name, value in model.items()) == (best["epoch"] == "4")


def test_an_older_model_is_kept_aside_once(bundle):
    bundle.model.parent.mkdir()
    bundle.model.write_bytes(b"somebody's")
    bundle.train(epochs=1)
    assert [path.read_bytes() for path in bundle.eval.glob("model_before_*.pt")] == [b"somebody's"]
    model = bundle.model.read_bytes()
    bundle.train(epochs=2, resume=True)
    assert len(list(bundle.eval.glob("model_before_*.pt"))) == 1
    bundle.train(epochs=1, overwrite=True)
    kept = {path.read_bytes() for path in bundle.eval.glob("model_before_*.pt")}
    assert b"somebody's" in kept
    assert len(kept) == 2
    assert bundle.model.read_bytes() == model


def test_a_copy_of_an_older_model_replaces_no_other(bundle):
    """Also where the first of two was deleted."""
    bundle.eval.mkdir(parents=True)
    (bundle.eval / "model_before_2.pt").write_bytes(b"the second")
    bundle.model.parent.mkdir()
    bundle.model.write_bytes(b"the third")
    bundle.train(epochs=1)
    kept = {path.name: path.read_bytes() for path in bundle.eval.glob("model_before_*.pt")}
    assert kept == {"model_before_2.pt": b"the second", "model_before_3.pt": b"the third"}


def test_a_full_disk_while_a_checkpoint_is_written(bundle):
    bundle.train(epochs=1)
    before = {path: path.read_bytes() for path in (bundle.checkpoint, bundle.model)}
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))  # too little for weights
    try:
        with pytest.raises(RuntimeError) as caught:
            bundle.train(epochs=2, resume=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert {path: path.read_bytes() for path in before} == before
    assert not list(bundle.root.rglob("*.tmp"))
    assert any(f"cannot write {path}" in str(cause) for path in before for cause in causes(caught.value))


def test_a_damaged_checkpoint(bundle):
    bundle.train(epochs=1)
    bundle.checkpoint.write_bytes(bundle.checkpoint.read_bytes()[:1000])
    with pytest.raises(RuntimeError) as caught:
        bundle.train(epochs=2, resume=True)
    assert any(
        f"{bundle.checkpoint} cannot be resumed" in str(cause) and "--overwrite True" in str(cause)
        for cause in causes(caught.value)
    )


def test_without_a_validation_the_newest_weights_are_the_model(bundle):
    bundle.train(epochs=2, val_interval=3)
    model = torch.load(bundle.model, weights_only=True)
    assert all(torch.equal(model[name], value) for name, value in bundle.weights().items())
    assert [row["val_mean_dice"] for row in bundle.history()] == ["", ""]


def causes(error: BaseException) -> list[BaseException]:
    """An error and all that it was raised from."""
    chain = [error]
    while chain[-1] is not root_cause(error):
        chain.append(chain[-1].__cause__)
    return chain
