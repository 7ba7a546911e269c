import nrrd
import numpy as np
import pytest

from lunet_networks.bundle.readers import LoadImaged


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
    image = LoadImaged(keys="image", ensure_channel_first=True)({"image": str(tmp_path / "ct.nrrd")})["image"]
    np.testing.assert_array_equal(image.numpy(), voxels[None])
    np.testing.assert_allclose(image.affine, affine)
