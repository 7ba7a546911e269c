"""MetaImage files are read as ITK places them."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from lunet_networks.bundle.data import LoadImaged
from lunet_networks.bundle.inference.found_images import find_images

sitk = pytest.importorskip("SimpleITK")


@pytest.mark.parametrize("ending", [".mha", ".mhd"])
@pytest.mark.parametrize("channels", [1, 2])
def test_a_volume_is_that_of_nifti(tmp_path: Path, ending: str, channels: int) -> None:
    shape = (4, 5, 6) if channels == 1 else (4, 5, 6, channels)
    voxels = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    image = sitk.GetImageFromArray(voxels, isVector=channels > 1)
    image.SetSpacing((0.8, 1.1, 2.5))
    image.SetOrigin((3.0, -7.0, 11.0))
    image.SetDirection(np.array([[0, -1, 0], [1, 0, 0], [0, 0, 1]], float).ravel().tolist())
    paths = [tmp_path / f"a{ending}", tmp_path / "a.nii.gz"]
    for path in paths:
        sitk.WriteImage(image, str(path))
    read, expected = (LoadImaged(keys="image")({"image": str(path)})["image"] for path in paths)
    np.testing.assert_array_equal(read.numpy(), expected.numpy())
    np.testing.assert_allclose(read.affine, expected.affine, atol=1e-5)
    assert nib.load(paths[1]).shape[:3] == read.shape[1:]
    assert read.meta["case_name"] == "a"


def test_a_folder_of_them(tmp_path: Path) -> None:
    for name in ("a.mha", "b.mhd"):
        sitk.WriteImage(sitk.GetImageFromArray(np.zeros((4, 5, 6), np.uint8)), str(tmp_path / name))
    assert find_images(tmp_path)[0] == [str(tmp_path / "a.mha"), str(tmp_path / "b.mhd")]


def test_a_cut_file_is_refused(tmp_path: Path) -> None:
    sitk.WriteImage(sitk.GetImageFromArray(np.ones((9, 9, 9), np.int16)), str(tmp_path / "a.mha"))
    content = (tmp_path / "a.mha").read_bytes()
    (tmp_path / "a.mha").write_bytes(content[:-200])
    image, faults = LoadImaged(keys="image").examine("image", str(tmp_path / "a.mha"))
    assert image is None
    assert faults[0].startswith("cannot be read")
