"""The weights that come with a bundle are what its README says, and label as they always did."""

from pathlib import Path

import numpy as np
import pytest

from tests.helpers.trained_weights import (
    RECORDED,
    TRAINED,
    is_for_pictures,
    label,
    label_sample,
    mean_key,
    read_labels,
    validation_cases,
)


def dice(one: np.ndarray, other: np.ndarray, value: int) -> float:
    one, other = one == value, other == value
    return 2 * (one & other).sum() / (one.sum() + other.sum())


@pytest.mark.parametrize("name", TRAINED)
@pytest.mark.usefixtures("one_thread")
def test_they_label_a_phantom_as_they_did(name: str, tmp_path: Path) -> None:
    """Everything from the file's axes to the written label map shows here, for those who have no ../shared."""
    mean, labels = label_sample(name, tmp_path)
    with np.load(RECORDED) as recorded:
        assert mean == pytest.approx(recorded[mean_key(name)]), "phantoms have changed: record again"
        then = recorded[name]
    values = [value for value in np.unique(then) if value]
    assert len(values) == (1 if is_for_pictures(name) else 2)
    assert min(dice(labels, then, value) for value in values) > 0.97  # an engine's rounding turns a voxel over


def test_every_record_is_of_weights_that_are_there() -> None:
    with np.load(RECORDED) as recorded:
        assert set(recorded.files) == {*TRAINED, *map(mean_key, TRAINED)}, "record with tests.helpers.trained_weights"


@pytest.mark.parametrize("flip_tta", [False, True])
@pytest.mark.parametrize("name", TRAINED)
def test_they_label_a_case_of_their_data(name: str, flip_tta: bool, shared: Path, tmp_path: Path) -> None:
    image, truth = _validation_case(name, shared / "data")
    label(name, image, tmp_path, flip_tta=flip_tta)
    (found,) = (path for path in tmp_path.iterdir() if path.name.endswith((".png", ".nii.gz")))
    labels, truth = read_labels(found), read_labels(truth)
    assert min(dice(labels, truth, value) for value in np.unique(truth)[1:]) > 0.7


def _validation_case(name: str, data: Path) -> tuple[Path, Path]:
    """Image and truth of a case that the training has validated."""
    if is_for_pictures(name):
        mask = data / "nuclei_dsb2018" / validation_cases(name)[0]
        return mask.parents[1] / "images" / mask.name, mask
    volumes = data / "Task04_Hippocampus"
    return volumes / "imagesTr" / "hippocampus_156.nii.gz", volumes / "labelsTr" / "hippocampus_156.nii.gz"
