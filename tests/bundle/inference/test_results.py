"""What an inference says of its label maps: names and colours in the forms of viewers, and volumes."""

import csv
import json
from pathlib import Path
from xml.etree import ElementTree

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813

from lunet_networks.bundle.data.labels import LABEL_COLOURS
from lunet_networks.bundle.runtime.errors import root_cause
from tests.helpers.runnable import LPS_THICK_SLICES, RunnableBundle, bright_block, save_image

pytestmark = pytest.mark.usefixtures("one_thread")
SHAPE = (30, 26, 9)
COLOURS = {"anterior": (86, 180, 233), "posterior": (245, 166, 35)}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> RunnableBundle:
    return RunnableBundle(tmp_path_factory.mktemp("bundle") / "lunet_small")


@pytest.fixture(scope="module")
def labels(bundle: RunnableBundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an inference on two images, in NIfTI and as segmentations of 3D Slicer."""
    folder = tmp_path_factory.mktemp("labels")
    for name, side in (("a", 30), ("b", 24)):
        save_image(folder / "images" / f"{name}.nii.gz", bright_block((side, *SHAPE[1:])), LPS_THICK_SLICES)
    bundle.infer(folder / "images", folder / "labels")
    bundle.infer(folder / "images", folder / "labels", output_format="seg.nrrd")
    return folder / "labels"


def test_files(labels: Path) -> None:
    assert sorted(path.name for path in labels.iterdir()) == [
        *("a.seg.nrrd", "a_seg.nii.gz", "b.seg.nrrd", "b_seg.nii.gz", "labels.ctbl", "labels.txt", "volumes.csv")
    ]


def test_volumes(labels: Path) -> None:
    with open(labels / "volumes.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["case"], row["label"]) for row in rows] == [(case, name) for case in "ab" for name in COLOURS]
    for row, value in zip(rows, (1, 2, 1, 2), strict=True):
        image = nib.load(labels / f"{row['case']}_seg.nii.gz")
        count = int((np.asarray(image.dataobj) == value).sum())
        assert int(row["voxels"]) == count
        assert float(row["volume_ml"]) == pytest.approx(count * 0.9 * 0.9 * 2.5 / 1000, rel=1e-5)
    assert int(rows[0]["voxels"]) > 0


def test_names_and_colours_in_a_nifti_header(labels: Path) -> None:
    (extension,) = nib.load(labels / "a_seg.nii.gz").header.extensions
    table = ElementTree.fromstring(extension.get_content()).find("VolumeInformation/LabelTable")
    found = {
        each.text: tuple(round(255 * float(each.get(name))) for name in ("Red", "Green", "Blue")) for each in table
    }
    assert found == COLOURS
    assert [each.get("Key") for each in table] == ["1", "2"]
    assert sitk.GetArrayFromImage(sitk.ReadImage(str(labels / "a_seg.nii.gz"))).max() == 1


def test_total_segmentator_reads_the_names(labels: Path) -> None:
    reader = pytest.importorskip("totalsegmentator.nifti_ext_header")
    image, names = reader.load_multilabel_nifti(labels / "a_seg.nii.gz")
    assert names == {1: "anterior", 2: "posterior"}
    assert image.shape == SHAPE


def test_tables_of_3d_slicer_and_itk_snap(labels: Path) -> None:
    lines = [line.split() for line in (labels / "labels.ctbl").read_text().splitlines() if not line.startswith("#")]
    assert {name: tuple(map(int, colour)) for _, name, *colour in lines[1:]} == {
        name: (*colour, 255) for name, colour in COLOURS.items()
    }
    assert lines[0] == ["0", "background", "0", "0", "0", "0"]
    lines = [line.split() for line in (labels / "labels.txt").read_text().splitlines() if not line.startswith("#")]
    assert {words[7].strip('"'): tuple(map(int, words[1:4])) for words in lines[1:]} == COLOURS


def test_a_segmentation_of_3d_slicer(labels: Path) -> None:
    image, label_map = (sitk.ReadImage(str(labels / name)) for name in ("a.seg.nrrd", "a_seg.nii.gz"))
    assert (sitk.GetArrayFromImage(image) == sitk.GetArrayFromImage(label_map)).all()
    for one, other in ((image.GetOrigin(), label_map.GetOrigin()), (image.GetDirection(), label_map.GetDirection())):
        np.testing.assert_allclose(one, other, atol=1e-5)
    np.testing.assert_allclose(image.GetSpacing(), label_map.GetSpacing(), atol=1e-5)
    found = np.argwhere(sitk.GetArrayFromImage(image).transpose() == 1)
    extent = " ".join(f"{low} {high}" for low, high in zip(found.min(0), found.max(0), strict=True))
    meta = {key: image.GetMetaData(key) for key in image.GetMetaDataKeys()}
    assert meta["Segment0_Name"] == "anterior"
    assert meta["Segment1_Name"] == "posterior"
    assert meta["Segment0_Extent"] == extent
    assert meta["Segment1_Extent"] == "0 -1 0 -1 0 -1"
    assert meta["Segment0_LabelValue"] == "1"
    assert [round(255 * float(part)) for part in meta["Segment1_Color"].split()] == list(COLOURS["posterior"])
    assert "SCT^5366008^Hippocampus" in meta["Segment0_Tags"]


def test_slicerio_reads_the_segmentation(labels: Path) -> None:
    slicerio = pytest.importorskip("slicerio")
    segmentation = slicerio.read_segmentation(str(labels / "a.seg.nrrd"))
    assert [(each["name"], each["labelValue"]) for each in segmentation["segments"]] == [
        *(("anterior", 1), ("posterior", 2))
    ]


def test_colours_are_those_of_metadata_json(bundle: RunnableBundle, labels: Path, tmp_path: Path) -> None:
    path = bundle.root / "configs" / "metadata.json"
    text = path.read_text()
    told = json.loads(text)
    assert [tuple(each["color"]) for each in told["segments"]] == [
        tuple(int(colour[place : place + 2], 16) for place in (1, 3, 5)) for colour in LABEL_COLOURS[:2]
    ]
    images = labels.parent / "images"
    try:
        told["segments"][0]["color"] = [1, 2, 3]
        del told["segments"][1]
        path.write_text(json.dumps(told))
        bundle.infer(images, tmp_path / "other")
        assert "1 anterior 1 2 3 255\n2 posterior 245 166 35 255" in (tmp_path / "other" / "labels.ctbl").read_text()
        told["segments"][0]["color"] = [1, 2]
        path.write_text(json.dumps(told))
        with pytest.raises(RuntimeError) as error:
            bundle.infer(images, tmp_path / "other")
        assert "metadata.json: segments of anterior has to hold" in str(root_cause(error.value))
    finally:
        path.write_text(text)


def test_an_unknown_format(bundle: RunnableBundle, labels: Path, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError) as error:
        bundle.infer(labels.parent / "images", tmp_path / "other", output_format="mha")
    assert "output_format is 'mha': it has to be one of nifti, seg.nrrd" in str(root_cause(error.value))
