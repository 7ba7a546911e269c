"""Every bundle of the repository works for every consumer, and its family trains and labels."""

import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser
from PIL import Image

from lunet_networks.authoring.checking.bundle import Bundle
from lunet_networks.authoring.checking.networks import check_weights
from lunet_networks.authoring.checking.verify import find_faults
from lunet_networks.authoring.planning.families import FAMILIES
from lunet_networks.authoring.samples.get_data import nuclei
from lunet_networks.bundle.report.summaries import read_rows
from lunet_networks.bundle.training import SegmentationLoss
from tests.helpers.runnable import LPS_THICK_SLICES, bright_block, save_image
from tests.helpers.running import run_bundle

FOLDER = Path(__file__).parents[1] / "bundles"
BUNDLES = sorted(path.parents[1].name for path in FOLDER.glob("*/configs/metadata.json"))
# The small bundle, where there is one, stands for its architecture: the large ones differ by their numbers of channels.
SMALL_LAST = sorted(BUNDLES, key=lambda name: name.endswith("_small"))
ARCHITECTURES = {name.partition("_")[0]: name for name in SMALL_LAST if not FAMILIES[name].colours}
OF_PICTURES = [name for name in BUNDLES if FAMILIES[name].colours]
AS_OTHERS = ("unext", "malunet")  # nothing in their configs but values differs from those of the others
SHAPE = (37, 29, 15)


def test_every_family_has_a_bundle() -> None:
    assert set(BUNDLES) == set(FAMILIES)


@pytest.mark.parametrize("name", BUNDLES)
def test_it_passes_the_checks_of_every_consumer(name: str) -> None:
    assert [str(fault) for faults in find_faults(FOLDER / name).values() for fault in faults] == []


@pytest.mark.parametrize("name", ARCHITECTURES.values())
@pytest.mark.usefixtures("one_thread")
def test_it_trains_evaluates_and_labels(name: str, tiny_dataset: Path, tmp_path: Path) -> None:
    bundle = shutil.copytree(FOLDER / name, tmp_path / name, ignore=shutil.ignore_patterns("eval", "runs", "models"))
    training = {"dataset_dir": str(tiny_dataset), "num_folds": 2, "roi_size": [32, 32, 32]}

    run_bundle(bundle, "train", **training, epochs=1, batch_size=2)
    assert len(read_rows(bundle / "eval" / "history.csv")) == 1
    assert (bundle / "models" / "model.pt").is_file()
    assert not list(check_weights(Bundle(bundle)))

    run_bundle(bundle, "train", "evaluate", "visualize", **training)
    cases = read_rows(bundle / "eval" / "cases.csv")
    assert len({row["case"] for row in cases}) == 3
    assert {row["label"] for row in cases} == {"anterior", "posterior", "whole"}
    assert (bundle / "eval" / "report.html").is_file()

    image = save_image(tmp_path / "images" / "case.nii.gz", bright_block(SHAPE), LPS_THICK_SLICES)
    places = {"dataset_dir": str(image), "output_dir": str(tmp_path / "labels")}
    run_bundle(bundle, "inference", **places, roi_size=[32, 32, 32])
    labels = nib.load(tmp_path / "labels" / "case_seg.nii.gz")
    assert labels.shape == SHAPE
    np.testing.assert_allclose(labels.affine, LPS_THICK_SLICES, atol=1e-5)
    assert set(np.unique(np.asarray(labels.dataobj))) <= {0, 1, 2}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow if name in AS_OTHERS else ()) for name in OF_PICTURES]
)
@pytest.mark.usefixtures("one_thread")
def test_it_trains_evaluates_and_labels_pictures(name: str, tmp_path: Path) -> None:
    bundle = shutil.copytree(FOLDER / name, tmp_path / name, ignore=shutil.ignore_patterns("eval", "models"))
    nuclei(str(tmp_path / "nuclei"))
    training = {"dataset_dir": str(tmp_path / "nuclei")}

    run_bundle(bundle, "train", **training, epochs=1)
    assert not list(check_weights(Bundle(bundle)))
    run_bundle(bundle, "train", "evaluate", "visualize", **training)
    cases = read_rows(bundle / "eval" / "cases.csv")
    assert {row["case"] for row in cases} == {f"nuclei_r3c{n}" for n in range(4)}
    assert all(0 <= float(row["iou"]) <= float(row["accuracy"]) <= 1 for row in cases)
    assert {"iou", "accuracy"} < {row["metric"] for row in read_rows(bundle / "eval" / "summary.csv")}

    places = {"dataset_dir": str(tmp_path / "nuclei" / "images"), "output_dir": str(tmp_path / "labels")}
    run_bundle(bundle, "inference", **places)
    masks = [Image.open(path) for path in (tmp_path / "labels").glob("*.png")]
    assert [mask.size for mask in masks] == [(128, 128)] * 16
    assert all(set(np.unique(np.asarray(mask))) <= {0, 255} for mask in masks)


def test_the_masks_of_ege_unet_count_in_its_loss_as_published() -> None:
    parser = ConfigParser()
    parser.read_config(FOLDER / "ege_unet" / "configs" / "train.json")
    loss = parser.get_parsed_content("train#loss")
    outputs, label = [*torch.randn(6, 2, 1, 32, 32)], torch.randint(0, 2, (2, 1, 32, 32)).float()
    single = SegmentationLoss("dice_bce", out_channels=1)
    output, m5, m4, m3, m2, m1 = (single(each, label) for each in outputs)
    torch.testing.assert_close(loss(outputs, label), output + 0.1 * m5 + 0.2 * m4 + 0.3 * m3 + 0.4 * m2 + 0.5 * m1)
    torch.testing.assert_close(loss(outputs[0], label), output)
