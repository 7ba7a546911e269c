"""Datasets of the study: patients stay whole, published splits are kept, images stay where they are."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lunet_networks.bundle.data.datalist import load_datalist
from tools.study.datasets import DATASETS, FOLDS, case_name, fold_of_groups, patient, stage


def test_both_frames_of_a_patient_and_patients_with_the_same_images_are_in_one_fold() -> None:
    cases = [f"patient{number:03}_frame{frame:02}" for number in range(60, 90) for frame in (1, 12)]
    folds = [fold_of_groups(cases, patient, fold) for fold in range(FOLDS)]
    assert sorted(case for fold in folds for case in fold) == cases
    for fold in folds:
        frames = [case for case in cases if patient(case) in {patient(each) for each in fold}]
        assert frames == fold
    assert sum({"patient074_frame01", "patient076_frame12"} <= set(fold) for fold in folds) == 1


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder of all data with six pictures, of which the second split holds out two."""
    folder = tmp_path / "data" / "ultrasound_busi"
    names = [f"benign_{number}" for number in range(6)]
    for name, value in {"images": 90, "masks": 255}.items():
        (folder / name).mkdir(parents=True)
        for case in names:
            picture = np.full((16, 16), value, np.uint8)
            picture[:8] = 0
            Image.fromarray(picture).save(folder / name / f"{case}.png")
    splits = {f"split{number}": {"training": names[:-number], "validation": names[-number:]} for number in (1, 2, 3)}
    (folder / "splits.json").write_text(json.dumps(splits))
    return folder.parent


def test_a_published_split_is_kept(pictures: Path, tmp_path: Path) -> None:
    folder, fold = stage(DATASETS["ultrasound"], "split2", pictures, tmp_path / "work")
    held_out = [case_name(case) for case in load_datalist(folder, "validation", fold)]
    assert held_out == ["benign_4", "benign_5"]
    assert len(load_datalist(folder, "training", fold)) == 4
    assert (folder / "images").resolve() == (pictures / "ultrasound_busi" / "images").resolve()
    assert sorted(path.name for path in (pictures / "ultrasound_busi").iterdir()) == ["images", "masks", "splits.json"]


def test_folds_are_the_bundles_own_where_nothing_groups_the_cases(pictures: Path, tmp_path: Path) -> None:
    dataset = replace(DATASETS["ultrasound"], splits=None)
    folder, fold = stage(dataset, "fold3", pictures, tmp_path / "work")
    assert fold == 3
    assert stage(dataset, "fold1", pictures, tmp_path / "work") == (folder, 1)
    assert len(load_datalist(folder, "validation", fold)) == 1


def test_where_some_pictures_are_in_colour_grey_copies_are_used(pictures: Path, tmp_path: Path) -> None:
    images = pictures / "ultrasound_busi" / "images"
    coloured = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    Image.fromarray(coloured).save(images / "benign_0.png")
    dataset = replace(DATASETS["ultrasound"], as_grey=True)
    with pytest.raises(ValueError, match="3 channels, 5 of 6 images have 1"):
        stage(replace(dataset, as_grey=False), "split1", pictures, tmp_path / "mixed")
    folder, _ = stage(dataset, "split1", pictures, tmp_path / "work")
    assert {Image.open(path).mode for path in (folder / "images").iterdir()} == {"L"}
    with Image.open(images / "benign_0.png") as untouched:
        assert untouched.mode == "RGB"


def test_a_dataset_that_is_not_there_and_a_part_that_it_lacks(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"heart_acdc is not there: give the folder .* with --data_dir"):
        stage(DATASETS["heart"], "fold0", tmp_path, tmp_path)
    with pytest.raises(ValueError, match="part is 'fold9'"):
        stage(DATASETS["heart"], "fold9", tmp_path, tmp_path)
