"""Trainings from data to weights, and what users can do wrong; each through the bundle's own train.json."""

import json
import os
import shutil
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser
from monai.fl.client import MonaiAlgo
from monai.fl.utils.constants import ExtraItems
from monai.fl.utils.exchange_object import ExchangeObject

from lunet_networks import create_network
from lunet_networks.authoring.planning.bundle_files import bundle_files
from lunet_networks.bundle.data.datalist import load_datalist
from lunet_networks.bundle.runtime.errors import root_cause
from lunet_networks.kernels.library import library
from tests.helpers.running import run_bundle
from tools.build_bundles import repository_settings


def test_what_a_training_leaves(bundle):
    bundle.train(epochs=2)
    assert sorted(path.name for path in bundle.eval.iterdir()) == [
        *("checkpoint.pt", "curves.png", "history.csv", "run.json", "tensorboard")
    ]
    rows = bundle.history()
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert all(
        0 <= float(row[name]) <= 1 for row in rows for name in ("train_mean_dice", "val_anterior", "val_posterior")
    )
    assert float(rows[1]["loss"]) < float(rows[0]["loss"])
    assert (bundle.eval / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert list((bundle.eval / "tensorboard").glob("events.*"))
    network = create_network("lunet_small_4f", in_channels=1, out_channels=3, dropout=0.005)
    network.load_state_dict(torch.load(bundle.model, weights_only=True))


@pytest.mark.skipif(library() is None, reason="no C++ compiler")
def test_kernels_can_be_left_out(bundle):
    results = {}
    for kernels in ("off", "auto"):  # in this order: it leaves them on for other tests
        with torch.profiler.profile() as profile:
            bundle.train(epochs=1, overwrite=True, kernels=kernels)
        names = {event.key for event in profile.key_averages() if event.key.startswith("lunet::")}
        record = json.loads((bundle.eval / "run.json").read_text())
        results[kernels] = names, record["kernels"], float(bundle.history()[0]["loss"])
    assert results["off"][:2] == (set(), None)
    assert {"lunet::train_unit", "lunet::loss_sums", "lunet::agreement"} <= results["auto"][0]
    assert results["auto"][1]["instructions"] == torch.backends.cpu.get_cpu_capability()
    assert results["off"][2] == pytest.approx(results["auto"][2], rel=1e-2)


@pytest.mark.skipif(library() is None, reason="no C++ compiler")
def test_on_kernels_a_resumed_training_ends_with_the_same_bits_on_any_number_of_threads(bundle, new_bundle):
    threads, other = torch.get_num_threads(), new_bundle("other")
    try:
        torch.set_num_threads(1)
        bundle.train(epochs=4, batch_size=3, scheduler_name="none")
        torch.set_num_threads(3)
        other.train(epochs=2, batch_size=3, scheduler_name="none")
        other.train(epochs=4, batch_size=3, scheduler_name="none", resume=True)
    finally:
        torch.set_num_threads(threads)
    once, resumed = (torch.load(each.checkpoint, weights_only=True) for each in (bundle, other))
    assert _bits(once["network"]) == _bits(resumed["network"])
    assert _bits(once["optimizer"]) == _bits(resumed["optimizer"])
    assert json.loads((other.eval / "run.json").read_text())["kernels"]
    for rows in zip(bundle.history(), other.history(), strict=True):
        assert {**rows[0], "seconds": ""} == {**rows[1], "seconds": ""}


def _bits(state: object) -> object:
    """A state whose tensors are compared bit for bit."""
    if isinstance(state, torch.Tensor):
        return state.numpy().tobytes()
    if isinstance(state, dict):
        return {key: _bits(value) for key, value in state.items()}
    return [_bits(value) for value in state] if isinstance(state, list) else state


def test_parsing_and_initialising_touch_nothing(bundle):
    workflow = bundle.workflow(dataset_dir="nowhere")
    assert workflow.dataset_dir == "nowhere"
    assert not bundle.eval.exists()
    assert not bundle.model.parent.exists()


def test_required_properties(bundle):
    assert bundle.workflow().check_properties() == []


@pytest.mark.parametrize(
    "settings",
    [
        {"batch_size": 16},  # more than there are cases
        {"batch_size": 2},  # the last batch is one volume
        {"roi_size": [32, 16, 16], "batch_size": 3},  # smaller than the volumes
        {"roi_size": [48, 48, 48]},  # larger than the volumes
        {"augment": "false", "cache_rate": 0.0},
        {"loss_name": "dice", "optimizer_name": "adamw", "scheduler_name": "cosine"},
        {"preset": "unet_small_1f", "pixdim": [1.5, 1.5, 1.5]},
    ],
    ids=str,
)
def test_every_epoch_trains_on_every_case(bundle, settings):
    workflow = bundle.workflow(epochs=1, **settings)
    seen = []
    loss = workflow.parser.get_parsed_content("train#loss")
    loss.register_forward_hook(lambda module, inputs, output: seen.append(len(inputs[0])))
    workflow.run()
    assert sum(seen) == 3
    assert len(bundle.history()) == 1


def test_a_single_label_is_trained_with_one_output(bundle, tmp_path):
    for path, text in bundle_files({**repository_settings("lunet_small"), "label_names": ["hippocampus"]}).items():
        (bundle.root / path).write_text(text, encoding="utf-8")
    bundle.dataset_dir = with_edited_data(bundle.dataset_dir, tmp_path, lambda label: (label > 0).astype(np.uint8))
    description = json.loads((bundle.dataset_dir / "dataset.json").read_text())
    description["labels"] = {"0": "background", "1": "hippocampus"}
    (bundle.dataset_dir / "dataset.json").write_text(json.dumps(description))
    bundle.train(epochs=1)
    assert set(bundle.history()[0]) >= {"val_mean_dice", "val_hippocampus"}
    assert torch.load(bundle.model, weights_only=True)["head.weight"].shape[0] == 1


def test_labels_take_the_value_of_the_nearest_voxel(bundle, tmp_path):
    bundle.dataset_dir = with_edited_data(bundle.dataset_dir, tmp_path, lambda label: 2 * (label > 0).astype(np.uint8))
    parser = bundle.workflow(pixdim=[0.7, 1.3, 1.0]).parser
    (case, *_), augmented = (parser.get_parsed_content(f"train#{name}") for name in ("dataset#data", "preprocessing"))
    validated = parser.get_parsed_content("validate#preprocessing")(case)
    items = [validated, *(augmented.set_random_state(seed)(case)[0] for seed in range(5))]
    assert validated["label"].shape != nibabel.load(case["label"]).shape
    for item in items:
        assert set(item["label"].unique().tolist()) == {0, 2}  # between neighbours there would be 1, or fractions
    assert len(validated["image"].unique()) > len(np.unique(nibabel.load(case["image"]).dataobj))


def test_pretrained_weights_are_the_start(bundle, new_bundle):
    bundle.train(epochs=1)
    other = new_bundle("other")
    other.train(epochs=1, pretrained=str(bundle.model), learning_rate=1e-12)
    start, end = torch.load(bundle.model, weights_only=True), other.weights()
    assert torch.allclose(start["head.weight"], end["head.weight"])


def test_a_loss_that_is_no_number_stops_the_training(bundle):
    workflow = bundle.workflow()
    loss = workflow.parser.get_parsed_content("train#loss")
    loss.register_forward_hook(lambda module, inputs, output: output * float("nan"))
    with pytest.raises(RuntimeError) as caught:
        workflow.run()
    assert "the loss is nan in epoch 1: try a lower learning_rate" in str(root_cause(caught.value))
    assert not bundle.model.exists()


def test_monai_label_trains_on_lists_of_its_own(bundle, tiny_dataset):
    bundle.train(epochs=1)
    own = bundle.checkpoint.read_bytes()
    handlers = ConfigParser.load_config_file(bundle.root / "configs" / "train.json")["train"]["handlers"]
    loader = {
        "_target_": "CheckpointLoader",
        "load_path": str(bundle.model),
        "load_dict": {"model": "$@network"},
        "strict": False,
    }
    bundle.train(
        **{
            "dataset_dir": "nowhere",
            "train#dataset#data": list(load_datalist(tiny_dataset, "training")),
            "validate#dataset#data": [],
            "train#trainer#max_epochs": 1,
            "train#handlers": [loader, *handlers],
            "run_id": "",  # from 3D Slicer, and means all that the config holds
        }
    )
    assert (bundle.eval / "set_aside_1" / "checkpoint.pt").read_bytes() == own
    assert list(bundle.eval.glob("model_before_*.pt"))
    assert [row["val_mean_dice"] for row in bundle.history()] == [""]


def test_a_federated_client_trains_round_after_round(bundle):
    bundle.train(epochs=1)
    client = MonaiAlgo(
        bundle_root=str(bundle.root),
        local_epochs=1,
        train_kwargs=bundle.settings(),
        config_evaluate_filename=None,
    )
    client.initialize({ExtraItems.CLIENT_NAME: "clinic", ExtraItems.APP_ROOT: ""})
    weights = client.trainer.network.state_dict()
    for _ in range(2):
        client.train(ExchangeObject(weights={name: value.numpy() for name, value in weights.items()}))
        weights = client.trainer.network.state_dict()
    rows = bundle.history()
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert all(float(row["learning_rate"]) > 0 for row in rows)
    assert (bundle.eval / "set_aside_1" / "checkpoint.pt").is_file()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"loss_name": "focal"}, "loss_name is 'focal': it has to be one of dice, bce, dice_bce"),
        ({"scheduler_name": "plateau"}, "scheduler_name is 'plateau': it has to be one of none, cosine, step, poly"),
        ({"optimizer_name": "lion"}, "optimizer_name is 'lion': it has to be one of adam, adamw"),
        ({"resume": "yes"}, "resume is 'yes': it has to be True or False"),
        ({"overwrite": 1}, "overwrite is 1: it has to be True or False"),
        ({"epochs": 0}, "epochs is 0: it has to be a whole number of at least 1"),
        ({"preset": "lunet_smal_4f"}, "there is no preset 'lunet_smal_4f': did you mean lunet_small_4f"),
        ({"dataset_dir": "nowhere"}, "nowhere"),
        ({"fold": 2}, "fold is 2: with num_folds 2 it has to be from 0 to 1"),
        ({"in_channels": 2}, "in_channels is 2, but the bundle was made for images of 1 channel: make another bundle"),
        ({"label_names": ["one"]}, "the bundle was made for 2 labels; other names can be given, but not more or fewer"),
        ({"roi_size": [32, 32]}, "roi_size is [32, 32]: it has to be one number, or 3, one for each axis"),
        ({"roi_size": 40}, "roi_size is 40: this network takes multiples of 16, such as [48, 48, 48]"),
        ({"roi_size": [20, 32, 32]}, "this network takes multiples of 16, such as [32, 32, 32]"),
        ({"roi_size": "32"}, "roi_size is '32': it has to be a whole number of at least 1"),
        ({"pixdim": [2, 2]}, "pixdim is [2.0, 2.0]: it has to be one number, or 3, one for each axis"),
        ({"pixdim": 0}, "pixdim is 0: it has to be a number above 0"),
        ({"pretrained": "nowhere.pt"}, "there are no weights at nowhere.pt"),
    ],
    ids=str,
)
def test_wrong_settings_end_a_run_before_it_leaves_anything(bundle, settings, message):
    with pytest.raises(RuntimeError) as caught:
        bundle.train(**settings)
    assert message in str(root_cause(caught.value))
    assert not bundle.eval.exists()
    assert not bundle.model.parent.exists()


