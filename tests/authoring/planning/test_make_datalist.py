"""dataset.json for folders of all layouts (pairing.py)."""

import json
import unicodedata

import nibabel
import nrrd
import numpy as np
import pytest
from PIL import Image

from lunet_networks.authoring.planning.make_datalist import make_datalist
from lunet_networks.bundle.data.datalist import labels_of, load_datalist, read_dataset_json
from tests.helpers.nnunet import DESCRIPTION, nnunet_dataset


def write(path, label=False, shape=(5, 6, 7)):
    """An image of noise, or a label with the values 0, 1, 2, in the format that the path's ending names."""
    path.parent.mkdir(parents=True, exist_ok=True)
    voxels = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    if label:
        voxels = (np.arange(np.prod(shape)) % 3).astype(np.uint8).reshape(shape)
    if path.suffix == ".nrrd":
        nrrd.write(str(path), voxels)
    else:
        nibabel.save(nibabel.Nifti1Image(voxels, np.eye(4)), path)


def write_pairs(folder, names, ending=".nii.gz", suffix="Tr"):
    for name in names:
        write(folder / f"images{suffix}" / f"{name}{ending}")
        write(folder / f"labels{suffix}" / f"{name}{ending}", label=True)


@pytest.mark.parametrize("ending", [".nii.gz", ".nii", ".nrrd"])
def test_images_and_labels_folders(tmp_path, ending, capsys):
    write_pairs(tmp_path, "abc", ending)
    write(tmp_path / "imagesTr" / f"._a{ending}")
    (tmp_path / "imagesTr" / "notes.txt").touch()
    make_datalist(tmp_path)
    description = read_dataset_json(tmp_path)
    assert description["training"][0] == {"image": f"./imagesTr/a{ending}", "label": f"./labelsTr/a{ending}"}
    assert description["numTraining"] == 3
    assert description["modality"] == {"0": "unknown"}
    assert labels_of(description) == {0: "background", 1: "label_1", 2: "label_2"}
    assert len(load_datalist(tmp_path, "training", num_folds=3)) == 2
    printed = capsys.readouterr().out
    assert "3 training, 0 test cases" in printed
    assert "channels 1, label values 0, 1, 2" in printed
    assert "shapes 5 x 6 x 7 voxels, spacing 1 x 1 x 1 mm" in printed


def test_names_of_labels_and_modality(tmp_path):
    write_pairs(tmp_path, "ab")
    make_datalist(tmp_path, label_names=("head", "tail"), modality="MRI")
    description = read_dataset_json(tmp_path)
    assert labels_of(description) == {0: "background", 1: "head", 2: "tail"}
    assert description["modality"] == {"0": "MRI"}


def test_the_licence_of_the_data_is_asked_for_once(tmp_path, capsys):
    write_pairs(tmp_path, "ab")
    make_datalist(str(tmp_path))
    assert "the licence of the data is not named" in capsys.readouterr().out
    with pytest.raises(ValueError, match="--licence unknown"):
        make_datalist(str(tmp_path), licence="unknown", overwrite=True)
    make_datalist(str(tmp_path), licence="CC-BY 4.0", overwrite=True)
    assert "not named" not in capsys.readouterr().out
    written = json.loads((tmp_path / "dataset.json").read_text())
    assert written["licence"] == "CC-BY 4.0"
    assert "description" not in written
    assert [path.name for path in tmp_path.glob("dataset*")] == ["dataset.json"]  # its own is not kept


def test_test_cases_with_and_without_labels(tmp_path):
    write_pairs(tmp_path, "ab")
    write(tmp_path / "imagesTs" / "t.nii.gz")
    make_datalist(tmp_path)
    assert read_dataset_json(tmp_path)["test"] == [{"image": "./imagesTs/t.nii.gz"}]
    assert load_datalist(tmp_path, "test") == []
    write(tmp_path / "labelsTs" / "t.nii.gz", label=True)
    make_datalist(tmp_path, overwrite=True)
    assert len(load_datalist(tmp_path, "test")) == 1


