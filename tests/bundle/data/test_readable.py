"""Images and label maps of other people: read where their meaning is certain, otherwise refused by name."""

from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image

from lunet_networks.bundle.data.checks import check_data
from lunet_networks.bundle.data.readable import UnreadableFileError
from lunet_networks.bundle.data.readers import LoadImaged

SHAPE = (5, 6, 7)


def save(path, voxels, affine=None):
    nibabel.save(nibabel.Nifti1Image(np.asarray(voxels), np.eye(4) if affine is None else affine), path)
    return str(path)


def an_image(scale=1.0):
    return (np.random.default_rng(0).normal(size=SHAPE) * scale).astype(np.float32)


def a_label(values=(0, 1), dtype=np.uint8):
    return np.resize(np.asarray(values, dtype), SHAPE)


def read(path, key="label", **settings):
    return LoadImaged(key, **settings)({key: str(path)})[key]


def fault(path, key="label", **settings):
    with pytest.raises(UnreadableFileError) as error:
        read(path, key, **settings)
    assert str(error.value).startswith(f"{path} ")
    return str(error.value)


@pytest.mark.parametrize("value", [-3.4e38, 3.4e38, 1e15])
def test_values_whose_mean_overflows(tmp_path, value):
    image = an_image()
    image[0] = value
    message = fault(save(tmp_path / "a.nii.gz", image), "image")
    assert f"holds the value {value:g} in channel 0, too large for means in float32: give voxels outside" in message


def test_values_that_are_too_close_together(tmp_path):
    assert "in channel 0, too close together for float32" in fault(
        save(tmp_path / "a.nii.gz", an_image(1e-20)), "image"
    )


@pytest.mark.parametrize("scale", [1e-9, 1e9])
def test_values_far_from_one(tmp_path, scale):
    np.testing.assert_array_equal(read(save(tmp_path / "a.nii.gz", an_image(scale)), "image")[0], an_image(scale))


def test_the_channel_is_named(tmp_path):
    channels = np.stack([an_image(), np.full(SHAPE, 7.0, np.float32)], axis=-1)
    assert "has a channel with the value 7 only (channel 1)" in fault(save(tmp_path / "a.nii.gz", channels), "image")
    channels[0, 0, 0, 1] = np.nan
    assert "holds nan or infinite values, 1 of them in channel 1" in fault(
        save(tmp_path / "a.nii.gz", channels), "image"
    )


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_an_affine_that_is_not_finite(tmp_path, bad):
    path = Path(save(tmp_path / "a.nii", an_image()))
    content = bytearray(path.read_bytes())
    content[280:284] = np.float32(bad).tobytes()
    path.write_bytes(content)
    assert "has an affine that is not finite" in fault(path, "image")


def test_an_affine_whose_axes_lie_in_one_plane(tmp_path):
    flat = np.eye(4)
    flat[:3, 2] = [1, 1, 0]
    assert "has an affine in which one axis has no length" in fault(save(tmp_path / "a.nii", an_image(), flat), "image")


def test_labels_that_are_almost_whole(tmp_path):
    label = a_label((0, 0.99999994, 2.0004), np.float32)
    read_label = read(save(tmp_path / "a.nii.gz", label), label_values=[0, 1, 2])
    np.testing.assert_array_equal(read_label[0], a_label((0, 1, 2)))
    assert "holds the values 0.5" in fault(save(tmp_path / "b.nii.gz", a_label((0, 0.5), np.float32)))


def test_0_and_255_is_a_label_where_there_is_only_one(tmp_path):
    path = save(tmp_path / "a.nii.gz", a_label((0, 255)))
    np.testing.assert_array_equal(read(path, label_values=[0, 1])[0], a_label((0, 1)))
    np.testing.assert_array_equal(read(path)[0], a_label((0, 1)))
    assert "holds the values 255, the labels are 0, 1, 2" in fault(path, label_values=[0, 1, 2])
    assert read(path, label_values=range(300)).max() == 255
    both = save(tmp_path / "b.nii.gz", a_label((0, 1, 255)))
    assert "holds the values 255, the labels are 0, 1" in fault(both, label_values=[0, 1])


def test_0_and_255_among_other_labels_is_in_doubt(tmp_path):
    image = save(tmp_path / "image.nii.gz", an_image())
    white = save(tmp_path / "white.nii.gz", a_label((0, 255)))
    several = save(tmp_path / "several.nii.gz", a_label((0, 1, 2)))
    assert check_data([{"image": image, "label": white}]).label_values == (0, 1)
    with pytest.raises(ValueError, match=r"white.nii.gz holds 0 and 255 only, others hold 2: give it the value"):
        check_data([{"image": image, "label": white}, {"image": image, "label": several}])


