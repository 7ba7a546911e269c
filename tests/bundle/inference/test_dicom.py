"""DICOM in and out: series are found, told apart and refused, and labelled as the same volume in NIfTI is."""

import csv
import re
import shutil
import subprocess
import zipfile
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from lunet_networks.authoring.planning.pairing import find_cases
from lunet_networks.bundle.data import dicom_series
from lunet_networks.bundle.data.dicom_series import find_series
from lunet_networks.bundle.inference.found_images import find_images
from lunet_networks.bundle.runtime.errors import root_cause
from tests.helpers.dicom import write_series
from tests.helpers.runnable import LPS_THICK_SLICES, RunnableBundle, bright_block

pytest.importorskip("pydicom", reason='pydicom is not installed: pip install "lunet-networks[dicom]"')
pytestmark = pytest.mark.usefixtures("one_thread")
SHAPE = (30, 26, 9)
UID = "1.2.826.0.1.3680043.8.498.{}"


def turned(x: tuple, y: tuple, z: tuple) -> np.ndarray:
    """An affine whose columns are given."""
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = np.array([x, y, z], float).T, [12, -30, 4.5]
    return affine


COS, SIN = np.cos(0.3), np.sin(0.3)
# No spacing puts a voxel half way between two of 1 mm, where probabilities of 0 and 1 tie.
GRIDS = {  # with slices in the order of the normal of their plane, and against it
    "axial": turned((-0.87, 0, 0), (0, -0.87, 0), (0, 0, 2.3)),
    "sagittal": turned((0, -0.87, 0), (0, 0, -0.87), (-2.3, 0, 0)),
    "coronal from the back": turned((-0.87, 0, 0), (0, 0, -0.87), (0, 2.3, 0)),
    "oblique": turned((-0.87 * COS, -0.87 * SIN, 0), (1.13 * SIN, -1.13 * COS, 0), (0, 0, 2.3)),
    "sheared by a gantry": turned((-0.87, 0, 0), (0, -0.87, 0), (0, 0.37, 2.3)),
}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> RunnableBundle:
    return RunnableBundle(tmp_path_factory.mktemp("bundle") / "lunet_small")


def volume(shape: tuple[int, int, int] = SHAPE) -> np.ndarray:
    """Stored values of a bright block in noise."""
    noise = np.random.default_rng(0).normal(scale=20, size=shape)
    return (1000 * bright_block(shape) + noise + 500).astype(np.int16)


