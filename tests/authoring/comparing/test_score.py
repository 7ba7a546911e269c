"""``lunet score``: the right figures, of the right files, of label maps that anybody made."""

import csv
import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from lunet_networks.commands import main

SHAPE = (12, 10, 8)


def status(*arguments: object) -> object:
    try:
        main([str(each) for each in arguments])
    except SystemExit as exit_:
        return exit_.code
    return None


def save(path: Path, label: np.ndarray, affine: np.ndarray | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(label.astype(np.int16), np.eye(4) if affine is None else affine), path)


def box(start: int, end: int, value: int = 1) -> np.ndarray:
    label = np.zeros(SHAPE)
    label[start:end, 2:6, 2:6] = value
    return label


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def dice(output: Path) -> dict[tuple[str, str], float]:
    return {(row["case"], row["label"]): float(row["dice"]) for row in rows(output / "cases.csv")}


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_figures_of_known_boxes(folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    thick = np.diag([3.0, 1.0, 1.0, 1.0])
    save(folders / "truth" / "a.nii.gz", box(2, 6), thick)
    save(folders / "found" / "a_pred.nii.gz", box(3, 7), thick)  # shifted by a voxel of 3 mm
    save(folders / "truth" / "b.nii.gz", box(2, 6))
    save(folders / "found" / "b_pred.nii.gz", box(2, 6))
    assert status("score", "found", "truth") is None
    assert dice(folders / "score")["a", "label_1"] == pytest.approx(0.75)
    first = rows(folders / "score" / "cases.csv")[0]
    assert (first["hd95_mm"], first["volume_truth_mm3"]) == ("3", str(4 * 4 * 4 * 3))
    mean = next(row for row in rows(folders / "score" / "summary.csv") if row["metric"] == "dice")
    assert (float(mean["mean"]), mean["n"], mean["cases"], mean["chose_best_model"]) == (
        0.875,
        "2",
        "scored",
        "unknown",
    )
    assert "label_1         0.875 ± 0.177" in capsys.readouterr().out
    page = (folders / "score" / "report.html").read_text()
    assert "found against truth" in page
    assert 'id="training"' not in page
    assert 'id="cases"' not in page


def test_absent_labels_have_the_one_rule(folders: Path) -> None:
    both = box(2, 4) + box(6, 8, value=2)
    save(folders / "truth" / "both.nii", both)
    save(folders / "found" / "both.nii", both)
    save(folders / "truth" / "invented.nii", box(2, 4))
    save(folders / "found" / "invented.nii", both)
    save(folders / "truth" / "neither.nii", box(2, 4))
    save(folders / "found" / "neither.nii", box(2, 4))
    assert status("score", "found", "truth", "--label_names", "liver,tumour") is None
    found = dice(folders / "score")
    assert (found["both", "tumour"], found["invented", "tumour"]) == (1, 0)
    assert np.isnan(found["neither", "tumour"])
    tumour = next(row for row in rows(folders / "score" / "summary.csv") if row["label"] == "tumour")
    assert (tumour["mean"], tumour["n"], tumour["missing"]) == ("0.5", "2", "1")


def test_another_grid_is_refused_by_name_and_others_are_measured(folders: Path) -> None:
    moved, rounded = np.eye(4), np.eye(4)
    moved[0, 3], rounded[0, 3] = 5, 1e-4
    for name, label, affine in (("moved", box(2, 6), moved), ("rounded", box(2, 6), rounded)):
        save(folders / "truth" / f"{name}.nii", box(2, 6))
        save(folders / "found" / f"{name}.nii", label, affine)
    save(folders / "truth" / "cut.nii", box(2, 6))
    save(folders / "found" / "cut.nii", box(2, 6)[1:])
    (folders / "found" / "empty.nii").touch()
    save(folders / "truth" / "empty.nii", box(2, 6))
    ending = str(status("score", "found", "truth"))
    assert ending.startswith("error: 3 of 4 label maps could not be measured:\n")
    assert "found/moved.nii lies up to 5 mm away from the truth" in ending
    assert "found/cut.nii is 11 x 10 x 8 voxels, the truth 12 x 10 x 8" in ending
    assert "found/empty.nii cannot be read" in ending
    assert dice(folders / "score") == {("rounded", "label_1"): 1, ("rounded", "whole"): 1}


def test_missing_label_maps_are_named(folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in "abc":
        save(folders / "truth" / f"{name}.nii", box(2, 6))
    save(folders / "found" / "a.nii", box(2, 6))
    save(folders / "found" / "x.nii", box(2, 6))
    assert status("score", "found", "truth") is None
    said = capsys.readouterr().out
    assert "2 of 3 cases have no label map to measure: b, c\nlabel maps without a truth: x\n" in said
    assert "2 of 3 cases have no label map to measure: b, c" in (folders / "score" / "report.html").read_text()


@pytest.mark.parametrize("place", ["truth", "."])
def test_names_of_labels_are_those_of_dataset_json(folders: Path, place: str) -> None:
    truth = box(2, 4) + box(6, 8, value=2)
    truth[0] = 3  # not annotated
    save(folders / "truth" / "a.nii", truth)
    save(folders / "found" / "a.nii", box(2, 4) + box(6, 8, value=2) + np.pad(box(0, 1)[:1], ((0, 11), (0, 0), (0, 0))))
    labels = {"background": 0, "liver": 1, "tumour": 2, "ignore": 3}  # nnU-Net's form, without its images
    (folders / place / "dataset.json").write_text(json.dumps({"labels": labels, "channel_names": {"0": "CT"}}))
    assert status("score", "found", "truth") is None
    assert dice(folders / "score") == {("a", "liver"): 1, ("a", "tumour"): 1, ("a", "whole"): 1}


def test_a_dataset_json_that_does_not_name_them(folders: Path) -> None:
    save(folders / "truth" / "a.nii", box(2, 4))
    save(folders / "found" / "a.nii", box(2, 4))
    (folders / "dataset.json").write_text('{"labels": {"background": 0, "whole tumour": [1, 2]}}')
    assert "dataset.json does not name the labels 0, 1, 2 ...: give --label_names" in str(
        status("score", "found", "truth")
    )
    assert status("score", "found", "truth", "--label_names", "tumour") is None


def test_values_with_gaps_are_named_by_their_value(folders: Path) -> None:
    save(folders / "truth" / "a.nii", box(2, 4, value=17) + box(6, 8, value=53))
    save(folders / "found" / "a.nii", box(2, 4, value=17) + box(5, 7, value=53))
    assert status("score", "found", "truth") is None
    assert dice(folders / "score") == {("a", "label_17"): 1, ("a", "label_53"): 0.5, ("a", "whole"): 0.75}


def test_values_without_a_name_are_refused(folders: Path) -> None:
    save(folders / "truth" / "a.nii", box(2, 4))
    save(folders / "found" / "a.nii", box(2, 4, value=3))
    ending = str(status("score", "found", "truth", "--label_names", "liver,tumour"))
    assert "found/a.nii holds the values 3, the labels are 0, 1, 2" in ending
    assert not (folders / "score").exists()


def test_masks_of_pictures(folders: Path) -> None:
    mask = np.zeros((8, 10), np.uint8)
    mask[2:6, 2:6] = 1
    for name, value in (("truth", 255), ("found", 1)):
        (folders / name).mkdir()
        Image.fromarray(mask * value).save(folders / name / "a.png")
    save(folders / "truth" / "b.nii", mask.T[..., None])
    save(folders / "found" / "b.nii", mask.T[..., None])
    assert status("score", "found", "truth") is None
    found = [(row["case"], row["dice"], row["iou"], row["accuracy"]) for row in rows(folders / "score" / "cases.csv")]
    assert found == [(case, "1", "1", "1") for case in ("a", "a", "b", "b")]


def test_an_earlier_score_is_not_overwritten(folders: Path) -> None:
    save(folders / "truth" / "a.nii", box(2, 4))
    save(folders / "found" / "a.nii", box(2, 4))
    assert status("score", "found", "truth") is None
    assert "score holds cases.csv, summary.csv, report.html" in str(status("score", "found", "truth"))
    assert status("score", "found", "truth", "--overwrite", "True") is None
    assert status("score", "found", "truth", "--output_dir", "second") is None


def test_nothing_to_measure(folders: Path) -> None:
    save(folders / "truth" / "a.nii", np.zeros(SHAPE))
    save(folders / "found" / "a.nii", np.zeros(SHAPE))
    assert "none of the label maps that can be read holds a label" in str(status("score", "found", "truth"))
    assert status("score", "found", "truth", "--label_names", "liver") is None  # of labels that none has: no figures
    assert np.isnan(dice(folders / "score")["a", "liver"])
