"""Phantoms: their anatomy, spacings and contrasts."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from lunet_networks.authoring.samples.phantom import TEST, TRAINING, make_case
from lunet_networks.authoring.samples.phantom_settings import DIFFICULTIES, PhantomSettings

SMALL = (32, 40, 32)


def dice(guess, truth):
    return 2 * np.count_nonzero(guess & truth) / (np.count_nonzero(guess) + np.count_nonzero(truth))


@pytest.mark.parametrize("difficulty", DIFFICULTIES)
def test_anatomy(difficulty):
    for number in range(3):
        image, label = make_case(PhantomSettings(seed=2, difficulty=difficulty), TRAINING, number)
        sizes = np.bincount(label.ravel(), minlength=3)
        assert (sizes[1:] > 200).all()
        assert sizes[1:].sum() < 0.1 * label.size
        head, tail = (np.argwhere(label == value).mean(0) for value in (1, 2))
        assert head[1] > tail[1] + 10, "the head lies before the tail"
        assert image[label > 0].mean() < image[label == 0].mean(), "the structure is darker than its surroundings"


def test_labels_part_the_same_structure():
    image, two = make_case(PhantomSettings(shape=SMALL), TRAINING, 0)
    for num_labels, merged in ((1, [0, 1]), (4, [0, 1, 2, 2, 2])):
        other_image, label = make_case(PhantomSettings(shape=SMALL, num_labels=num_labels), TRAINING, 0)
        assert np.unique(label).tolist() == list(range(num_labels + 1))
        np.testing.assert_array_equal(other_image, image)
        np.testing.assert_array_equal(label > 0, two > 0)
        if num_labels == 4:
            assert (np.take(merged, label) != two).sum() < 0.02 * (two > 0).sum()
            middles = [np.argwhere(label == value).mean(0)[1] for value in range(1, 5)]
            assert middles == sorted(middles, reverse=True), "from the head to the tail"


@pytest.mark.parametrize("thick", range(3))
def test_thick_slices_show_every_label_and_as_much_structure(thick):
    shape, spacing = [56, 64, 56], [0.8, 0.8, 0.8]
    shape[thick], spacing[thick] = 16, 4.0
    for number in range(4):
        _, label = make_case(
            PhantomSettings(shape=tuple(shape), spacing=tuple(spacing), num_labels=4), TRAINING, number
        )
        assert np.unique(label).tolist() == [0, 1, 2, 3, 4]
        extent = [(np.ptp(where) + 1) * step for where, step in zip(np.nonzero(label), spacing, strict=True)]
        assert extent[1] > 1.3 * max(extent[0], extent[2]), "long from head to tail"
        assert min(extent[0], extent[2]) >= 8
        assert max(extent[0], extent[2]) <= 28


def test_two_channels_show_the_same_in_other_contrasts():
    image, label = make_case(PhantomSettings(shape=SMALL), TRAINING, 3)
    both, same_label = make_case(PhantomSettings(shape=SMALL, num_channels=2), TRAINING, 3)
    assert both.shape == (*label.shape, 2)
    assert both.dtype == np.int16
    np.testing.assert_array_equal(both[..., 0], image)
    np.testing.assert_array_equal(same_label, label)
    t1, t2 = np.moveaxis(both, -1, 0)
    assert t1[label > 0].mean() < t1[label == 0].mean()
    assert t2[label > 0].mean() > t2[label == 0].mean()
    assert np.corrcoef(t1.ravel(), t2.ravel())[0, 1] < 0


@pytest.mark.parametrize("difficulty", DIFFICULTIES)
def test_ct_is_in_hounsfield_units(difficulty):
    for number in range(2):
        image, label = make_case(PhantomSettings(difficulty=difficulty, modality="CT"), TRAINING, number)
        _, mr_label = make_case(PhantomSettings(difficulty=difficulty), TRAINING, number)
        np.testing.assert_array_equal(label, mr_label)
        assert image.dtype == np.int16
        assert image.min() >= -1024
        assert image.max() < 1200
        air, bone, soft = image < -900, image > 300, abs(image - 50) < 100
        assert abs(np.median(image[air]) + 1000) < 5
        assert 0.15 < air.mean() < 0.35
        assert 0.03 < bone.mean() < 0.15
        assert air[0, 0].all(), "the corners are air from head to foot"
        structure, around = image[label > 0], image[soft & (label == 0)]
        assert 20 < np.median(structure) < 60
        assert 10 < np.median(around) - np.median(structure) < 45
        assert 9 < 1.4826 * np.median(abs(structure - np.median(structure))) < 24, "noise"
        assert np.median(around) - np.median(structure) < 0.1 * image.std(), "hardly to be seen before clipping"


@pytest.mark.parametrize("modality", ["MRI", "CT"])
@pytest.mark.parametrize("spatial_dims", [2, 3])
def test_no_threshold_finds_the_structure(modality, spatial_dims):
    settings = PhantomSettings(spatial_dims=spatial_dims, modality=modality)
    best = []
    for number in range(3):
        image, label = make_case(settings, TRAINING, number)
        smooth, truth = gaussian_filter(np.clip(image.astype(float), -100, None), 1), label > 0
        low, middle, high = np.percentile(smooth[truth], (5, 50, 90))
        best.append(max(dice((smooth > low) & (smooth < high), truth), dice(smooth < middle, truth)))
    assert np.mean(best) < {2: 0.8, 3: 0.5}[spatial_dims]


def test_slices():
    for number in range(5):
        image, label = make_case(PhantomSettings(spatial_dims=2, shape=(48, 60), num_labels=4), TEST, number)
        assert image.shape == label.shape
        assert 40 <= image.shape[0] <= 48
        assert 50 <= image.shape[1] <= 60
        assert np.unique(label).tolist() == [0, 1, 2, 3, 4]
        assert 0.03 < (label > 0).mean() < 0.3


def test_every_other_training_case_is_labelled_in_part():
    whole, part = (PhantomSettings(shape=SMALL, ignore=ignore) for ignore in (False, True))
    for number in range(4):
        (image, label), (same_image, some) = make_case(whole, TRAINING, number), make_case(part, TRAINING, number)
        np.testing.assert_array_equal(image, same_image)
        ignored = some == 3
        np.testing.assert_array_equal(some[~ignored], label[~ignored])
        slices = ignored.all((0, 2))
        np.testing.assert_array_equal(ignored, np.broadcast_to(slices[:, None], ignored.shape))
        assert slices[0] + slices[-1] == (number % 2 == 0), "at one end"
        assert np.count_nonzero(np.diff(slices)) == (number % 2 == 0)
        assert {1, 2} <= set(np.unique(some).tolist())
    np.testing.assert_array_equal(make_case(part, TEST, 0)[1], make_case(whole, TEST, 0)[1])
