"""NIfTI files of other programs: where their voxels lie, how they are stored, and damage that has to be noticed."""

import gzip
from pathlib import Path

import nibabel
import numpy as np
import pytest
from nibabel.nifti1 import data_type_codes

from lunet_networks.bundle.data.nifti_files import nifti_content, read_nifti
from lunet_networks.bundle.data.readable import UnreadableFileError
from lunet_networks.bundle.data.readers import LoadImaged

SFORM = np.array([[0.0, -2, 0, 11], [1.5, 0, 0, -7], [0, 0, 3, 5], [0, 0, 0, 1]])
QFORM = np.array([[2.0, 0, 0, -40], [0, 2, 0, 30], [0, 0, 2, 20], [0, 0, 0, 1]])
SHAPE = (5, 6, 7)


def voxels(shape=SHAPE, dtype=np.int16):
    return np.random.default_rng(0).integers(0, 200, shape).astype(dtype)


def save(path, array=None, sform=(SFORM, 1), qform=(SFORM, 1), kind=nibabel.Nifti1Image, **fields):
    image = kind(voxels() if array is None else array, None)
    image.header.set_qform(*qform)
    image.header.set_sform(*sform)
    for name, value in fields.items():
        image.header[name] = value
    image._affine = None  # nibabel would write it into the header
    nibabel.save(image, path)
    return str(path)


FORMS = {
    "scanner and aligned that differ": {"sform": (SFORM, 2), "qform": (QFORM, 1)},
    "aligned and scanner that differ": {"sform": (SFORM, 1), "qform": (QFORM, 2)},
    "no codes": {"sform": (SFORM, 0), "qform": (QFORM, 0)},
    "sform only": {"sform": (SFORM, 2), "qform": (QFORM, 0)},
    "qform only": {"sform": (SFORM, 0), "qform": (QFORM, 1)},
    "stale spacing beside an empty qform": {
        "sform": (SFORM, 1),
        "qform": (np.eye(4), 0),
        "pixdim": [1, 9, 9, 9, 1, 1, 1, 1],
    },
}


@pytest.mark.parametrize("forms", FORMS.values(), ids=FORMS.keys())
def test_voxels_lie_where_nibabel_puts_them(tmp_path, forms):
    path = save(tmp_path / "a.nii.gz", **forms)
    image = LoadImaged("image")({"image": path})["image"]
    np.testing.assert_allclose(image.affine, nibabel.load(path).affine, atol=1e-6)
    np.testing.assert_array_equal(image[0], nibabel.load(path).get_fdata())


@pytest.mark.parametrize("kind", [nibabel.Nifti1Image, nibabel.Nifti2Image])
@pytest.mark.parametrize("forms", FORMS.values(), ids=FORMS.keys())
def test_a_label_map_carries_the_forms_of_its_image(tmp_path, forms, kind):
    path = save(tmp_path / "a.nii.gz", kind=kind, xyzt_units=3, descrip=b"Jane Doe", cal_max=900, **forms)
    labels = voxels(dtype=np.uint8) % 3
    (tmp_path / "a_seg.nii.gz").write_bytes(nifti_content(labels[None], path, np.eye(4)))
    image, written = nibabel.load(path), nibabel.load(tmp_path / "a_seg.nii.gz")
    np.testing.assert_array_equal(written.get_fdata(), labels)
    assert written.get_data_dtype() == np.uint8
    for field in ("dim", "pixdim", "xyzt_units", "sform_code", "qform_code", "srow_x", "srow_y", "srow_z"):
        np.testing.assert_array_equal(written.header[field], image.header[field], err_msg=field)
    for field in ("quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z"):
        np.testing.assert_array_equal(written.header[field], image.header[field], err_msg=field)
    assert written.header["cal_max"] == 0, "the window of a viewer belongs to the image's values"
    assert b"Jane" not in bytes(written.header["descrip"])


@pytest.mark.parametrize(
    ("shape", "read", "written"),
    [
        ((5, 6), (1, 5, 6), (5, 6)),
        ((5, 6, 1), (1, 5, 6, 1), (5, 6, 1)),
        ((5, 6, 7, 1), (1, 5, 6, 7), (5, 6, 7, 1)),
        ((5, 6, 7, 2), (2, 5, 6, 7), (5, 6, 7)),
        ((5, 6, 7, 1, 3), (3, 5, 6, 7), (5, 6, 7)),
    ],
)
def test_dimensions(tmp_path, shape, read, written):
    path = save(tmp_path / "a.nii.gz", voxels(shape))
    image = LoadImaged("image")({"image": path})["image"]
    assert image.shape == read
    content = nifti_content(np.ones((1, *read[1:]), np.uint8), path, image.affine.numpy())
    assert nibabel.Nifti1Image.from_bytes(gzip.decompress(content)).shape == written