def test_paths_and_numbers_as_people_write_them(bundle, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache"))  # of kernels
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "my #1 data").symlink_to(bundle.dataset_dir)
    bundle.dataset_dir = "~/my #1 data"
    bundle.train(epochs=1, output_dir="~/run#3", ckpt_dir="~/run#3/models", learning_rate="1e-3", dropout="1e-2")
    assert sorted(path.name for path in (tmp_path / "run#3").iterdir()) == [
        *("checkpoint.pt", "curves.png", "history.csv", "models", "run.json", "tensorboard")
    ]
    monkeypatch.chdir(tmp_path)
    first = str(tmp_path / "run#3" / "models" / "model.pt")
    bundle.train(epochs=1, output_dir=2026, pretrained=first, pixdim=1, roi_size=32, ckpt_dir=Path("models_of_2026"))
    assert (tmp_path / "2026" / "history.csv").is_file()
    assert (tmp_path / "models_of_2026" / "model.pt").is_file()
    run_bundle(
        bundle.root, "train", "evaluate", **bundle.settings(output_dir=2026, pixdim=1, ckpt_dir=Path("models_of_2026"))
    )
    assert (tmp_path / "2026" / "summary.csv").is_file()
    image = next((tmp_path / "my #1 data" / "imagesTr").iterdir())
    places = {"dataset_dir": f"~/my #1 data/imagesTr/{image.name}", "output_dir": "~/labels #1"}
    run_bundle(bundle.root, "inference", ckpt_dir="~/run#3/models", **places)
    assert len(list((tmp_path / "labels #1").glob("*.nii.gz"))) == 1


