"""Names, endings, channels and unicode forms of the files of cases."""

import os
from pathlib import Path

import pytest

from lunet_networks.bundle.data.case_files import (
    FileFinder,
    case_names,
    file_ending,
    files_by_name,
    image_name,
    join_channels,
    nfc,
)

NFC, NFD = "l\u00e4sion", "la\u0308sion"  # as most systems write it, and as macOS does


@pytest.mark.parametrize(
    ("path", "name", "ending"),
    [
        ("imagesTr/a.nii.gz", "a", ".nii.gz"),
        ("imagesTr/A.NII.GZ", "A", ".NII.GZ"),
        ("a.Nii", "a", ".Nii"),
        ("scan.v1.2.NRRD", "scan.v1.2", ".NRRD"),
        ("b.PNG", "b", ".PNG"),
        ("b.TIFF", "b", ".TIFF"),
        ("b.Jpeg", "b", ".Jpeg"),
        (f"{NFD}.nii.gz", NFC, ".nii.gz"),
        ("notes.txt", "notes", ""),
    ],
)
def test_names_and_endings(path, name, ending):
    assert image_name(path) == image_name(Path(path)) == name
    assert file_ending(path) == ending


def test_a_name_of_bytes_that_are_no_text_can_be_written():
    assert image_name(os.fsdecode(b"l\xe4sion.nii.gz")).encode() == b"l?sion"


@pytest.mark.parametrize(
    ("images", "names"),
    [
        ([["a_0000.nii.gz", "a_0001.nii.gz"], ["b_0000.nii.gz", "b_0001.nii.gz"]], ["a", "b"]),
        (["a_0000.nii.gz", "b_0000.nii.gz"], ["a", "b"]),  # nnU-Net's layout with one channel
        (["a_0000.nii.gz", "a_0001.nii.gz"], ["a_0000", "a_0001"]),
        (["a_0000.nii.gz", "b.nii.gz"], ["a_0000", "b"]),
        ([["t1.nii", "t2.nii"]], ["t1"]),
        ([["year_2019.nii", "year_2020.nii"]], ["year_2019"]),
        (["_0000.nii.gz"], ["_0000"]),
        ([], []),
    ],
)
def test_the_number_of_a_channel_is_no_part_of_a_name(images, names):
    assert case_names(images) == names


def test_channels_are_joined_in_order():
    files = {name: f"{name}.nii.gz" for name in ("a_0001", "a_0000", "b", "c_0000")}
    assert join_channels(files) == (
        {"a": ["a_0000.nii.gz", "a_0001.nii.gz"], "b": "b.nii.gz", "c": "c_0000.nii.gz"},
        {},
    )


@pytest.mark.parametrize(
    ("names", "count", "fault"),
    [
        (["a_0001"], None, "a_0001 has no 0000 beside it: case a needs 0000, 0001"),
        (["a_0000", "a_0002"], None, "a_0000, a_0002 have no 0001 beside them: case a needs 0000, 0001, 0002"),
        (["a_0000"], 2, "a_0000 has no 0001 beside it: case a needs 0000, 0001"),
        (["a_0000", "a_0001"], 1, "a_0000, a_0001 are too many: case a needs 0000"),
        (["a", "a_0000"], 1, "a, a_0000 are all case a: keep the file without a number, or those with one"),
        (["a_0099"], 100, "a_0099 has no 0000, 0001, 0002, 0003, 0004, 0005, ... beside it"),
    ],
)
def test_incomplete_channels_are_named(names, count, fault):
    joined, faults = join_channels({name: name for name in names}, count)
    assert not joined
    assert faults["a"].startswith(fault)


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return folder


def test_files_by_name(tmp_path):
    touch(tmp_path, *(f"images/{name}" for name in ("b.NRRD", "a.NII.GZ", "._a.nii.gz", "Thumbs.db", ".DS_Store", "x")))
    assert files_by_name(tmp_path, "images") == ({"a": "./images/a.NII.GZ", "b": "./images/b.NRRD"}, [])
    assert files_by_name(tmp_path, "images", (".nii.gz",))[0] == {"a": "./images/a.NII.GZ"}
    assert files_by_name(tmp_path, "nowhere") == ({}, [])


def test_files_that_cannot_be_told_apart_are_named(tmp_path):
    touch(tmp_path, "images/a.nii", "images/a.NII.GZ", f"images/{NFC}.nii", f"images/{NFD}.nii")
    (tmp_path / "images" / "c.nii.gz").mkdir()
    found, faults = files_by_name(tmp_path, "images")
    assert list(found) == ["a", NFC]
    assert faults == [
        "./images/a.NII.GZ and ./images/a.nii are both case a: keep one",
        "./images/c.nii.gz is a folder, not an image: put the file that it holds in its place",
        f"./images/{NFD}.nii and ./images/{NFC}.nii are both case {NFC} (in two unicode forms): keep one",
    ]


@pytest.mark.parametrize(("listed", "stored"), [(NFC, NFD), (NFD, NFC)])
def test_a_file_is_found_in_the_other_unicode_form(tmp_path, listed, stored):
    touch(tmp_path, f"{stored}/images/{stored}.nii.gz", f"{stored}/images/other.nii.gz")
    finder = FileFinder()
    assert finder.find(tmp_path / listed / "images" / f"{listed}.nii.gz") == str(
        tmp_path / stored / "images" / f"{stored}.nii.gz"
    )
    assert finder.find(tmp_path / listed / "images" / f"{listed}2.nii.gz") is None
    assert finder.find(tmp_path / "images" / "a.nii.gz") is None
    assert finder.find(tmp_path / listed / f"{'x' * 300}.nii.gz") is None


def test_a_file_that_may_be_one_of_two_is_refused(tmp_path):
    names = ["e\u0301\u00e9.nii", "\u00e9e\u0301.nii"]  # of two accents, one in either form
    touch(tmp_path, *names)
    with pytest.raises(ValueError, match=r"may be .*keep one of them"):
        FileFinder().find(tmp_path / nfc(names[0]))
    assert FileFinder().find(tmp_path / names[1]) == str(tmp_path / names[1])


def test_an_image_is_found_by_its_channels(tmp_path):
    touch(tmp_path, "a_0000.nii.gz", "a_0001.nii.gz", "b_0000.nii.gz", "c.nii.gz", "c_0000.nii.gz", "d_0001.nii.gz")
    finder = FileFinder()
    assert finder.find_image(tmp_path / "a.nii.gz") == [str(tmp_path / f"a_000{n}.nii.gz") for n in range(2)]
    assert finder.find_image(tmp_path / "b.nii.gz") == str(tmp_path / "b_0000.nii.gz")
    assert finder.find_image(tmp_path / "c.nii.gz") == str(tmp_path / "c.nii.gz")
    assert finder.find_image(tmp_path / "d.nii.gz") is None
    assert finder.find_image(tmp_path / "d.txt") is None
