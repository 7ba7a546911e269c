"""Label maps and their truth, paired by name."""

import unicodedata
from pathlib import Path

import pytest

from lunet_networks.authoring.comparing.pairs import find_pairs


def folder(path: Path, *names: str) -> Path:
    path.mkdir()
    for name in names:
        (path / name).touch()
    return path


def paired(tmp_path: Path, labels: list[str], truth: list[str]) -> tuple[dict[str, str], list[str], list[str]]:
    pairs = find_pairs(folder(tmp_path / "labels", *labels), folder(tmp_path / "truth", *truth))
    return {name: one.name for name, (one, _) in pairs.files.items()}, pairs.missing, pairs.extra


@pytest.mark.parametrize("label", ["a.nii.gz", "a.NII", "a.nrrd", "a_seg.nii.gz", "a_pred.nii.gz", "a-label_seg.nrrd"])
@pytest.mark.parametrize("truth", ["a.nii.gz", "a_gt.nrrd", "a_mask.png"])
def test_endings_and_suffixes_may_differ(tmp_path: Path, label: str, truth: str) -> None:
    files, missing, extra = paired(tmp_path, [label, "dataset.json", "._a.nii.gz"], [truth])
    assert (list(files.values()), missing, extra) == ([label], [], [])


def test_unicode_forms_are_one(tmp_path: Path) -> None:
    name = "père.nii.gz"
    composed, decomposed = (unicodedata.normalize(form, name) for form in ("NFC", "NFD"))
    assert paired(tmp_path, [decomposed], [composed])[1:] == ([], [])


def test_what_has_no_partner_is_named(tmp_path: Path) -> None:
    files, missing, extra = paired(tmp_path, ["a_seg.nii", "a_prob.nii", "c_seg.nii"], ["a.nii", "b.nii"])
    assert (files, missing, extra) == ({"a": "a_seg.nii"}, ["b"], ["a_prob", "c_seg"])


def test_the_very_name_counts_where_both_folders_have_suffixes(tmp_path: Path) -> None:
    names = ["a_seg.nii", "a_mask.nii"]  # two label maps of a case on both sides
    assert paired(tmp_path, names, names)[0] == {"a_seg": "a_seg.nii", "a_mask": "a_mask.nii"}


@pytest.mark.parametrize(
    ("labels", "truth"),
    [
        (["a_seg.nii", "a_pred.nii"], ["a.nii"]),
        (["a.nii", "a_pred.nii"], ["a.nii"]),
        (["a_pred.nii"], ["a_seg.nii", "a_mask.nii"]),
    ],
)
def test_doubts_are_told(tmp_path: Path, labels: list[str], truth: list[str]) -> None:
    with pytest.raises(ValueError, match=r"it is not clear which label maps are meant") as caught:
        paired(tmp_path, labels, truth)
    assert all(name in str(caught.value) for name in labels)


def test_folders_that_cannot_be_paired(tmp_path: Path) -> None:
    full = folder(tmp_path / "full", "a.nii")
    with pytest.raises(ValueError, match=r"there are a\.nii and b\.nii, for example"):
        find_pairs(full, folder(tmp_path / "others", "b.nii"))
    with pytest.raises(NotADirectoryError, match="nowhere is not a folder"):
        find_pairs(full, tmp_path / "nowhere")
    with pytest.raises(ValueError, match=r"files that cannot be told apart:\n.*keep one"):
        find_pairs(folder(tmp_path / "twice", "a.nii", "a.nrrd"), full)
    dataset = folder(tmp_path / "data", "dataset.json")
    (dataset / "labelsTr").mkdir()
    with pytest.raises(ValueError, match=r"holds no label map .*; do you mean .*labelsTr\?"):
        find_pairs(full, dataset)