def test_output_of_another_run(bundle):
    bundle.train(epochs=1)
    model = bundle.model.read_bytes()
    with pytest.raises(RuntimeError) as caught:
        bundle.train(epochs=1)
    assert "holds the output of another training" in str(root_cause(caught.value))
    with pytest.raises(RuntimeError) as caught:
        bundle.train(epochs=1, resume=True, preset="lunet_small_2f")
    assert "preset: 'lunet_small_4f' then, 'lunet_small_2f' now" in str(root_cause(caught.value))
    assert bundle.model.read_bytes() == model


def test_a_missing_file_of_the_dataset(bundle, tmp_path):
    bundle.dataset_dir = shutil.copytree(bundle.dataset_dir, tmp_path / "copy")
    next(bundle.dataset_dir.glob("labelsTr/*")).unlink()
    with pytest.raises(RuntimeError) as caught:
        bundle.train()
    assert "1 of 12 files are missing" in str(root_cause(caught.value))


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda image: image[1:], "they have to be equal"),
        (lambda image: np.full_like(image, 7), "has a channel with the value 7 only"),
        (
            lambda image: np.where(image == image.max(), np.nan, image.astype(np.float32)),
            "holds nan or infinite values",
        ),
    ],
    ids=["another shape", "constant", "nan"],
)
def test_images_that_cannot_be_used(bundle, tmp_path, edit, message):
    bundle.dataset_dir = with_edited_data(bundle.dataset_dir, tmp_path, edit, "image")
    with pytest.raises(RuntimeError) as caught:
        bundle.train()
    assert message in str(root_cause(caught.value))
    assert not bundle.eval.exists()


def with_edited_data(dataset_dir, tmp_path, edit, key="label"):
    """A copy of a dataset with every image or label changed."""
    copy = shutil.copytree(dataset_dir, tmp_path / "edited")
    description = json.loads((copy / "dataset.json").read_text())
    for case in description["training"]:
        volume = nibabel.load(copy / case[key])
        changed = nibabel.Nifti1Image(edit(np.asarray(volume.dataobj)), volume.affine)
        nibabel.save(changed, copy / case[key])
    return copy
