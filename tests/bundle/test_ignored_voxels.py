"""Voxels that nobody has annotated count neither in training, nor in validation, nor in evaluation.

The network marks the bright block. Truth holds a part of it, the rest is ignored: Dice is 1, or less if that counted.
"""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from lunet_networks.bundle.training import LabelDice, labels_of_batch
from tests.helpers.runnable import RunnableBundle, bright_block, dice, save_image, save_label

SHAPE, IGNORED = (24, 32, 20), 3


@pytest.fixture
def bundle(tmp_path: Path) -> RunnableBundle:
    return RunnableBundle(tmp_path / "lunet_small", ignore_label=IGNORED)


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    block = bright_block(SHAPE)
    label_map = block.astype(np.uint8)
    label_map[:, 12:] *= IGNORED
    assert dice(block, label_map == 1) < 0.75
    cases = []
    for name in "abc":
        save_image(tmp_path / "data" / f"{name}_image.nii.gz", block, np.eye(4))
        save_label(tmp_path / "data" / f"{name}_label.nii.gz", label_map, np.eye(4))
        cases.append({"image": f"{name}_image.nii.gz", "label": f"{name}_label.nii.gz"})
    labels = {"0": "background", "1": "anterior", "2": "posterior", str(IGNORED): "ignore"}
    description = {"labels": labels, "training": cases[:2], "validation": cases[2:]}
    (tmp_path / "data" / "dataset.json").write_text(json.dumps(description))
    return tmp_path / "data"


def test_dice_of_a_batch() -> None:
    logits = torch.zeros(1, 3, 1, 4)
    logits[:, 1, :, :3] = 1  # anterior three times, then background
    output = {"pred": logits, "label": torch.tensor([[[[1.0, 0.0, IGNORED, IGNORED]]]])}
    of_ignored, of_all = (
        LabelDice(num_values=3)(*labels_of_batch(output, ignore_label)) for ignore_label in (IGNORED, None)
    )
    assert of_ignored[0, 0].item() == pytest.approx(2 / 3)  # two voxels predicted, one of them right
    assert of_all[0, 0].item() == pytest.approx(1 / 2)


def test_dice_in_training(bundle: RunnableBundle, dataset: Path) -> None:
    settings = {"output_dir": str(bundle.root / "eval"), "pretrained": str(bundle.model), "epochs": 1}
    workflow = bundle.workflow(
        "train", dataset_dir=str(dataset), augment=False, learning_rate=1e-12, roi_size=list(SHAPE), **settings
    )
    workflow.run()
    with open(bundle.root / "eval" / "history.csv", newline="") as file:
        (row,) = csv.DictReader(file)
    assert float(row["train_mean_dice"]) == 1
    assert float(row["val_mean_dice"]) == 1


def test_dice_in_validation(bundle: RunnableBundle, dataset: Path) -> None:
    workflow = bundle.workflow("train", dataset_dir=str(dataset))
    workflow.parser.get_parsed_content("network").load_state_dict(torch.load(bundle.model, weights_only=True))
    evaluator = workflow.parser.get_parsed_content("validate#evaluator")
    evaluator.run()
    assert evaluator.state.metrics["val_mean_dice"] == 1


def test_dice_in_evaluation(bundle: RunnableBundle, dataset: Path) -> None:
    bundle.evaluate(dataset, bundle.root / "eval")
    with open(bundle.root / "eval" / "cases.csv", newline="") as file:
        found = {row["label"]: row for row in csv.DictReader(file)}
    assert float(found["anterior"]["dice"]) == 1
    assert found["anterior"]["volume_truth_mm3"] == found["anterior"]["volume_prediction_mm3"]


def test_no_patch_is_cut_around_them(bundle: RunnableBundle, dataset: Path) -> None:
    settings = {"roi_size": [1, 1, 1], "augment": False}
    parser = RunnableBundle(bundle.root.parent / "by_class", ignore_label=IGNORED, by_class=True).workflow(
        "train", dataset_dir=str(dataset), **settings
    )
    case = parser.parser.get_parsed_content("train#dataset#data")[0]
    preprocessing = parser.parser.get_parsed_content("train#preprocessing").set_random_state(0)
    drawn = [preprocessing(case)[0]["label"].item() for _ in range(40)]
    assert set(drawn) == {0, 1}