def test_more_than_255_labels(tmp_path):
    label = a_label(range(0, 320, 20), np.int16)
    np.testing.assert_array_equal(read(save(tmp_path / "a.nii.gz", label))[0], label)
    assert "holds the values 70000, labels have to be integers from 0 to 65535" in fault(
        save(tmp_path / "b.nii.gz", a_label((0, 70000), np.int32))
    )


def test_a_label_map_in_colour(tmp_path):
    colours = np.random.default_rng(0).integers(0, 255, (*SHAPE, 3)).astype(np.uint8)
    path = save(tmp_path / "a.nii.gz", colours.view([("R", "u1"), ("G", "u1"), ("B", "u1")])[..., 0])
    assert "has 3 channels, a label has one" in fault(path)


def a_palette_mask(path, indices, colours):
    picture = Image.fromarray(np.asarray(indices, np.uint8), "P")
    picture.putpalette(np.asarray(colours, np.uint8).ravel().tolist())
    picture.save(path)
    return str(path)


def test_the_indices_of_a_palette_are_labels(tmp_path):
    indices = [[0, 1, 2], [2, 1, 0]]
    for name, colours in {
        "colours": [[0, 0, 0], [128, 0, 0], [0, 128, 0]],
        "greys": [[0, 0, 0], [128, 128, 128], [255, 255, 255]],
    }.items():
        path = a_palette_mask(tmp_path / f"{name}.png", indices, colours)
        np.testing.assert_array_equal(read(path)[0], np.transpose(indices))


def test_a_palette_of_black_and_white(tmp_path):
    path = a_palette_mask(tmp_path / "a.png", [[0, 1, 1]], [[0, 0, 0], [255, 255, 255]])
    np.testing.assert_array_equal(read(path)[0], [[0], [1], [1]])
    path = a_palette_mask(tmp_path / "b.png", [[0, 1, 1]], [[255, 255, 255], [0, 0, 0]])
    np.testing.assert_array_equal(read(path)[0], [[1], [0], [0]])


def test_a_palette_of_an_image_is_its_colours(tmp_path):
    path = a_palette_mask(tmp_path / "a.png", [[0, 1]], [[0, 0, 0], [10, 20, 30]])
    image = read(path, "image")
    np.testing.assert_array_equal(image[:, 1, 0], [10, 20, 30])
    assert "palette_indices" not in image.meta


def test_channels_of_a_case_and_labels_have_the_same_tolerance(tmp_path):
    moved = np.eye(4)
    moved[0, 3] = 0.05
    first, second = save(tmp_path / "0.nii.gz", an_image()), save(tmp_path / "1.nii.gz", an_image(2), moved)
    label = save(tmp_path / "label.nii.gz", a_label(), moved)
    case = LoadImaged(["image", "label"])({"image": [first, second], "label": label})
    assert case["image"].shape == (2, *SHAPE)
    np.testing.assert_array_equal(case["label"].affine, case["image"].affine)
    moved[0, 3] = 0.2
    save(second, an_image(2), moved)
    with pytest.raises(
        UnreadableFileError, match=r"0.nii.gz, .*1.nii.gz cannot be read: file 1 lies up to 0.2 mm away"
    ):
        LoadImaged("image")({"image": [first, second]})
    save(label, a_label(), moved)
    with pytest.raises(UnreadableFileError, match=r"label.nii.gz lies up to 0.2 mm away from its image"):
        LoadImaged(["image", "label"])({"image": first, "label": label})


@pytest.mark.parametrize("unit", [1e-3, 1.0, 1e3])
def test_tolerances_are_relative_to_the_voxel(tmp_path, unit):
    affine, moved = np.diag([unit, unit, unit, 1]), np.diag([unit, unit, unit, 1])
    moved[0, 3] = 0.05 * unit
    image = save(tmp_path / "image.nii.gz", an_image(), affine)
    facts = check_data([{"image": image, "label": save(tmp_path / "a.nii.gz", a_label(), moved)}])
    assert facts.spacings == ((unit,) * 3,)
    moved[0, 3] = 0.2 * unit
    with pytest.raises(ValueError, match="away from its image"):
        check_data([{"image": image, "label": save(tmp_path / "b.nii.gz", a_label(), moved)}])