def test_a_slice_of_a_volume_is_a_2d_image_for_a_2d_network(tmp_path):
    path = save(tmp_path / "a.nii.gz", voxels((5, 6, 1)))
    image = LoadImaged("image", spatial_dims=2)({"image": path})["image"]
    assert image.shape == (1, 5, 6)
    assert image.meta["spatial_shape"].tolist() == [5, 6]
    assert len(image.pixdim) == 2
    content = nifti_content(np.ones((1, 5, 6), np.uint8), path, image.affine.numpy())
    assert nibabel.Nifti1Image.from_bytes(gzip.decompress(content)).shape == (5, 6, 1)


@pytest.mark.parametrize(("code", "millimetres"), [(0, 1), (1, 1000), (2, 1), (3, 0.001), (2 + 8, 1), (3 + 16, 0.001)])
def test_units_of_length(tmp_path, code, millimetres):
    path = save(tmp_path / "a.nii.gz", xyzt_units=code)
    affine = LoadImaged("image")({"image": path})["image"].affine
    np.testing.assert_allclose(affine[:3], SFORM[:3] * millimetres)


@pytest.mark.parametrize("kind", [nibabel.Nifti1Image, nibabel.Nifti2Image])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    ("dtype", "scaling"), [("u1", {}), ("i2", {"scl_slope": 0.1, "scl_inter": -3}), ("f4", {}), ("f8", {}), ("u8", {})]
)
def test_values_are_those_of_nibabel(tmp_path, kind, order, dtype, scaling):
    header = kind.header_class(endianness=order)
    header.set_data_dtype(np.dtype(order + dtype))
    image = kind(voxels(dtype=dtype), SFORM, header)
    if scaling:
        image.header.set_slope_inter(*scaling.values())
    nibabel.save(image, tmp_path / "a.nii")
    read = read_nifti(tmp_path / "a.nii").voxels
    expected = np.asanyarray(nibabel.load(tmp_path / "a.nii").dataobj)
    assert read.dtype == expected.dtype
    np.testing.assert_array_equal(read, expected)


def test_a_file_is_taken_for_what_it_holds(tmp_path):
    path = save(tmp_path / "a.nii")
    (tmp_path / "plain.nii.gz").write_bytes((tmp_path / "a.nii").read_bytes())
    (tmp_path / "PACKED.NII").write_bytes(gzip.compress((tmp_path / "a.nii").read_bytes()))
    for name in ("plain.nii.gz", "PACKED.NII"):
        read = LoadImaged("image")({"image": str(tmp_path / name)})["image"]
        np.testing.assert_array_equal(read, LoadImaged("image")({"image": path})["image"])


def test_colours_are_channels_and_three_equal_ones_are_grey(tmp_path):
    colours = voxels((*SHAPE, 3), np.uint8)
    rgb = np.ascontiguousarray(colours).view(data_type_codes.dtype["RGB"])[..., 0]
    path = save(tmp_path / "a.nii.gz", rgb)
    np.testing.assert_array_equal(LoadImaged("image")({"image": path})["image"], np.moveaxis(colours, -1, 0))
    grey = np.ascontiguousarray(np.repeat(colours[..., :1], 3, axis=-1)).view(rgb.dtype)[..., 0]
    path = save(tmp_path / "grey.nii.gz", grey)
    np.testing.assert_array_equal(LoadImaged("image")({"image": path})["image"][0], colours[..., 0])
    content = nifti_content(np.ones((1, *SHAPE), np.uint8), path, SFORM)
    assert nibabel.Nifti1Image.from_bytes(gzip.decompress(content)).get_data_dtype() == np.uint8


def fault(path):
    with pytest.raises(UnreadableFileError) as error:
        LoadImaged("image")({"image": str(path)})
    assert str(error.value).startswith(f"{path} cannot be read: ")
    return str(error.value)


def test_damage_of_a_compressed_file_is_noticed_wherever_it_is(tmp_path):
    whole = Path(save(tmp_path / "a.nii.gz")).read_bytes()
    path = tmp_path / "damaged.nii.gz"
    for place in (*range(10, len(whole), 37), len(whole) - 8, len(whole) - 1):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 16]) + whole[place + 1 :])
        fault(path)
    for length in (0, 5, 100, len(whole) - 8, len(whole) - 1):
        path.write_bytes(whole[:length])
        fault(path)


def test_a_plain_file_that_is_cut_off_or_announces_more_than_it_holds(tmp_path):
    whole = Path(save(tmp_path / "a.nii")).read_bytes()
    path = tmp_path / "damaged.nii"
    path.write_bytes(whole[:-1])
    assert "it is cut off: its header announces 420 bytes of voxels, 419 are there" in fault(path)
    huge = bytearray(whole)
    huge[42:48] = np.array([30000, 30000, 30000], "<i2").tobytes()
    path.write_bytes(huge)
    assert "it is cut off" in fault(path)


@pytest.mark.parametrize(
    "array", [np.zeros((0, 4, 4), np.int16), np.zeros(SHAPE, np.complex64), np.zeros((5, 6, 7, 2, 3), np.int16)]
)
def test_what_no_network_can_take(tmp_path, array):
    fault(save(tmp_path / "a.nii.gz", array))
