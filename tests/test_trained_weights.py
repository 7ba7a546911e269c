"""The weights that come with a bundle are what its README says, and label as they always did."""

from pathlib import Path

import nibabel
import numpy as np
import pytest

from tests.helpers.trained_weights import RECORDED, TRAINED, label, label_phantom, make_phantom


def dice(one: np.ndarray, other: np.ndarray, value: int) -> float:
    one, other = one == value, other == value
    return 2 * (one & other).sum() / (one.sum() + other.sum())


@pytest.fixture(scope="module")
def phantom_image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The phantom that they have labelled."""
    image = make_phantom(tmp_path_factory.mktemp("phantom"))
    with np.load(RECORDED) as recorded:
        mean = np.asarray(nibabel.load(image).dataobj).mean()
        assert mean == pytest.approx(recorded["image"]), "phantoms have changed: record again"
    return image


@pytest.mark.parametrize("name", TRAINED)
@pytest.mark.usefixtures("one_thread")
def test_they_label_a_phantom_as_they_did(name: str, phantom_image: Path, tmp_path: Path) -> None:
    """Everything from the file's axes to the written label map shows here, for those who have no ../shared."""
    labels = label_phantom(name, phantom_image, tmp_path)
    with np.load(RECORDED) as recorded:
        then = recorded[name]
    assert min(dice(labels, then, value) for value in (1, 2)) > 0.97  # an engine's rounding turns a voxel over


def test_every_record_is_of_weights_that_are_there() -> None:
    with np.load(RECORDED) as recorded:
        assert set(recorded.files) == {"image", *TRAINED}, "record with tests.helpers.trained_weights"


@pytest.mark.parametrize("flip_tta", [False, True])
@pytest.mark.parametrize("name", TRAINED)
def test_they_label_a_case_of_their_data(name: str, flip_tta: bool, shared: Path, tmp_path: Path) -> None:
    data, case = shared / "data" / "Task04_Hippocampus", "hippocampus_156"
    label(name, data / "imagesTr" / f"{case}.nii.gz", tmp_path, flip_tta=flip_tta)
    labels, truth = (
        np.asarray(nibabel.load(path).dataobj)
        for path in (tmp_path / f"{case}_seg.nii.gz", data / "labelsTr" / f"{case}.nii.gz")
    )
    assert min(dice(labels, truth, value) for value in (1, 2)) > 0.7
