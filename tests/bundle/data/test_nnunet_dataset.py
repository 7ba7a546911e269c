"""nnU-Net's dataset.json is read as it is."""

import json
import logging
from pathlib import Path

import pytest

from lunet_networks.bundle.data.checks import check_data
from lunet_networks.bundle.data.datalist import labels_of, load_datalist, read_dataset_json
from tests.helpers.nnunet import DESCRIPTION, nnunet_dataset


@pytest.fixture
def dataset(tmp_path):
    """Writes a dataset.json and empty files: of the cases a and b, unless others are named."""

    def write(*files: str, **description) -> Path:
        default = [f"imagesTr/{case}_{channel:04d}.nii.gz" for case in "ab" for channel in range(2)]
        for file in files or (*default, "labelsTr/a.nii.gz", "labelsTr/b.nii.gz"):
            (tmp_path / file).parent.mkdir(exist_ok=True)
            (tmp_path / file).touch()
        (tmp_path / "dataset.json").write_text(json.dumps({**DESCRIPTION, "numTraining": 2, **description}))
        return tmp_path

    return write


def test_it_becomes_one_of_the_decathlon(dataset):
    folder = dataset()
    dataset("imagesTr/._a_0000.nii.gz", "imagesTr/c_0000.nii", "imagesTr/notes.txt", "labelsTr/Thumbs.db")
    dataset("imagesTs/t_0001.nii.gz", "imagesTs/t_0000.nii.gz")
    description = read_dataset_json(folder)
    assert labels_of(description) == {0: "background", 1: "head", 2: "tail"}
    assert description["modality"] == {"0": "T1", "1": "T2"}
    assert description["training"] == [
        {
            "image": [f"./imagesTr/{case}_{channel:04d}.nii.gz" for channel in range(2)],
            "label": f"./labelsTr/{case}.nii.gz",
        }
        for case in "ab"
    ]
    assert description["test"] == [{"image": ["./imagesTs/t_0000.nii.gz", "./imagesTs/t_0001.nii.gz"]}]
    assert load_datalist(folder, "test") == []
    held_out = load_datalist(folder, "validation", num_folds=2)
    assert Path(held_out[0]["image"][1]).is_file()
    assert not (folder / "imagesTr" / "dataset.json").exists()


def test_its_images_and_labels_fit(tmp_path):
    folder = nnunet_dataset(tmp_path / "data", cases=2, shape=(30, 36, 26))
    cases = [load_datalist(folder, section, num_folds=2)[0] for section in ("training", "validation")]
    assert check_data(cases, in_channels=2, label_values=range(3), spatial_dims=3).label_values == (0, 1, 2)


def test_one_channel(dataset):
    files = [f"imagesTr/{case}_0000.NII.GZ" for case in "ab"] + [f"labelsTr/{case}.nii.gz" for case in "ab"]
    description = read_dataset_json(dataset(*files, channel_names={"0": "CT"}))
    assert [case["image"] for case in description["training"]] == [
        "./imagesTr/a_0000.NII.GZ",
        "./imagesTr/b_0000.NII.GZ",
    ]
    assert description["modality"] == {"0": "CT"}


def test_a_picture_holds_its_colours_in_one_file(dataset):
    files = [f"imagesTr/{case}_0000.png" for case in "ab"] + [f"labelsTr/{case}.png" for case in "ab"]
    colours = {"0": "R", "1": "G", "2": "B"}
    description = read_dataset_json(dataset(*files, channel_names=colours, file_ending=".png"))
    assert description["training"][0] == {"image": "./imagesTr/a_0000.png", "label": "./labelsTr/a.png"}


def test_an_ignore_label_and_the_modality_of_older_files(dataset):
    labels = {"background": 0, "tumour": 1, "ignore": 2}
    folder = dataset(labels=labels)
    (folder / "dataset.json").write_text(
        json.dumps({"modality": {"0": "T1", "1": "T2"}, "labels": labels, "numTraining": 2, "file_ending": "nii.gz"})
    )
    assert labels_of(read_dataset_json(folder)) == {0: "background", 1: "tumour", 2: "ignore"}


def test_labelled_test_cases(dataset):
    dataset()
    folder = dataset("imagesTs/t_0000.nii.gz", "imagesTs/t_0001.nii.gz", "labelsTs/t.nii.gz")
    assert len(load_datalist(folder, "test")) == 1


