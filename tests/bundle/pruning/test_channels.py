"""Pruning as a workflow: what it leaves, that it ends where it should, and that a kill changes nothing."""

import os
import re
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser

from lunet_networks import create_network
from lunet_networks.authoring.checking.verify import find_faults
from lunet_networks.bundle.pruning.channels import PruningSchedule
from lunet_networks.bundle.report.summaries import read_rows
from lunet_networks.bundle.runtime.errors import root_cause
from lunet_networks.bundle.training.weights import read_weights
from lunet_networks.summary import count_macs, count_parameters
from tests.helpers.killing import Killed
from tests.helpers.running import run_bundle
from tests.helpers.trainable import TrainableBundle
from tools.build_bundles import repository_bundle

SETTINGS = {
    "preset": "unet_small_2f",
    "batch_size": 2,
    "roi_size": [32, 32, 32],
    "num_folds": 2,
    "max_steps": 2,
}
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def new_prunable(tmp_path, tiny_dataset):
    """Makes bundles that can be pruned on the tiny dataset, by name."""

    def make(name: str, family: str = "unet_small") -> Path:
        return TrainableBundle(tmp_path / name, tiny_dataset, family).root

    make.data = str(tiny_dataset)
    return make


@pytest.fixture
def prune(new_prunable):
    """Prunes a bundle; gives the folder of the run."""

    def run(root: Path, **settings) -> Path:
        run_bundle(root, "train", "prune", **{"dataset_dir": new_prunable.data, **SETTINGS, **settings})
        return root / "pruning"

    return run


def network_of(bundle: Path, config: str = "inference") -> torch.nn.Module:
    parser = ConfigParser(ConfigParser.load_config_file(bundle / "configs" / f"{config}.json"))
    return parser.get_parsed_content("network_def")


def test_the_result_is_a_bundle_for_everybody(new_prunable, prune, tmp_path):
    output = prune(new_prunable("unet_small"), start_epoch=2, recovery_epochs=2, channels_per_step=3)
    pruned = output / "unet_small_pruned"
    history = read_rows(output / "pruning_history.csv")
    assert [row["step"] for row in history] == ["0", "1", "1", "1", "2", "2", "2"]
    assert [row["epoch"] for row in history] == ["2"] * 4 + ["4"] * 3
    assert len(read_rows(output / "history.csv")) == 6
    assert (output / "pruning.png").read_bytes().startswith(b"\x89PNG")

    network = network_of(pruned)
    read_weights(network, pruned / "models" / "model.pt")
    assert count_parameters(network) == int(history[-1]["parameters"])
    assert count_macs(network, (1, 1, 32, 32, 32)) == int(history[-1]["macs"])
    full = create_network("unet_small_2f", in_channels=1, out_channels=3)
    assert count_parameters(full) == int(history[0]["parameters"])
    assert [str(fault) for faults in find_faults(pruned).values() for fault in faults] == []

    data = {"dataset_dir": new_prunable.data, "num_folds": 2, "roi_size": [32, 32, 32]}
    run_bundle(pruned, "train", "evaluate", **data)
    dice = [float(row["mean"]) for row in read_rows(pruned / "eval" / "summary.csv") if row["metric"] == "dice"][:2]
    # the evaluation measures on the voxels of the files, the training on those that it resamples to: the same here
    assert np.mean(dice) == pytest.approx(float(history[-1]["dice_after_recovery"]), abs=2e-2)
    images = sorted(Path(new_prunable.data, "imagesTr").iterdir())[:1]
    run_bundle(pruned, "inference", dataset_dir=str(images[0]), output_dir=str(tmp_path / "labels"), roi_size=[32] * 3)
    assert len(list((tmp_path / "labels").glob("*.nii.gz"))) == 1
    run_bundle(pruned, "train", **data, epochs=1, batch_size=2)
    read_weights(network, pruned / "models" / "model.pt")


def test_the_heads_of_deep_supervision_neither_count_nor_stay(new_prunable, prune):
    root = new_prunable("unet_small")
    output = prune(root, deep_supervision=True, max_steps=1, channels_per_step=3)
    pruned, (before, *_, after) = output / "unet_small_pruned", read_rows(output / "pruning_history.csv")
    assert int(before["parameters"]) == count_parameters(create_network("unet_small_2f", out_channels=3))
    network = network_of(pruned)
    read_weights(network, pruned / "models" / "model.pt")
    assert not network.deep_supervision
    assert int(after["parameters"]) == count_parameters(network)
    assert network_of(pruned, "train").deep_supervision  # its training goes on as before


