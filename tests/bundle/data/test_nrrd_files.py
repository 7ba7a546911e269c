"""NRRD files: axes that hold channels, units, and damage of compressed voxels."""

import nrrd
import numpy as np
import pytest

from lunet_networks.bundle.data.readable import UnreadableFileError
from lunet_networks.bundle.data.readers import LoadImaged

SHAPE = (4, 5, 6)
SPACE = {
    "space": "left-posterior-superior",
    "space directions": np.diag([1.0, 1.0, 2.0]),
    "space origin": [3.0, 0.0, 0.0],
}
AFFINE = [[-1, 0, 0, -3], [0, -1, 0, 0], [0, 0, 2, 0], [0, 0, 0, 1]]


def voxels(*shape):
    return np.random.default_rng(0).normal(size=shape or SHAPE).astype(np.float32)


def load(path, key="image"):
    return LoadImaged(key)({key: str(path)})[key]


@pytest.mark.parametrize("axis", [0, 3])
@pytest.mark.parametrize("kind", ["list", "vector", "RGB-color"])
def test_an_axis_that_is_not_of_space_holds_the_channels(tmp_path, axis, kind):
    channels = voxels(3, *SHAPE)
    kinds = np.insert(["domain"] * 3, axis, kind).tolist()
    directions = np.insert(SPACE["space directions"], axis, np.nan, axis=0)
    header = {**SPACE, "kinds": kinds, "space directions": directions}
    nrrd.write(str(tmp_path / "a.nrrd"), np.moveaxis(channels, 0, axis), header)
    image = load(tmp_path / "a.nrrd")
    np.testing.assert_array_equal(image, channels)
    np.testing.assert_allclose(image.affine, AFFINE)


def test_kinds_without_orientation(tmp_path):
    nrrd.write(str(tmp_path / "a.nrrd"), voxels(2, *SHAPE), {"kinds": ["list", "domain", "domain", "domain"]})
    assert load(tmp_path / "a.nrrd").shape == (2, *SHAPE)
    nrrd.write(str(tmp_path / "b.nrrd"), voxels(2, 2, *SHAPE), {"kinds": ["list", "list", *["domain"] * 3]})
    with pytest.raises(UnreadableFileError, match=r"its axes 0, 1 are not of space: one may hold the channels"):
        load(tmp_path / "b.nrrd")


def test_a_segmentation_of_several_layers_is_no_label_map(tmp_path):
    header = {"kinds": ["list", "domain", "domain", "domain"]}
    nrrd.write(str(tmp_path / "a.seg.nrrd"), np.zeros((2, *SHAPE), np.uint8), header)
    with pytest.raises(UnreadableFileError, match=r"has 2 channels, a label has one"):
        load(tmp_path / "a.seg.nrrd", "label")


def test_units_of_length(tmp_path):
    nrrd.write(str(tmp_path / "a.nrrd"), voxels(), {**SPACE, "space units": ["um", "um", "um"]})
    np.testing.assert_allclose(load(tmp_path / "a.nrrd").affine[:3], np.array(AFFINE)[:3] / 1000)


@pytest.mark.parametrize("encoding", ["raw", "gzip", "bzip2"])
def test_encodings(tmp_path, encoding):
    nrrd.write(str(tmp_path / "A.NRRD"), voxels(), SPACE | {"encoding": encoding})
    np.testing.assert_array_equal(load(tmp_path / "A.NRRD")[0], voxels())
    np.testing.assert_allclose(load(tmp_path / "A.NRRD").affine, AFFINE)


@pytest.mark.parametrize("encoding", ["gzip", "bzip2"])
def test_damage_of_compressed_voxels_is_noticed_wherever_it_is(tmp_path, encoding):
    path = tmp_path / "a.nrrd"
    nrrd.write(str(path), voxels(), SPACE | {"encoding": encoding})
    whole = path.read_bytes()
    start = whole.index(b"\n\n") + 2
    places = (*range(start, len(whole), 29), *range(len(whole) - 8, len(whole)))
    refused = 0
    for place in places:
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 16]) + whole[place + 1 :])
        try:
            np.testing.assert_array_equal(load(path)[0], voxels(), "bits between blocks mean nothing")
        except UnreadableFileError:
            refused += 1
    assert refused > len(places) - 4
    path.write_bytes(whole[:-2])
    with pytest.raises(UnreadableFileError, match=r"a.nrrd cannot be read: "):
        load(path)


def test_a_header_that_announces_fewer_voxels_than_there_are(tmp_path):
    for encoding in ("raw", "gzip"):
        path = tmp_path / f"{encoding}.nrrd"
        nrrd.write(str(path), voxels(), SPACE | {"encoding": encoding})
        path.write_bytes(path.read_bytes().replace(b"sizes: 4 5 6", b"sizes: 4 5 3"))
        with pytest.raises(UnreadableFileError, match="cannot be read: "):
            load(path)