def test_a_file_per_channel(tmp_path):
    for case in "ab":
        write(tmp_path / "labelsTr" / f"{case}.nii.gz", label=True)
        for channel in range(2):
            write(tmp_path / "imagesTr" / f"{case}_{channel:04d}.nii.gz")
    make_datalist(tmp_path, modality=("T1", "T2"))
    description = read_dataset_json(tmp_path)
    assert description["training"][0]["image"] == ["./imagesTr/a_0000.nii.gz", "./imagesTr/a_0001.nii.gz"]
    assert description["modality"] == {"0": "T1", "1": "T2"}
    with pytest.raises(ValueError, match=r"--modality names 3 channels, the images have 2"):
        make_datalist(tmp_path, modality=("T1", "T2", "PD"), overwrite=True)
    (tmp_path / "imagesTr" / "a_0000.nii.gz").unlink()
    with pytest.raises(ValueError, match=r"./imagesTr/a_0001.nii.gz has no 0000 beside it: case a needs 0000, 0001"):
        make_datalist(tmp_path, overwrite=True)


@pytest.fixture
def pictures(tmp_path):
    """Writes pictures of noise and masks of given values."""

    def write_pictures(names, values):
        for number, name in enumerate(names):
            for place, pixels in (
                ("images", np.random.default_rng(number).integers(0, 255, (8, 9))),
                ("masks", np.resize(values, (8, 9))),
            ):
                (tmp_path / place).mkdir(exist_ok=True)
                Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / place / name)

    return write_pictures


def test_pictures_and_masks(tmp_path, pictures):
    pictures(["a.png", "b.PNG", "c.tif"], [0, 255])
    make_datalist(tmp_path, label_names="nucleus")
    description = read_dataset_json(tmp_path)
    assert description["training"][2] == {"image": "./images/c.tif", "label": "./masks/c.tif"}
    assert description["tensorImageSize"] == "2D"
    assert labels_of(description) == {0: "background", 1: "nucleus"}
    assert len(load_datalist(tmp_path, "training", num_folds=3)) == 2


def test_masks_of_several_labels_have_them_named(tmp_path, pictures):
    pictures(["a.png", "b.png"], [0, 1, 2])
    with pytest.raises(ValueError, match=r"a.png holds the values 2, the labels are 0, 1, or 0 and 255"):
        make_datalist(tmp_path)
    make_datalist(tmp_path, label_names=("cell", "nucleus"))
    assert labels_of(read_dataset_json(tmp_path)) == {0: "background", 1: "cell", 2: "nucleus"}


def test_a_picture_without_a_mask(tmp_path, pictures):
    pictures(["a.png", "b.png"], [0, 1])
    (tmp_path / "masks" / "b.png").unlink()
    with pytest.raises(ValueError, match=r"cannot be paired \(faults: 1\):\n  ./images/b.png has no label"):
        make_datalist(tmp_path)


@pytest.mark.parametrize(("train", "val"), [("train", "val"), ("train_dir", "val_dir")])
def test_the_published_harp_layout_with_its_split(tmp_path, train, val):
    for place, names in ((train, "abc"), (val, "de")):
        for name in names:
            write(tmp_path / place / f"ct_{name}.nrrd")
            write(tmp_path / place / f"label_{name}.nrrd", label=True)
    make_datalist(tmp_path)
    assert read_dataset_json(tmp_path)["validation"][0]["image"] == f"./{val}/ct_d.nrrd"
    assert len(load_datalist(tmp_path, "training")) == 3
    assert len(load_datalist(tmp_path, "validation")) == 2


def test_the_published_harp_layout_in_one_folder(tmp_path):
    for name in "abcde":
        write(tmp_path / f"ct_{name}.nrrd")
        write(tmp_path / f"label_{name}.nrrd", label=True)
    make_datalist(tmp_path)
    assert "validation" not in read_dataset_json(tmp_path)
    assert len(load_datalist(tmp_path, "validation")) == 1


