"""Resampling along the axes, compared with MONAI's grid of all voxels, and the Spacingd that MONAI Label can use."""

import monai
import nibabel as nib
import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import Compose, EnsureChannelFirstd, Invertd, LoadImaged, Orientationd, SpatialResample
from monai.transforms import Spacingd as MonaiSpacingd

from lunet_networks.bundle.data.resampling import AxiswiseResample, Spacingd

LAST_BIT = 2**-24  # of a float32 between 0.5 and 1, as the largest are here


def turned(angle):
    """Turned about two axes, as a header in float32 tells it."""
    cos, sin = np.cos(angle), np.sin(angle)
    about_z, about_x = np.eye(4), np.eye(4)
    about_z[:2, :2] = about_x[1:3, 1:3] = [[cos, -sin], [sin, cos]]
    return (about_z @ about_x).astype(np.float32).astype(float)


GRIDS = {
    "along the axes": np.diag([-0.9, -0.9, 2.5, 1]),
    "permuted": np.eye(4)[[1, 2, 0, 3]] @ np.diag([1.2, 0.7, 1.6, 1]),
    "oblique": turned(0.4) @ np.diag([1.1, 0.8, 1.3, 1]),
}


def image_on(affine, shape=(23, 21, 17)):
    return MetaTensor(torch.rand(2, *shape, generator=torch.Generator().manual_seed(0)), affine=torch.as_tensor(affine))


def there_and_back(spacingd, affine):
    """An image of 1 mm and what Invertd makes of it."""
    transform = Compose([Orientationd("image", "RAS", labels=None), spacingd("image", (1, 1, 1), mode="bilinear")])
    case = transform({"image": image_on(affine)})
    case["pred"] = case["image"].clone()
    return case["image"], Invertd("pred", transform, orig_keys="image", nearest_interp=False)(case)["pred"]


@pytest.mark.parametrize("grid", GRIDS)
def test_it_is_what_monai_gives_there_and_back(grid):
    tolerance = 1e-5 if grid == "oblique" else LAST_BIT  # of float32 are the turns of its header
    for own, theirs in zip(
        there_and_back(Spacingd, GRIDS[grid]), there_and_back(MonaiSpacingd, GRIDS[grid]), strict=True
    ):
        torch.testing.assert_close(own.as_tensor(), theirs.as_tensor(), rtol=0, atol=tolerance)
        torch.testing.assert_close(own.affine, theirs.affine)
        assert len(own.applied_operations) == len(theirs.applied_operations)


def test_pictures():
    picture = MetaTensor(torch.rand(3, 40, 30), affine=torch.eye(3))
    arguments = {"dst_affine": torch.diag(torch.tensor([0.7, 1.9, 1])), "spatial_size": (57, 16)}
    own, theirs = AxiswiseResample()(picture, **arguments), SpatialResample()(picture, **arguments)
    torch.testing.assert_close(own.as_tensor(), theirs.as_tensor(), rtol=0, atol=LAST_BIT)


@pytest.mark.parametrize("settings", [{"mode": "nearest"}, {"padding_mode": "zeros"}, {"dst_affine": turned(0.3)}])
def test_what_is_not_linear_along_the_axes_is_left_to_monai(settings):
    image = image_on(np.diag([1, 1, 2, 1]))
    arguments = {"dst_affine": torch.eye(4), "spatial_size": (23, 21, 40), **settings}
    assert torch.equal(AxiswiseResample()(image, **arguments), SpatialResample()(image, **arguments))


def test_axes_that_are_turned_by_a_few_thousandths_of_a_voxel_are_left_to_monai():
    image, arguments = image_on(np.diag([1, 1, 2, 1])), {"dst_affine": turned(2e-4), "spatial_size": (23, 21, 40)}
    own, theirs = AxiswiseResample()(image, **arguments), SpatialResample()(image, **arguments)
    assert torch.equal(own, theirs)
    along_the_axes = AxiswiseResample()(image, torch.eye(4), arguments["spatial_size"])
    assert (own - along_the_axes).abs().max() > 1e-3  # so it would have been another image


def test_an_image_of_the_right_spacing_is_left_as_it_is():
    image = image_on(np.eye(4))
    assert torch.equal(AxiswiseResample()(image, torch.eye(4), (23, 21, 17)), image)


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


def test_the_values_are_those_of_monais_spacingd(label_request):
    resampled = Spacingd("image", pixdim=(0.7, 1, 1))(label_request)["image"]
    label_request.pop("image_path")
    of_monai = MonaiSpacingd("image", pixdim=(0.7, 1, 1))(label_request)["image"]
    torch.testing.assert_close(resampled, of_monai, rtol=0, atol=LAST_BIT)


def test_invertd_restores_the_grid_of_spacingd(label_request):
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


@pytest.mark.parametrize("unit", [1e-3, 1e3])
@pytest.mark.parametrize("pixdim", [(0.97, 1.0, 1.04), (0.6, 2.0, 1.0), (1.0, 1.0, 1.0)])
def test_the_unit_of_length_makes_no_difference(unit, pixdim):
    """MONAI compares affines in mm, so it would leave voxels of a micrometre as they are."""
    voxels = np.random.default_rng(0).integers(0, 5, (1, 11, 12, 13)).astype(np.float32)

    def resample(scale):
        affine = np.diag([scale, scale, scale, 1.0])
        data = {key: MetaTensor(voxels, affine=affine) for key in ("image", "label")}
        return Spacingd(["image", "label"], [step * scale for step in pixdim], mode=["bilinear", "nearest"])(data)

    usual, other = resample(1.0), resample(unit)
    for key in ("image", "label"):
        assert usual[key].shape == other[key].shape
        np.testing.assert_allclose(usual[key], other[key], atol=1e-5)
        np.testing.assert_allclose(usual[key].affine[:3] * unit, other[key].affine[:3])


@pytest.mark.parametrize(
    ("step", "message"), [(8192.0, "has voxels of 8192 mm along axis 2, 8.19e"), (1e-3, "0.001 mm")]
)
def test_a_spacing_that_cannot_be_right_is_refused_by_name(step, message):
    image = MetaTensor(torch.zeros(1, 4, 4, 4), affine=np.diag([1, 1, step, 1]), meta={"filename_or_obj": "a.nii.gz"})
    with pytest.raises(RuntimeError) as error:
        Compose([Spacingd("image", (1, 1, 1))])({"image": image})
    assert "a.nii.gz has voxels of" in str(error.value.__cause__)
    assert message in str(error.value.__cause__)
