"""NRRD files with all headers, and channels that have a file each."""

import copy
import pickle

import nibabel as nib
import nrrd
import numpy as np
import pytest
from monai.data import CacheDataset
from monai.transforms import Orientationd

from lunet_networks.bundle.data.readers import LoadImaged


@pytest.mark.parametrize(
    ("header", "affine"),
    [
        ({}, np.diag([-1, -1, 1, 1])),
        ({"spacings": [1.0, 1.0, 2.0]}, np.diag([-1, -1, 2, 1])),
        (
            {
                "space": "left-posterior-superior",
                "space directions": np.diag([1.0, 1.0, 2.0]),
                "space origin": [3.0, 0.0, 0.0],
            },
            [[-1, 0, 0, -3], [0, -1, 0, 0], [0, 0, 2, 0], [0, 0, 0, 1]],
        ),
    ],
)
def test_nrrd_with_and_without_orientation(tmp_path, header, affine):
    voxels = np.random.default_rng(0).normal(size=(4, 5, 6)).astype(np.float32)
    nrrd.write(str(tmp_path / "ct.nrrd"), voxels, header)
    image = LoadImaged(keys="image")({"image": str(tmp_path / "ct.nrrd")})["image"]
    np.testing.assert_array_equal(image.numpy(), voxels[None])
    np.testing.assert_allclose(image.affine, affine)


@pytest.mark.parametrize("space", ["right-anterior-superior", "RAS", "left-posterior-superior", "LPS"])
def test_nrrd_in_any_space_is_brought_into_order(tmp_path, space):
    lps = space[0].upper() == "L"
    directions = np.diag([-1.0, -2.0, 3.0] if lps else [1.0, 2.0, 3.0])
    origin = [-4.0, -5.0, 6.0] if lps else [4.0, 5.0, 6.0]
    voxels = np.random.default_rng(0).normal(size=(4, 5, 6)).astype(np.float32)
    header = {"space": space, "space directions": directions, "space origin": origin}
    nrrd.write(str(tmp_path / "mr.nrrd"), voxels, header)
    image = LoadImaged(keys="image")({"image": str(tmp_path / "mr.nrrd")})
    image = Orientationd("image", axcodes="RAS", labels=None)(image)["image"]
    np.testing.assert_array_equal(image.numpy(), voxels[None])
    np.testing.assert_allclose(image.affine, [[1, 0, 0, 4], [0, 2, 0, 5], [0, 0, 3, 6], [0, 0, 0, 1]])


def test_nrrd_in_a_space_that_nobody_brings_into_order(tmp_path):
    header = {"space": "scanner-xyz", "space directions": np.eye(3), "space origin": [0.0, 0.0, 0.0]}
    nrrd.write(str(tmp_path / "mr.nrrd"), np.zeros((4, 5, 6), np.float32), header)
    with pytest.raises(ValueError, match="its space is 'scanner-xyz': it has to be one of left-posterior"):
        LoadImaged(keys="image")({"image": str(tmp_path / "mr.nrrd")})


def test_threads_share_a_reader_of_channels_that_have_a_file_each(tmp_path):
    """A cache is filled by threads; what one reads must not be cut short by what another reads."""
    voxels = np.random.default_rng(0).integers(0, 9, size=(12, 2, 24, 24, 24)).astype(np.float32)
    cases = []
    for number, channels in enumerate(voxels):
        paths = [str(tmp_path / f"{number}_{channel}.nii.gz") for channel in (0, 1)]
        for path, channel in zip(paths, channels, strict=True):
            nib.save(nib.Nifti1Image(channel, np.eye(4)), path)
        cases.append({"image": paths, "label": paths[0]})
    load = LoadImaged(keys=["image", "label"])
    for _ in range(5):
        cached = CacheDataset(cases, load, num_workers=8, progress=False)
        for case, channels in zip(cached, voxels, strict=True):
            np.testing.assert_array_equal(case["image"].numpy(), channels)
            np.testing.assert_array_equal(case["label"].numpy(), channels[:1])
    for other in (copy.deepcopy(load), pickle.loads(pickle.dumps(load))):
        assert other(cases[0])["image"].shape == (2, 24, 24, 24)