def test_every_file_without_a_partner_is_listed(tmp_path):
    write_pairs(tmp_path, "ab")
    for number in range(12):
        write(tmp_path / "imagesTr" / f"lone{number}.nii.gz")
    write(tmp_path / "labelsTr" / "z.nii.gz", label=True)
    with pytest.raises(ValueError, match=r"files of .* cannot be paired \(faults: 13\)") as error:
        make_datalist(tmp_path)
    for number in range(12):
        assert f"./imagesTr/lone{number}.nii.gz has no label" in str(error.value)
    assert "./labelsTr/z.nii.gz has no image" in str(error.value)
    assert not (tmp_path / "dataset.json").exists()


def test_a_case_twice(tmp_path):
    write_pairs(tmp_path, "ab")
    write(tmp_path / "imagesTr" / "a.nii")
    with pytest.raises(ValueError, match=r"a.nii and ./imagesTr/a.nii.gz are both case a: keep one"):
        make_datalist(tmp_path)


def test_a_case_that_trains_and_validates(tmp_path):
    for place in ("train", "val"):
        write(tmp_path / place / "ct_a.nrrd")
        write(tmp_path / place / "label_a.nrrd", label=True)
    with pytest.raises(ValueError, match=r"case a is in .*train and in .*val: keep one of them"):
        make_datalist(tmp_path)


def test_no_known_layout(tmp_path):
    with pytest.raises(ValueError, match=r"no training cases in .*; known layouts: imagesTr/ID .*, or images/ID with"):
        make_datalist(tmp_path)
    with pytest.raises(ValueError, match=r"nowhere is not a folder"):
        make_datalist(tmp_path / "nowhere")


def test_files_that_cannot_be_trained_on(tmp_path):
    write_pairs(tmp_path, "ab")
    write(tmp_path / "labelsTr" / "b.nii.gz", label=True, shape=(5, 6, 8))
    with pytest.raises(ValueError, match=r"labelsTr/b.nii.gz is 5 x 6 x 8 voxels, its image 5 x 6 x 7"):
        make_datalist(tmp_path)
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == []


def test_label_values_with_gaps(tmp_path):
    write_pairs(tmp_path, "ab")
    for name in "ab":
        path = tmp_path / "labelsTr" / f"{name}.nii.gz"
        nibabel.save(nibabel.Nifti1Image((nibabel.load(path).get_fdata() > 1).astype(np.uint8) * 3, np.eye(4)), path)
    with pytest.raises(ValueError, match=r"the labels hold the values 0, 3, but they have to be 0 .* without gaps"):
        make_datalist(tmp_path)
    with pytest.raises(ValueError, match=r"labelsTr/a\.nii\.gz holds the values 3, the labels are 0, 1"):
        make_datalist(tmp_path, label_names="lesion")
    make_datalist(tmp_path, label_names=("edema", "core", "lesion"))
    assert labels_of(read_dataset_json(tmp_path))[3] == "lesion"


def test_an_existing_dataset_json_is_kept_unless_told(tmp_path):
    write_pairs(tmp_path, "ab")
    (tmp_path / "dataset.json").write_text("mine")
    with pytest.raises(FileExistsError, match=r"dataset.json already exists: replace it with --overwrite True"):
        make_datalist(tmp_path)
    assert (tmp_path / "dataset.json").read_text() == "mine"
    make_datalist(tmp_path, overwrite="True")
    assert len(read_dataset_json(tmp_path)["training"]) == 2


def test_a_dataset_of_nnunet_is_left_as_it_is(tmp_path, capsys):
    folder = nnunet_dataset(tmp_path / "data", cases=2, shape=(30, 36, 26))
    before = (folder / "dataset.json").read_bytes()
    for overwrite in (False, True):
        make_datalist(folder, overwrite=overwrite)
        said = capsys.readouterr().out
        assert "is nnU-Net's: it is read as it is, and not replaced (2 training, 1 test cases)" in said
        assert f"lunet new-bundle lunet_small --dataset_dir {folder} --output_dir my_bundle" in said
        assert "overwrite" not in said
    assert (folder / "dataset.json").read_bytes() == before
    assert [path.name for path in folder.iterdir() if path.is_file()] == ["dataset.json"]


