"""Trainings whose validation cases lack labels: what is said, what chooses the best model, and that it is resumed."""

import json
import math
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch

from lunet_networks.bundle.data.datalist import load_datalist
from lunet_networks.bundle.report.summaries import read_rows
from lunet_networks.bundle.runtime.errors import root_cause
from tests.helpers.running import run_bundle
from tests.helpers.trainable import TrainableBundle, same_results


def without(labels: set[int], tiny_dataset: Path, folder: Path) -> Path:
    """A copy of the tiny dataset whose validation cases have none of these labels."""
    copy = shutil.copytree(tiny_dataset, folder)
    for case in load_datalist(copy, "validation", num_folds=2):
        label = nib.load(case["label"])
        values = np.asarray(label.dataobj)
        values = np.where(np.isin(values, list(labels)), 0, values).astype(np.uint8)
        nib.save(nib.Nifti1Image(values, label.affine), case["label"])
    return copy


@pytest.fixture
def one_absent(tiny_dataset, tmp_path):
    return without({2}, tiny_dataset, tmp_path / "data")


@pytest.fixture
def all_absent(tiny_dataset, tmp_path):
    return without({1, 2}, tiny_dataset, tmp_path / "data")


def test_a_label_that_no_validation_case_has_is_named_once(new_bundle, one_absent, caplog):
    caplog.set_level("INFO")
    bundle = new_bundle("bundle")
    bundle.dataset_dir = one_absent
    bundle.train(epochs=2)
    assert caplog.text.count("no validation case holds posterior: the best model is chosen by the other labels") == 1
    assert all(0 <= float(row["val_mean_dice"]) <= 1 for row in bundle.history())


def test_without_any_label_the_dice_in_training_chooses_the_best_model(new_bundle, all_absent, caplog):
    caplog.set_level("INFO")
    bundle, resumed = new_bundle("bundle"), new_bundle("resumed")
    bundle.dataset_dir = resumed.dataset_dir = all_absent
    settings = {"learning_rate": 0.03, "batch_size": 1, "scheduler_name": "none"}
    bundle.train(epochs=4, save_interval=1, **settings)
    said = "no validation case holds anterior or posterior: the best model is chosen by the mean Dice in training"
    assert caplog.text.count(said) == 1
    assert "validation - (" in caplog.text
    assert "validation 0.000" not in caplog.text
    rows = bundle.history()
    assert {row["val_mean_dice"] for row in rows} == {"nan"}
    dice = [float(row["train_mean_dice"]) for row in rows]
    best = 1 + dice.index(max(dice))
    model, of_best = (
        torch.load(path, weights_only=True) for path in (bundle.model, bundle.eval / f"model_epoch{best:04d}.pt")
    )
    assert all(torch.equal(model[name], value) for name, value in of_best.items())

    resumed.train(epochs=2, save_interval=1, **settings)
    resumed.train(epochs=4, save_interval=1, resume=True, **settings)
    assert same_results(resumed, bundle)

    run_bundle(bundle.root, "train", "evaluate", **bundle.settings())
    for row in read_rows(bundle.eval / "summary.csv"):
        if row["metric"] == "dice":
            assert row["mean"] in ("nan", "0"), "nothing, or false alarms"
            assert row["chose_best_model"] == "no"


def test_early_stop_counts_what_can_be_measured(new_bundle, all_absent):
    bundle = new_bundle("bundle")
    bundle.dataset_dir = all_absent
    bundle.train(epochs=6, early_stop_patience=1, learning_rate=1e-9, scheduler_name="none", augment=False, dropout=0)
    assert len(bundle.history()) < 6


@pytest.mark.parametrize("family", ["unet_small", "pspseg_small"])
def test_pruning(tmp_path, all_absent, one_thread, family):
    bundle = TrainableBundle(tmp_path / family, all_absent, family)
    settings = bundle.settings()
    if family == "unet_small":
        settings |= {"preset": "unet_small_1f", "max_steps": 1}
        del settings["epochs"]
    else:
        settings |= {"batch_size": 3, "network_def#channels": [2, 4, 4]}
    run_bundle(bundle.root, "train", "prune", **settings)
    pruned = bundle.root / "pruning" / f"{family}_pruned"
    assert (pruned / "models" / "model.pt").is_file()
    assert "has a mean Dice of - on the validation cases" in (pruned / "docs" / "README.md").read_text()
    if family == "unet_small":
        with pytest.raises(RuntimeError) as caught:
            run_bundle(bundle.root, "train", "prune", **settings, min_dice=0.5, overwrite=True)
        assert "min_dice is 0.5, but no validation case holds a label" in str(root_cause(caught.value))


def test_a_report_of_such_a_training(new_bundle, all_absent, tiny_dataset):
    """It is drawn of other cases, which have labels."""
    bundle = new_bundle("bundle")
    bundle.dataset_dir = all_absent
    description = json.loads((all_absent / "dataset.json").read_text())
    bundle.train(epochs=2)
    test = [{key: str(tiny_dataset / path) for key, path in case.items()} for case in description["training"][:1]]
    (all_absent / "dataset.json").write_text(json.dumps({**description, "test": test}))
    run_bundle(bundle.root, "train", "evaluate", "visualize", **bundle.settings())
    page = (bundle.eval / "report.html").read_text()
    assert "The best mean Dice in training was" in page
    assert "no validation case holds a label" in page
    assert not math.isnan(float(read_rows(bundle.eval / "history.csv")[0]["train_mean_dice"]))