def test_dropout_follows_the_ranks_or_stays(new_prunable, prune):
    targeted, plain = new_prunable("targeted"), new_prunable("plain")
    prune(targeted)
    prune(plain, targeted_dropout=False)
    units = {
        root: ConfigParser.load_config_file(root / "pruning/unet_small_pruned/configs/train.json")
        for root in (targeted, plain)
    }
    assert max(units[targeted]["dropout"].values()) == pytest.approx(0.1)
    assert min(units[targeted]["dropout"].values()) < 0.05
    assert set(units[plain]["dropout"].values()) == {0.005}
    network = network_of(targeted / "pruning" / "unet_small_pruned", "train")
    assert network.decoders[-1][0].adn.D.p == units[targeted]["dropout"]["decoders.3.0"]


@pytest.mark.parametrize("family", ["lunet_small", "unetpp_small"])
def test_other_families(family, new_prunable, prune):
    preset = family.replace("_small", "_small_2f")
    output = prune(new_prunable(family, family), preset=preset, selection="largest_layer", ranking="random")
    scores = [row["score"] for row in read_rows(output / "pruning_history.csv")[1:]]
    assert len(set(scores)) == len(scores) == 8  # every step draws anew
    read_weights(network_of(output / f"{family}_pruned"), output / f"{family}_pruned" / "models" / "model.pt")


def test_mednext_cannot_be_pruned():
    assert "configs/prune.json" not in repository_bundle("mednext_small")


def test_a_pruned_bundle_can_be_pruned_further(new_prunable, prune):
    root = new_prunable("unet_small")
    pruned = prune(root) / "unet_small_pruned"
    again = prune(pruned, preset=None, pretrained=str(pruned / "models" / "model.pt"))
    first, last = (read_rows(folder / "pruning_history.csv") for folder in (root / "pruning", again))
    assert last[0]["parameters"] == first[-1]["parameters"]
    assert int(last[-1]["parameters"]) < int(first[-1]["parameters"])


@pytest.mark.parametrize("target", ["target_params", "target_macs"])
def test_it_ends_when_the_target_is_reached_and_not_far_below_it(target, new_prunable, prune):
    network = create_network("unet_small_2f", in_channels=1, out_channels=3)
    cost = count_parameters(network) if target == "target_params" else count_macs(network, (1, 1, 32, 32, 32))
    root, settings = new_prunable(target), {target: cost - 1, "channels_per_step": 9, "max_steps": 5}
    output = prune(root, **settings)
    assert read_rows(output / "pruning_history.csv")[-1]["step"] == "1"
    assert len(read_rows(output / "history.csv")) == 2
    pruned = network_of(output / "unet_small_pruned")
    widths, left = (sum(each.describe()["conv_channels"].values()) for each in (network, pruned))
    assert left == widths - 1  # any channel is enough
    model = (output / "unet_small_pruned" / "models" / "model.pt").read_bytes()
    prune(root, **settings, resume=True)
    assert len(read_rows(output / "history.csv")) == 2
    assert (output / "unet_small_pruned" / "models" / "model.pt").read_bytes() == model


def test_a_last_step_may_take_all_channels_that_can_be_spared(new_prunable, prune):
    widths = create_network("unet_small_1f").describe()["conv_channels"]
    half, odd = divmod(sum(widths.values()) - len(widths), 2)
    assert not odd
    output = prune(new_prunable("unet_small"), preset="unet_small_1f", channels_per_step=half, max_steps=3)
    assert read_rows(output / "pruning_history.csv")[-1]["step"] == "2"
    assert set(network_of(output / "unet_small_pruned").describe()["conv_channels"].values()) == {1}


def test_below_min_dice_the_last_network_above_it_stays(new_prunable, prune):
    root = new_prunable("unet_small")
    learns_soon = {"preset": "unet_small_4f", "batch_size": 1, "dropout": 0.0, "augment": False}
    data = {"dataset_dir": new_prunable.data, "num_folds": 2, "roi_size": [32, 32, 32]}
    run_bundle(root, "train", **data, **learns_soon, epochs=12)
    trained = max(float(row["val_mean_dice"]) for row in read_rows(root / "eval" / "history.csv"))
    assert trained > 0.2
    nearly_all = {"channels_per_step": 340, "learning_rate": 1e-9, "max_steps": 1}
    weights = str(root / "models" / "model.pt")
    output = prune(root, **learns_soon, **nearly_all, pretrained=weights, min_dice=trained / 2, targeted_dropout=False)
    before, *after = read_rows(output / "pruning_history.csv")
    assert float(after[-1]["dice_after_recovery"]) < trained / 2 < float(before["dice_after_recovery"])
    pruned = output / "unet_small_pruned"
    assert len(read_rows(pruned / "docs" / "pruning_history.csv")) == 1
    read_weights(create_network("unet_small_4f", in_channels=1, out_channels=3), pruned / "models" / "model.pt")