@pytest.mark.parametrize(
    "content",
    [
        json.dumps({**DESCRIPTION, "labels": {"background": 0, "whole": [1, 2], "core": [2]}}),
        json.dumps({**DESCRIPTION, "file_ending": ".mha"}),
        '\ufeff{"file_ending": ".nii.gz", "labels": {}}',
        '{"channel_names": NaN}',
    ],
)
def test_a_faulty_one_of_nnunet_is_refused_and_kept(tmp_path, content):
    write_pairs(tmp_path, "ab")
    (tmp_path / "dataset.json").write_text(content)
    with pytest.raises(ValueError, match=r"dataset\.json (does not describe a dataset|is not valid JSON)"):
        make_datalist(tmp_path, overwrite=True)
    assert (tmp_path / "dataset.json").read_text() == content


def test_what_others_have_written_is_kept_under_a_number(tmp_path, capsys):
    write_pairs(tmp_path, "ab")
    (tmp_path / "dataset_before_4.json").write_text("older")
    (tmp_path / "dataset.json").write_text('{"labels": {}, "description": "mine"}')
    make_datalist(tmp_path, overwrite=True)
    assert (
        f"{tmp_path / 'dataset_before_5.json'} is a copy of the dataset.json that was here" in capsys.readouterr().out
    )
    make_datalist(tmp_path, overwrite=True)  # this one is ours
    assert sorted(path.name for path in tmp_path.glob("*.json")) == [
        "dataset.json",
        "dataset_before_4.json",
        "dataset_before_5.json",
    ]
    assert (tmp_path / "dataset_before_4.json").read_text() == "older"
    assert (tmp_path / "dataset_before_5.json").read_text() == '{"labels": {}, "description": "mine"}'


def test_names_in_two_unicode_forms_and_endings_in_upper_case(tmp_path):
    for name, form in (("läsion", "NFC"), ("größe", "NFD")):
        other = {"NFC": "NFD", "NFD": "NFC"}[form]
        write(tmp_path / "imagesTr" / f"{unicodedata.normalize(form, name)}.NII.GZ")
        write(tmp_path / "labelsTr" / f"{unicodedata.normalize(other, name)}.nii.gz", label=True)
    make_datalist(tmp_path)
    assert len(load_datalist(tmp_path, "training", num_folds=2)) == 1
    write(tmp_path / "imagesTr" / f"{unicodedata.normalize('NFD', 'läsion')}.NII.GZ")
    with pytest.raises(ValueError, match=r"are both case läsion \(in two unicode forms\): keep one"):
        make_datalist(tmp_path, overwrite=True)


def test_a_file_per_channel_in_other_layouts(tmp_path):
    for case in "ab":
        write(tmp_path / "masks" / f"{case}.nii.gz", label=True)
        for channel in range(2):
            write(tmp_path / "images" / f"{case}_{channel:04d}.nii.gz")
    make_datalist(tmp_path)
    assert read_dataset_json(tmp_path)["training"][1]["image"] == ["./images/b_0000.nii.gz", "./images/b_0001.nii.gz"]


def test_cases_that_are_numbered_are_no_channels(tmp_path):
    write_pairs(tmp_path, ["scan_0000", "scan_0001"])
    make_datalist(tmp_path)
    assert read_dataset_json(tmp_path)["training"][1]["image"] == "./imagesTr/scan_0001.nii.gz"
    for name in ("scan_0000", "scan_0001"):
        (tmp_path / "labelsTr" / f"{name}.nii.gz").rename(tmp_path / "labelsTr" / f"{name}_seg.nii.gz")
    with pytest.raises(ValueError, match=r"faults: 4.*\n  ./imagesTr/scan_0000.nii.gz has no label"):
        make_datalist(tmp_path, overwrite=True)


def test_a_folder_that_is_named_like_a_file(tmp_path):
    write_pairs(tmp_path, "ab")
    write(tmp_path / "imagesTr" / "c.nii.gz" / "c.nii")
    write(tmp_path / "labelsTr" / "c.nii.gz", label=True)
    (tmp_path / "labelsTr" / "Thumbs.db").touch()
    with pytest.raises(ValueError, match=r"imagesTr/c.nii.gz is a folder, not an image") as error:
        make_datalist(tmp_path)
    assert "Thumbs" not in str(error.value)
