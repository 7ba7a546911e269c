"""The Spacingd that MONAI Label can use, and whether MONAI's own can do without it by now."""

import monai
import nibabel as nib
import numpy as np
import pytest
import torch
from monai.transforms import Compose, EnsureChannelFirstd, Invertd, LoadImaged
from monai.transforms import Spacingd as MonaiSpacingd

from lunet_networks.bundle.data.resampling import Spacingd

LAST_BIT = 2**-24  # of a float32 between 0.5 and 1, as the largest are here


@pytest.fixture
def label_request(tmp_path):
    """An image as MONAI Label hands it to the preprocessing: with its path as a str beside it."""
    path = str(tmp_path / "case.nii.gz")
    volume = np.random.default_rng(0).random((9, 8, 7), dtype=np.float32)
    nib.save(nib.Nifti1Image(volume, np.diag([1, 1.5, 2, 1])), path)
    data = {"image": path, "image_path": path, "image_meta_dict": {}, "device": "cpu"}
    return Compose([LoadImaged("image"), EnsureChannelFirstd("image")])(data)


def test_the_path_and_everything_else_is_left_alone(label_request):
    resampled = Spacingd("image", pixdim=(1, 1, 1))(label_request)
    assert resampled["image"].shape == (1, 9, 12, 13)
    assert resampled["image_path"] == label_request["image_path"]
    assert resampled["device"] == "cpu"
    np.testing.assert_allclose(resampled["image_meta_dict"]["affine"], np.eye(4))  # what MONAI updates, it still does


def test_the_values_are_those_of_monai(label_request):
    resampled = Spacingd("image", pixdim=(0.7, 1, 1))(label_request)["image"]
    label_request.pop("image_path")
    of_monai = MonaiSpacingd("image", pixdim=(0.7, 1, 1))(label_request)["image"]
    torch.testing.assert_close(resampled, of_monai, rtol=0, atol=LAST_BIT)


def test_invertd_restores_the_grid(label_request):
    preprocessing = Compose([Spacingd("image", pixdim=(1, 1, 1))])
    case = preprocessing(label_request)
    case["pred"] = case["image"].clone()
    inverted = Invertd("pred", preprocessing, orig_keys="image")(case)["pred"]
    assert inverted.shape == label_request["image"].shape
    np.testing.assert_allclose(inverted.affine, label_request["image"].affine, atol=1e-6)


def test_other_images_of_a_similar_name_are_resampled():
    images = {name: torch.zeros(1, 4, 4, 4) for name in ("image", "image_late")}
    resampled = Spacingd(["image", "image_late"], pixdim=(0.5, 0.5, 0.5))(images)
    assert {tuple(image.shape) for image in resampled.values()} == {(1, 7, 7, 7)}


def test_monai_still_needs_it(label_request):
    try:
        MonaiSpacingd("image", pixdim=(1, 1, 1))(label_request)
    except AttributeError:
        return
    pytest.fail(
        f"the Spacingd of MONAI {monai.__version__} leaves image_path alone: raise the lowest MONAI version in "
        "pyproject.toml to the first that does and remove Spacingd.__call__ from lunet_networks.bundle.data.resampling"
    )