def test_a_kill_anywhere_changes_nothing(new_prunable, prune, killed_before_write):
    uninterrupted, killed = new_prunable("uninterrupted"), new_prunable("killed")
    settings = {"channels_per_step": 2, "recovery_epochs": 1}
    written = killed_before_write(0)
    prune(uninterrupted, **settings)
    names = [os.path.basename(path) for path in written]
    first_step = [names.index(name) + 1 for name in ("pruning_history.csv", "LICENSE", "model.pt", "checkpoint.pt")]
    for number in (*first_step, first_step[-1] + 1, *first_step[:-1]):  # before there is a checkpoint, and after
        killed_before_write(number)
        with suppress(Killed):
            prune(killed, **settings, resume=True)
    killed_before_write(0)
    prune(killed, **settings, resume=True)
    names = sorted(path.relative_to(uninterrupted) for path in (uninterrupted / "pruning").rglob("*") if path.is_file())
    same = ("pruning_history.csv", "model.pt")
    assert sum(name.name in same for name in names) == 3
    for name in names:
        if name.name in same or (name.suffix == ".json" and name.name != "run.json"):
            assert (killed / name).read_bytes() == (uninterrupted / name).read_bytes(), name
    one, other = (torch.load(root / "pruning/checkpoint.pt", weights_only=True) for root in (uninterrupted, killed))
    assert one["description"] == other["description"]
    assert all(torch.equal(tensor, other["network"][name]) for name, tensor in one["network"].items())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"target_params": 10},
            r"target_params is 10, but with one channel in every convolution the network .* \d+",
        ),
        ({"target_macs": 10}, r"target_macs is 10, but"),
        ({"channels_per_step": 999}, r"channels_per_step is 999, but only \d+ channels can be removed"),
        ({"channels_per_step": 0}, r"channels_per_step is 0: it has to be a whole number of at least 1"),
        (
            {"min_dice": 0.99},
            r"the network has a mean Dice of 0\.\d+ before .*, below min_dice 0\.99: train",
        ),
        ({"ranking": "taylr"}, r"ranking is 'taylr': it has to be one of taylor, taylor_abs"),
        ({"selection": "widest"}, r"selection is 'widest': it has to be one of stamp"),
        ({"val_interval": 5}, r"epoch 1 ends a recovery and was not validated: val_interval has to be 1"),
    ],
)
def test_what_cannot_be(settings, message, new_prunable, prune):
    root = new_prunable("unet_small")
    with pytest.raises((RuntimeError, ValueError)) as caught:
        prune(root, **settings)
    assert re.search(message, str(root_cause(caught.value))), root_cause(caught.value)
    assert not (root / "pruning" / "unet_small_pruned" / "models" / "model.pt").exists()


def test_nothing_but_a_pruned_bundle_is_written_over(new_prunable, prune, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(RuntimeError) as caught:
        prune(new_prunable("unet_small"), pruned_dir=str(tmp_path / "mine"))
    assert "mine holds files that are not a pruned bundle" in str(root_cause(caught.value))
    assert os.listdir(tmp_path / "mine") == ["thesis.txt"]
    root = new_prunable("first")
    prune(root, max_steps=1, pruned_dir=str(tmp_path / "older"))
    model = (tmp_path / "older" / "models" / "model.pt").read_bytes()
    for unasked in ({}, {"resume": True}):  # there is nothing to resume
        with pytest.raises(RuntimeError) as caught:
            prune(root, output_dir=str(tmp_path / "other"), pruned_dir=str(tmp_path / "older"), **unasked)
        assert "older already holds a pruned bundle: replace it with --overwrite True" in str(root_cause(caught.value))
        assert (tmp_path / "older" / "models" / "model.pt").read_bytes() == model


def test_the_schedule():
    schedule = PruningSchedule(start_epoch=3, recovery_epochs=2, max_steps=2)
    assert [schedule.steps_done(epoch) for epoch in range(1, 8)] == [None, None, 0, None, 1, None, 2]
    assert schedule.epochs == 7