def on_grid(label_map: nib.Nifti1Image, affine: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """A label map on the voxels of a grid that has the same voxels in another order."""
    found = np.argwhere(np.ones(label_map.shape))
    places = np.c_[found, np.ones(len(found))] @ label_map.affine.T @ np.linalg.inv(affine).T
    voxels = np.rint(places[:, :3]).astype(int)
    assert np.abs(places[:, :3] - voxels).max() < 0.01
    labels = np.full(shape, 255)
    labels[tuple(voxels.T)] = np.asarray(label_map.dataobj)[tuple(found.T)]
    return labels


@pytest.mark.parametrize("grid", GRIDS)
def test_the_labels_are_those_of_the_volume_in_nifti(bundle: RunnableBundle, tmp_path: Path, grid: str) -> None:
    affine = GRIDS[grid]
    nib.save(nib.Nifti1Image(volume() * 1.5 - 1024, affine), tmp_path / "case.nii.gz")
    order = np.random.default_rng(1).permutation(SHAPE[2]).tolist()
    scaled = {"slope": 1.5, "intercept": -1024, "modality": "CT"}
    write_series(tmp_path / "dicom", volume(), affine, name="IM{}", order=order, **scaled)
    for name in ("case.nii.gz", "dicom"):
        bundle.infer(tmp_path / name, tmp_path / "labels")
    (written,) = (tmp_path / "labels").glob("ct_*_seg.nii.gz")
    expected = np.asarray(nib.load(tmp_path / "labels" / "case_seg.nii.gz").dataobj)
    np.testing.assert_array_equal(on_grid(nib.load(written), affine, SHAPE), expected)
    assert expected.max() == 1


def test_series_are_told_apart(tmp_path: Path) -> None:
    for place, number in (("dicom", 1), ("dicom", 2), ("dicom/deeper/still", 3)):
        write_series(
            tmp_path / place, volume(), LPS_THICK_SLICES, name=f"{number}_{{}}", series=UID.format(number),
            SeriesNumber=number,
        )  # fmt: skip
    (tmp_path / "dicom" / "notes.txt").write_text("nothing")
    found = find_series(tmp_path / "dicom")
    assert [len(each.files) for each in found] == [9, 9, 9]
    assert [each.name.rpartition("_")[0] for each in found] == ["mr_1", "mr_2", "mr_3"]
    assert [each.path for each in found] == [f"{tmp_path}/dicom#{UID.format(number)}" for number in (1, 2, 3)]
    assert not any("doe" in each.name.lower() or "0815" in each.name for each in found)
    images, refused = find_images(tmp_path / "dicom")
    assert (images, refused) == ([each.path for each in found], [])
    assert len(find_series(tmp_path / "dicom" / "deeper")) == 1
    assert find_images(tmp_path / "dicom" / "1_1")[0] == [f"{tmp_path}/dicom/1_1#{UID.format(1)}"]
    listed = [str(tmp_path / "dicom" / "deeper"), "case.nii.gz"]
    assert find_images(listed)[0] == [f"{tmp_path}/dicom/deeper#{UID.format(3)}", "case.nii.gz"]


def test_a_zip_and_a_file_of_several_frames(bundle: RunnableBundle, tmp_path: Path) -> None:
    highdicom = pytest.importorskip("highdicom")
    pydicom = pytest.importorskip("pydicom")
    files = write_series(tmp_path / "dicom", volume(), LPS_THICK_SLICES, ImageType=["ORIGINAL", "PRIMARY", "M", "NORM"])
    with zipfile.ZipFile(tmp_path / "series.zip", "w") as archive:
        for file in files:
            archive.write(file, f"Doe/{file.stem}")
    whole = highdicom.legacy.LegacyConvertedEnhancedMRImage(
        [pydicom.dcmread(file) for file in files], highdicom.UID(), 4, highdicom.UID(), 1
    )
    whole.save_as(tmp_path / "frames.dcm")
    for name in ("dicom", "series.zip", "frames.dcm"):
        for output_format in ("nifti", "dicom_seg"):
            bundle.infer(tmp_path / name, tmp_path / f"of_{name}", output_format=output_format)
    written = [next((tmp_path / f"of_{name}").glob("*.nii.gz")) for name in ("dicom", "series.zip", "frames.dcm")]
    assert written[0].name == written[1].name
    expected = on_grid(nib.load(written[0]), LPS_THICK_SLICES, SHAPE)
    assert expected.max() == 1
    for path in written[1:]:
        np.testing.assert_array_equal(on_grid(nib.load(path), LPS_THICK_SLICES, SHAPE), expected)
    for name in ("dicom", "series.zip", "frames.dcm"):
        segmentation = highdicom.seg.segread(next((tmp_path / f"of_{name}").glob("*_seg.dcm")))
        assert segmentation.get_volume(combine_segments=True).array.sum() == expected.sum()


FAULTS = {
    "a gap": ({"order": [0, 1, 2, 4, 5, 6]}, r"has a gap: 003\.dcm and 004\.dcm lie 5 mm apart, other slices 2\.5 mm"),
    "mixed orientations": ({}, r"mixes orientations: .*\.dcm lies otherwise than .*\.dcm, as in a localizer"),
    "two slices at one position": (
        {"order": [0, 1, 1, 2, 3]},
        r"has two slices at one position, 002\.dcm and 003\.dcm",
    ),
    "colour": ({"SamplesPerPixel": 3}, "is in colour: only grey images can be read from DICOM"),
    "no positions": ({"ImagePositionPatient": None}, "has no position of its slices: .* lacks ImagePositionPatient"),
}


@pytest.mark.parametrize("kind", FAULTS)
def test_series_that_make_no_volume_are_named_and_the_others_labelled(
    bundle: RunnableBundle, tmp_path: Path, kind: str
) -> None:
    changes, message = FAULTS[kind]
    write_series(tmp_path / "dicom" / "bad", volume(), LPS_THICK_SLICES, **changes)
    if kind == "mixed orientations":
        sagittal = {"order": [0], "name": "scout{}.dcm"}
        write_series(tmp_path / "dicom" / "bad", volume(), GRIDS["sagittal"], **sagittal)
    write_series(tmp_path / "dicom" / "good", volume(), LPS_THICK_SLICES, series=UID.format(7), SeriesNumber=7)
    with pytest.raises(BaseException) as error:  # noqa: PT011
        bundle.infer(tmp_path / "dicom", tmp_path / "labels")
    told = str(root_cause(error.value))
    assert told.startswith("error: 1 of 2 images could not be labelled:")
    assert re.search(message, told), told
    assert "series mr_3_" in told
    assert [path.name[:5] for path in (tmp_path / "labels").glob("*.nii.gz")] == ["mr_7_"]


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    first, *_ = write_series(tmp_path / "dicom", volume(), LPS_THICK_SLICES)
    (tmp_path / "dicom" / "damaged.dcm").write_bytes(first.read_bytes()[:140] + b"\xff" * 60)
    images, refused = find_images(tmp_path / "dicom")
    assert len(images) == 1
    ((name, fault),) = refused
    assert "damaged.dcm" in name
    assert fault.startswith("cannot be read as DICOM")


def test_objects_that_are_no_images_are_left_out(tmp_path: Path) -> None:
    write_series(tmp_path / "dicom", volume(), LPS_THICK_SLICES, Modality="SEG")
    with pytest.raises(ValueError, match="hold no images, only other objects"):
        find_images(tmp_path / "dicom")


def test_a_segmentation_lies_on_the_images_and_says_what_it_is(bundle: RunnableBundle, tmp_path: Path) -> None:
    highdicom = pytest.importorskip("highdicom")
    import SimpleITK as sitk  # noqa: N813

    affine = GRIDS["oblique"]
    write_series(tmp_path / "dicom", volume(), affine)
    for output_format in ("nifti", "dicom_seg"):
        bundle.infer(tmp_path / "dicom", tmp_path / "labels", output_format=output_format)
    expected = on_grid(nib.load(next((tmp_path / "labels").glob("*.nii.gz"))), affine, SHAPE)
    (path,) = (tmp_path / "labels").glob("*_seg.dcm")
    segmentation = highdicom.seg.segread(path)
    found = segmentation.get_volume(combine_segments=True)
    placed = nib.Nifti1Image(found.array.astype(np.int16), np.diag([-1.0, -1.0, 1.0, 1.0]) @ found.affine)
    voxels = np.argwhere(placed.get_fdata() > 0)
    on_image = np.rint(np.c_[voxels, np.ones(len(voxels))] @ placed.affine.T @ np.linalg.inv(affine).T)[:, :3]
    labels = np.zeros(SHAPE, int)
    labels[tuple(on_image.astype(int).T)] = found.array[tuple(voxels.T)]
    np.testing.assert_array_equal(labels, expected)
    image = sitk.ReadImage(str(path))  # a frame for each slice that a segment has
    assert image.GetSize()[:2] == SHAPE[:2]
    assert (sitk.GetArrayFromImage(image) > 0).sum() == (expected > 0).sum()
    assert segmentation.PatientName == "Doe^Jane"
    assert segmentation.StudyInstanceUID == UID.format(1)
    held = {f"{UID.format('1.1')}.{k + 1}" for k in np.flatnonzero(expected.any(axis=(0, 1)))}
    assert held <= {uid for _, _, uid in segmentation.get_source_image_uids()}
    described = segmentation.get_segment_description(1)
    assert described.segment_label == "anterior"
    assert described.segmented_property_type.value == "5366008"
    colour = described.RecommendedDisplayCIELabValue
    rgb = highdicom.color.CIELabColor.from_dicom_value(colour).to_rgb()
    np.testing.assert_allclose(rgb, (86, 180, 233), atol=3)


def test_the_table_of_series_tells_which_case_is_which(bundle: RunnableBundle, tmp_path: Path) -> None:
    write_series(tmp_path / "dicom", volume(), LPS_THICK_SLICES)
    bundle.infer(tmp_path / "dicom", tmp_path / "labels")
    with open(tmp_path / "labels" / "series.csv", newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["series_uid"], row["description"], row["files"]) == (UID.format("1.1"), "T1 head", "9")
    assert (tmp_path / "labels" / f"{row['case']}_seg.nii.gz").is_file()
    assert "Doe" not in (tmp_path / "labels" / "series.csv").read_text()


def test_what_a_segmentation_needs(bundle: RunnableBundle, tmp_path: Path) -> None:
    pytest.importorskip("highdicom")
    nib.save(nib.Nifti1Image(volume(), LPS_THICK_SLICES), tmp_path / "case.nii.gz")
    with pytest.raises(RuntimeError) as error:
        bundle.infer(tmp_path / "case.nii.gz", tmp_path / "labels", output_format="dicom_seg")
    assert "output_format dicom_seg needs DICOM images" in str(root_cause(error.value))


def test_the_packages_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_series(tmp_path / "dicom", volume(), LPS_THICK_SLICES)
    monkeypatch.setattr(dicom_series, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r'pip install "lunet-networks\[dicom\]"'):
        find_images(tmp_path / "dicom")


def test_a_dataset_of_dicom_is_told_how_to_be_converted(tmp_path: Path) -> None:
    write_series(tmp_path / "dicom" / "a", volume(), LPS_THICK_SLICES)
    with pytest.raises(ValueError, match=r"(?s)no training cases in .* holds DICOM") as error:
        find_cases(tmp_path / "dicom")
    assert f'for series in {tmp_path}/dicom/*/; do dcm2niix -z y -b n -f %f -o DATA/imagesTr "$series"; done\n' in str(
        error.value
    )


@pytest.mark.skipif(not shutil.which("dcm2niix"), reason="dcm2niix is not installed")
def test_the_command_converts_each_series(tmp_path: Path) -> None:
    for number, name in enumerate(("a", "b")):
        write_series(tmp_path / "my dicom" / name, volume(), LPS_THICK_SLICES, series=f"1.2.3.{number}")
    with pytest.raises(ValueError, match="dcm2niix") as error:
        find_cases(tmp_path / "my dicom")
    (tmp_path / "DATA" / "imagesTr").mkdir(parents=True)
    (loop,) = re.findall(r"for series in .*; done", str(error.value))
    subprocess.run(["bash", "-c", loop], cwd=tmp_path, check=True)
    for name in ("a", "b"):
        image = nib.load(tmp_path / "DATA" / "imagesTr" / f"{name}.nii.gz")
        np.testing.assert_allclose(on_grid(image, LPS_THICK_SLICES, SHAPE), volume())


def test_images_that_are_dicom_beside_label_maps_are_told_how_to_be_converted(tmp_path: Path) -> None:
    write_series(tmp_path / "imagesTr" / "a", volume(), LPS_THICK_SLICES)
    (tmp_path / "labelsTr").mkdir()
    nib.save(nib.Nifti1Image(np.zeros(SHAPE, np.uint8), np.eye(4)), tmp_path / "labelsTr" / "a.nii.gz")
    with pytest.raises(ValueError, match=r"(?s)cannot be paired .*labelsTr/a\.nii\.gz.*dcm2niix") as error:
        find_cases(tmp_path)
    assert "put label maps of the same names into DATA/labelsTr" in str(error.value)


def test_the_documented_lines_turn_series_and_segmentations_into_a_dataset(
    bundle: RunnableBundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, repository: Path
) -> None:
    pytest.importorskip("highdicom")
    write_series(tmp_path / "dicom" / "a", volume(), GRIDS["oblique"], slope=2.0, intercept=-30.0)
    bundle.infer(tmp_path / "dicom" / "a", tmp_path / "labels", output_format="dicom_seg")
    (tmp_path / "seg").mkdir()
    next((tmp_path / "labels").glob("*_seg.dcm")).rename(tmp_path / "seg" / "a.dcm")
    monkeypatch.chdir(tmp_path)
    (lines,) = re.findall(r"```python\n(.*?)```", (repository / "docs" / "dicom.md").read_text(), re.DOTALL)
    exec(compile(lines, "docs/dicom.md", "exec"), {})
    image, label = (nib.load(tmp_path / "DATA" / place / "a.nii.gz") for place in ("imagesTr", "labelsTr"))
    np.testing.assert_allclose(on_grid(image, GRIDS["oblique"], SHAPE), volume() * 2.0 - 30)
    np.testing.assert_allclose(label.affine, image.affine)
    assert set(np.unique(label.get_fdata())) == {0, 1}
    bundle.infer(tmp_path / "DATA" / "imagesTr" / "a.nii.gz", tmp_path / "labels")
    np.testing.assert_array_equal(label.dataobj, nib.load(tmp_path / "labels" / "a_seg.nii.gz").dataobj)
    cases = find_cases(tmp_path / "DATA")["training"]
    assert cases == [{"image": "./imagesTr/a.nii.gz", "label": "./labelsTr/a.nii.gz"}]
