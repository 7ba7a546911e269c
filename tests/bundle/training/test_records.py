"""A record says which weights it is of, also while these are being written."""

import json

import pytest
import torch

from lunet_networks.bundle.training.checkpoints import save_atomically
from lunet_networks.bundle.training.records import check_model, is_model_of, note_weights, read_record
from lunet_networks.state_dicts import weights_digest

FIRST, SECOND, THIRD = ({"weight": torch.full((2,), float(number))} for number in range(3))


@pytest.fixture
def record(tmp_path):
    """The path of the record of a training that has written nothing."""
    content = {"weights": None, "settings": {}, "cases": {"training": [], "validation": []}}
    (tmp_path / "run.json").write_text(json.dumps(content))
    return tmp_path / "run.json"


@pytest.fixture
def fits(tmp_path, record):
    """Whether a model.pt with these weights is that of the record."""

    def fits(weights) -> bool:
        save_atomically(weights, tmp_path / "model.pt")
        return is_model_of(tmp_path / "model.pt", read_record(record))

    return fits


def test_weights_are_told_apart_also_between_the_two_writes(record, fits):
    assert not fits(FIRST), "no model.pt was written by this training"
    note_weights(record.parent, FIRST, 1)
    assert fits(FIRST)
    note_weights(record.parent, SECOND, 3)
    assert read_record(record)["weights"] == {
        "sha256": weights_digest(SECOND),
        "epoch": 3,
        "before": weights_digest(FIRST),
    }
    assert fits(FIRST), "a process that is killed now leaves this one"
    assert fits(SECOND)
    assert not fits(THIRD)
    note_weights(record.parent, THIRD, 4)
    assert not fits(FIRST)


def test_the_same_weights_again_change_nothing(record):
    note_weights(record.parent, FIRST, 1)
    note_weights(record.parent, SECOND, 2)
    before = record.read_bytes()
    note_weights(record.parent, SECOND, 2)
    assert record.read_bytes() == before


def test_a_record_of_an_older_version_is_that_of_any_weights(record, fits):
    content = read_record(record)
    del content["weights"]
    record.write_text(json.dumps(content))
    assert fits(FIRST)
    record.unlink()
    note_weights(record.parent, FIRST, 1)
    assert not record.exists()


def test_the_refusal_names_both_files(record, fits, tmp_path):
    fits(FIRST)
    model = tmp_path / "model.pt"
    with pytest.raises(ValueError, match=r"model\.pt is not .*run\.json \(which has not written one yet\)"):
        check_model(model, record, read_record(record), "train again")
    note_weights(tmp_path, SECOND, 3)
    with pytest.raises(ValueError, match=r"run\.json \(epoch 3\): another training wrote it; train again"):
        check_model(model, record, read_record(record), "train again")