def test_a_list_of_files_outside(dataset, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    images = [["../elsewhere/a1.nii", "../elsewhere/a2.nii"], [str(elsewhere / f"b{n}.nii") for n in range(2)]]
    labels = ["../elsewhere/a.nii", str(elsewhere / "b.nii")]
    cases = {case: {"images": i, "label": label} for case, i, label in zip("ab", images, labels, strict=True)}
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "dataset.json").write_text(json.dumps({**DESCRIPTION, "numTraining": 2, "dataset": cases}))
    elsewhere.mkdir()
    for name in ("a1", "a2", "a", "b0", "b1", "b"):
        (elsewhere / f"{name}.nii").touch()
    (case,) = load_datalist(tmp_path / "data", "validation", num_folds=2)
    assert len(case["image"]) == 2


@pytest.mark.parametrize(
    ("files", "faults"),
    [
        (
            ["imagesTr/c_0000.nii.gz", "imagesTr/c_0001.nii.gz"],
            ["c_0000.nii.gz, ./imagesTr/c_0001.nii.gz have no label"],
        ),
        (
            ["labelsTr/c.nii.gz", "labelsTr/d.nii.gz"],
            ["./labelsTr/c.nii.gz has no image", "./labelsTr/d.nii.gz has no"],
        ),
        (["imagesTr/b_0002.nii.gz"], ["b_0002.nii.gz are too many: case b needs 0000, 0001"]),
        (["imagesTr/b_0000.NII.GZ"], ["./imagesTr/b_0000.nii.gz are both case b_0000: keep one"]),
        (["imagesTs/t_0001.nii.gz"], ["./imagesTs/t_0001.nii.gz has no 0000 beside it"]),
        (["imagesTs/t_0000.nii.gz", "imagesTs/t_0001.nii.gz", "labelsTs/s.nii.gz"], ["t_0001.nii.gz have no label"]),
    ],
)
def test_files_without_a_partner_are_listed(dataset, files, faults):
    dataset()
    folder = dataset(*files)
    with pytest.raises(ValueError, match="does not describe a dataset") as error:
        read_dataset_json(folder)
    assert str(folder / "dataset.json") in str(error.value)
    for fault in faults:
        assert fault in str(error.value)
    assert len(str(error.value).splitlines()) <= 3


def test_a_missing_channel_is_named(dataset):
    folder = dataset()
    (folder / "imagesTr" / "a_0001.nii.gz").unlink()
    with pytest.raises(ValueError, match=r"imagesTr/a_0000.nii.gz has no 0001 beside it: case a needs 0000, 0001"):
        read_dataset_json(folder)


def test_a_wrong_number_of_cases_is_told_once(dataset, caplog):
    folder = dataset(numTraining=3)
    with caplog.at_level(logging.WARNING):
        read_dataset_json(folder)
        read_dataset_json(folder)
    assert caplog.text.count("numTraining is 3, but there are 2 cases: all of them are used") == 1


@pytest.mark.parametrize(
    ("description", "message"),
    [
        (
            {"labels": {"background": 0, "whole": [1, 2], "core": [2]}, "regions_class_order": [1, 2]},
            r"the labels whole, core are regions, which are not supported yet: give every label",
        ),
        ({"labels": {"background": 0, "head": 1, "tail": 3}}, "without gaps, not 0, 1, 3"),
        ({"labels": {"background": 0, "head": 1, "tail": 1}}, r"labels have to be names .* not \{'background': 0"),
        ({"labels": {"background": 0, "head": 1.0}}, "labels have to be names by voxel value"),
        ({"labels": {"background": 0, "head": True}}, "labels have to be names by voxel value"),
        ({"labels": {"1": 0, "0": 1}}, "labels have to be names by voxel value"),
        ({"channel_names": {"0": "T1", "2": "T2"}}, "channel_names has to name the channels, numbered from 0"),
        ({"channel_names": ["T1", "T2"]}, r"not \['T1', 'T2'\]"),
        ({"file_ending": ".npz"}, r"file_ending is '.npz': files can be read that end in .nii.gz, .nii, .nrrd"),
        ({"file_ending": None}, "file_ending is None"),
        ({"file_ending": ".nrrd"}, r"there are no images in .*imagesTr that end in .nrrd"),
        ({"dataset": ["a"]}, r"dataset has to be \{\"CASE\": .* not \['a'\]"),
        ({"dataset": {"a": {"images": "a.nii", "label": "b.nii"}}}, r"but 'a' is \{'images': 'a.nii'"),
        ({"dataset": {"a": {"images": ["a", "b", "c"], "label": "b.nii"}}}, "names 3 images of 'a', channel_names 2"),
    ],
)
def test_what_is_refused(dataset, description, message):
    folder = dataset(**description)
    with pytest.raises(ValueError, match=message) as error:
        read_dataset_json(folder)
    assert str(folder / "dataset.json") in str(error.value)
