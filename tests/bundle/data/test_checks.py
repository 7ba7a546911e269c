"""Faults of images and labels are found before a training, each told by its file."""

import nibabel
import nrrd
import numpy as np
import pytest

from lunet_networks.bundle.data.checks import check_data

AFFINE = np.diag([1.0, 1.0, 1.5, 1.0])


def save(path, voxels, affine=AFFINE):
    nibabel.save(nibabel.Nifti1Image(np.asarray(voxels), affine), path)
    return str(path)


def an_image(shape=(8, 9, 10), seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def a_label(shape=(8, 9, 10)):
    label = np.zeros(shape, np.uint8)
    label[2:5], label[5:7] = 1, 2
    return label


@pytest.fixture
def case(tmp_path):
    """Writes one case, correct but for what is given."""

    def write(image=None, label=None, label_affine=AFFINE, name="case"):
        return {
            "image": save(tmp_path / f"{name}_image.nii.gz", an_image() if image is None else image),
            "label": save(tmp_path / f"{name}_label.nii.gz", a_label() if label is None else label, label_affine),
        }

    return write


def fault(datalist, **settings) -> str:
    with pytest.raises(ValueError, match=r"the data cannot be used") as error:
        check_data(datalist, **{"in_channels": 1, "label_values": range(3), "spatial_dims": 3, **settings})
    return str(error.value)


def test_sound_data_passes_and_its_facts_are_told(case):
    facts = check_data([case(), case(an_image((6, 9, 10)), a_label((6, 9, 10)), name="b")], 1, range(3), 3)
    assert (facts.in_channels, facts.label_values) == (1, (0, 1, 2))
    assert facts.shapes == ((8, 9, 10), (6, 9, 10))
    assert facts.spacings == ((1.0, 1.0, 1.5), (1.0, 1.0, 1.5))


def test_nrrd_and_2d_pass(tmp_path):
    nrrd.write(str(tmp_path / "ct.nrrd"), an_image())
    nrrd.write(str(tmp_path / "label.nrrd"), a_label())
    assert check_data([{"image": str(tmp_path / "ct.nrrd"), "label": str(tmp_path / "label.nrrd")}]).in_channels == 1
    flat = {
        "image": save(tmp_path / "i.nii.gz", an_image((8, 9))),
        "label": save(tmp_path / "l.nii.gz", a_label((8, 9))),
    }
    facts = check_data([flat], spatial_dims=2)
    assert facts.shapes == ((8, 9),)
    assert facts.spacings == ((1.0, 1.0),)


def test_channels_in_one_file_or_in_several(case, tmp_path):
    joined = case(an_image((8, 9, 10, 2)))
    apart = case(name="apart")
    apart["image"] = [apart["image"], save(tmp_path / "second.nii.gz", an_image(seed=1))]
    assert check_data([joined, apart], in_channels=2).in_channels == 2
    assert f"{joined['image']} has 2 channels, 1 are needed" in fault([joined])
    assert f"{', '.join(apart['image'])} has 2 channels, 1 are needed" in fault([apart])


def test_without_settings_the_odd_ones_are_named_and_not_the_majority(case):
    usual = [case(name=name) for name in "bcd"]
    odd = [case(an_image((8, 9, 10, 2)), name="a"), case(an_image((8, 9)), a_label((8, 9)), name="e")]
    with pytest.raises(ValueError, match=r"cases: 5, faults: 2") as error:
        check_data([odd[0], *usual, odd[1]])
    assert f"{odd[0]['image']} has 2 channels, 4 of 5 images have 1" in str(error.value)
    assert f"{odd[1]['image']} has 2 spatial dimensions (8 x 9), 4 of 5 images have 3" in str(error.value)


def test_every_case_can_be_visited_while_it_is_read(case):
    seen = []

    def visit(case, image, label):
        seen.append((case, tuple(image.shape), np.unique(label).tolist()))

    cases = [case(), case(an_image((6, 9, 10, 2)), a_label((6, 9, 10)), name="b")]
    check_data(cases[:1], visit=visit)
    check_data(cases[1:], visit=visit)
    assert seen == [(cases[0], (1, 8, 9, 10), [0, 1, 2]), (cases[1], (2, 6, 9, 10), [0, 1, 2])]


def test_a_visitor_sees_no_label_that_does_not_fit_its_image(case):
    seen = []
    with pytest.raises(ValueError, match="they have to be equal"):
        check_data([case(label=a_label((8, 9, 11))), case(name="b")], visit=lambda *arguments: seen.append(arguments))
    assert not seen


def test_another_number_of_dimensions(case):
    flat = case(an_image((8, 9)), a_label((8, 9)))
    assert f"{flat['image']} has 2 spatial dimensions (8 x 9), 3 are needed" in fault([flat])


def test_label_of_another_shape(case):
    odd = case(label=a_label((8, 9, 11)))
    assert f"{odd['label']} is 8 x 9 x 11 voxels, its image 8 x 9 x 10: they have to be equal" in fault([odd])


def test_channels_that_make_a_2d_image_a_volume(case):
    odd = case(an_image((8, 9, 3)), a_label((8, 9)))
    assert "(a 2D image of several channels needs a file for each)" in fault([odd])


def test_a_2d_image_that_is_no_axial_plane(case):
    upright = AFFINE[:, [0, 2, 1, 3]]
    odd = case(an_image((8, 9)), a_label((8, 9)))
    save(odd["image"], an_image((8, 9)), upright)
    message = fault([odd], spatial_dims=2)
    assert f"{odd['image']} has an affine in which one axis has no length in the plane of x and y" in message


def test_label_on_another_grid(case):
    moved = AFFINE.copy()
    moved[0, 3] = 5
    odd = case(label_affine=moved)
    assert f"{odd['label']} lies up to 5 mm away from its image, both need the same affine" in fault([odd])


def test_rounded_affines_are_the_same_grid(case):
    rounded = AFFINE.copy()
    rounded[0, 3], rounded[1, 0] = 0.01, 1e-3
    check_data([case(label_affine=rounded)])


def test_label_with_several_channels(case):
    assert "has 3 channels, a label has one" in fault([case(label=np.zeros((8, 9, 10, 3), np.uint8))])


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (3, "holds the values 3, the labels are 0, 1, 2"),
        (0.5, "holds the values 0.5, labels have to be integers from 0 to 65535"),
        (-1, "holds the values -1, labels have to be integers from 0 to 65535"),
        (np.nan, "holds the values nan, labels have to be integers from 0 to 65535"),
    ],
)
def test_label_values(case, value, message):
    label = a_label().astype(np.float32)
    label[0, 0, 0] = value
    assert message in fault([case(label=label)])


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite(case, value):
    image = an_image()
    image[1, 2, 3] = value
    assert "case_image.nii.gz holds nan or infinite values" in fault([case(image)])


def test_constant_image(case):
    assert "has a channel with the value 7 only" in fault([case(np.full((8, 9, 10), 7, np.int16))])


def test_files_that_cannot_be_read(case, tmp_path):
    broken = case()
    whole = (tmp_path / "case_image.nii.gz").read_bytes()
    (tmp_path / "case_image.nii.gz").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "notes.txt").write_text("no image")
    broken["label"] = str(tmp_path / "notes.txt")
    message = fault([broken, {"image": str(tmp_path / "gone.nii.gz"), "label": str(tmp_path / "gone.nii.gz")}])
    assert f"{broken['image']} cannot be read: " in message
    assert "notes.txt has a format that cannot be read: use NIfTI (.nii, .nii.gz), NRRD (.nrrd) or MetaImage" in message
    assert "gone.nii.gz does not exist" in message
    assert "(cases: 2, faults: 4)" in message


def test_all_faults_are_collected_and_twenty_shown(case):
    bad = case(np.zeros((8, 9, 10)), a_label((8, 9, 11)))
    message = fault([bad] * 15)
    assert "(cases: 15, faults: 30)" in message
    assert message.endswith("... and 10 more")
    assert len(message.splitlines()) == 22
