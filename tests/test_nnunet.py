"""nnU-Net's own planner and our new-bundle read the same folder, and agree on what both decide; see
docs/from_nnunet.md. nnU-Net runs in the Python that NNUNET_PYTHON names.
"""

import json
from pathlib import Path

import numpy as np
import pytest

from lunet_networks.authoring.planning.new_bundle import new_bundle
from lunet_networks.authoring.samples.get_data import phantom
from lunet_networks.bundle.data.datalist import load_datalist
from tests.helpers.consumers import call, needs_python_with, python_with

PYTHON = python_with("nnunetv2", "NNUNET_PYTHON")
SHAPE = (40, 36, 44)
PLAN = "-d 77 -c 3d_fullres -npfp 1 -np 1 --verify_dataset_integrity"
pytestmark = [pytest.mark.slow, needs_python_with("nnunetv2", "NNUNET_PYTHON")]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of the Decathlon that nnU-Net has converted and planned."""
    folder = tmp_path_factory.mktemp("nnunet")
    task = folder / "Task77_Phantom"
    phantom(str(task), num_cases=6, difficulty="easy", shape=SHAPE, num_test=1)
    for name in ("raw", "preprocessed", "results"):
        (folder / name).mkdir()
    nnunet(folder, "convert_MSD_dataset", "-i", str(task), "-np", "1")
    nnunet(folder, "plan_and_preprocess", *PLAN.split())
    return folder / "raw" / "Dataset077_Phantom"


def nnunet(folder: Path, name: str, *words: str) -> str:
    """Run a command of nnU-Net."""
    places = {f"nnUNet_{place}": str(folder / place) for place in ("raw", "preprocessed", "results")}
    return call(PYTHON, str(Path(PYTHON).parent / f"nnUNetv2_{name}"), *words, folder=folder, path=(), **places)


def plans(dataset: Path) -> dict:
    folder = dataset.parents[1] / "preprocessed" / dataset.name
    return json.loads((folder / "nnUNetPlans.json").read_text())


def test_the_folder_is_read_as_nnunet_left_it(dataset: Path, tmp_path: Path) -> None:
    before = (dataset / "dataset.json").read_bytes()
    new_bundle("lunet_small", dataset_dir=str(dataset), output_dir=str(tmp_path / "mine"))
    assert (dataset / "dataset.json").read_bytes() == before
    assert not list(dataset.glob("dataset_before_*.json"))
    cases = load_datalist(str(dataset), "training", 0, 2) + load_datalist(str(dataset), "validation", 0, 2)
    files = [path.name for path in (dataset / "imagesTr").iterdir()]
    assert sorted(Path(case["image"]).name for case in cases) == sorted(files)
    assert all(name.endswith("_0000.nii.gz") for name in files)


def test_both_plan_the_same_spacing_and_patches_that_hold_the_same_volumes(dataset: Path, tmp_path: Path) -> None:
    new_bundle("lunet_small", dataset_dir=str(dataset), output_dir=str(tmp_path / "mine"))
    train = json.loads((tmp_path / "mine" / "configs" / "train.json").read_text())
    plan = plans(dataset)["configurations"]["3d_fullres"]
    order = np.argsort(plans(dataset)["transpose_forward"])[::-1]  # nnU-Net counts axes from the last, z y x
    np.testing.assert_allclose(train["pixdim"], np.array(plan["spacing"])[order])
    medians = np.array(plan["median_image_size_in_voxels"])[order]
    assert (np.array(train["roi_size"]) >= medians).all()
    assert (np.array(plan["patch_size"])[order] >= medians).all()
    assert plan["normalization_schemes"] == ["ZScoreNormalization"]
    labels = json.loads((dataset / "dataset.json").read_text())["labels"]
    assert train["label_names"] == [name for name, value in labels.items() if value]
