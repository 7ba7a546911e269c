"""Metrics of single cases against what can be computed by hand or by brute force, on anisotropic voxels."""

import math

import numpy as np
import pytest
import torch
from monai.metrics import compute_dice
from scipy.ndimage import binary_erosion
from scipy.spatial.distance import cdist

from lunet_networks.bundle.evaluation.metrics import WHOLE, measure_case

SPACING = (0.5, 1.0, 2.0)


def box(start_mm, size_mm, spacing=SPACING, field_mm=(40.0, 40.0, 40.0)):
    """A box in the middle of the voxels that it covers."""
    label_map = torch.zeros([round(side / step) for side, step in zip(field_mm, spacing, strict=True)])
    label_map[
        tuple(
            slice(round(start / step), round((start + size) / step))
            for start, size, step in zip(start_mm, size_mm, spacing, strict=True)
        )
    ] = 1
    return label_map


def sphere(centre_mm, radius_mm, spacing=SPACING, field_mm=(40.0, 40.0, 40.0)):
    axes = (np.arange(round(side / step)) * step for side, step in zip(field_mm, spacing, strict=True))
    offsets = np.meshgrid(*(axis - c for axis, c in zip(axes, centre_mm, strict=True)), indexing="ij")
    return torch.from_numpy((sum(offset**2 for offset in offsets) <= radius_mm**2).astype(np.float32))


def only(prediction, truth, spacing=SPACING):
    return measure_case(prediction, truth, spacing, ["lesion"])["lesion"]


def test_volumes_are_in_mm3():
    found = only(box((4, 4, 4), (10, 8, 6)), box((4, 4, 4), (10, 10, 10)))
    assert (found.volume_truth, found.volume_prediction) == (1000, 480)
    assert found.dice == pytest.approx(2 * 480 / 1480)


@pytest.mark.parametrize(("axis", "shift"), [(0, 2.5), (1, 3.0), (2, 4.0)])
def test_hd95_of_a_shifted_box_is_the_shift(axis, shift):
    start = [8.0, 8.0, 8.0]
    start[axis] += shift
    found = only(box(start, (16, 16, 16)), box((8, 8, 8), (16, 16, 16)))
    assert found.hd95 == pytest.approx(shift)


def test_hd95_of_concentric_spheres_is_the_difference_of_their_radii():
    centre = (20, 20, 20)
    found = only(sphere(centre, 12), sphere(centre, 8))
    assert found.hd95 == pytest.approx(4, abs=0.5)  # half the resolution of the finer voxels


@pytest.mark.parametrize("seed", range(3))
def test_hd95_is_that_of_brute_force(seed):
    random = np.random.default_rng(seed)
    centres = 20 + random.uniform(-3, 3, (2, 3))
    prediction, truth = sphere(centres[0], 6), sphere(centres[1], 8)
    distances = cdist(surface_voxels(prediction), surface_voxels(truth))
    expected = max(np.percentile(distances.min(axis), 95) for axis in (0, 1))
    assert only(prediction, truth).hd95 == pytest.approx(expected, rel=1e-5)


def surface_voxels(label_map):
    mask = label_map.numpy() > 0
    return np.argwhere(mask & ~binary_erosion(mask)) * np.array(SPACING)


@pytest.mark.parametrize(("axis", "shift"), [(0, 3.0), (1, 3.0), (2, 4.0)])
def test_nsd_of_a_shifted_box_is_the_share_of_its_area_near_the_other(axis, shift):
    sides = [16.0, 18.0, 20.0]
    start = [8.0, 8.0, 8.0]
    start[axis] += shift
    found = only(box(start, sides), box((8, 8, 8), sides))
    along, (a, b) = sides[axis], sides[:axis] + sides[axis + 1 :]
    # The faces across the shift are off, but for a rim of 1 mm on the one that lies inside the other box; of the other
    # faces what sticks out by more than 1 mm.
    near = 2 * (a + b) * (along - shift + 1) + a * b - (a - 2) * (b - 2)
    assert found.nsd == pytest.approx(near / (2 * (a + b) * along + 2 * a * b), abs=0.04)


@pytest.mark.parametrize(("difference", "expected"), [(0.5, 1.0), (3.0, 0.0)])
def test_nsd_of_concentric_spheres(difference, expected):
    fine = (0.5, 0.5, 0.5)
    centre = (12, 12, 12)
    truth = sphere(centre, 7, fine, (24, 24, 24))
    assert only(sphere(centre, 7 + difference, fine, (24, 24, 24)), truth, fine).nsd == expected


def test_a_structure_at_the_border_has_a_surface_there():
    prediction, truth = torch.zeros(12, 10, 8), torch.zeros(12, 10, 8)
    prediction[:5, :5, :5], truth[:7, :5, :5] = 1, 1
    padded = [torch.nn.functional.pad(label_map, [4] * 6) for label_map in (prediction, truth)]
    assert only(prediction, truth) == only(*padded)


def test_labels_and_their_union_are_measured_apart():
    truth = box((4, 4, 4), (10, 10, 10))
    truth[truth.shape[0] // 4 :] *= 2
    swapped = torch.where(truth > 0, 3 - truth, 0)
    found = measure_case(swapped, truth, SPACING, ["anterior", "posterior"])
    assert list(found) == ["anterior", "posterior", WHOLE]
    assert (found["anterior"].dice, found["posterior"].dice, found[WHOLE].dice) == (0, 0, 1)
    assert (found[WHOLE].hd95, found[WHOLE].nsd) == (0, 1)


def test_absent_labels():
    full, empty = box((4, 4, 4), (4, 4, 4)), torch.zeros(80, 40, 20)
    neither = only(empty, empty)
    assert all(math.isnan(value) for value in (neither.dice, neither.hd95, neither.nsd)), "nothing to measure"
    assert (neither.volume_truth, neither.volume_prediction) == (0, 0)
    for found in (only(full, empty), only(empty, full)):
        assert (found.dice, found.nsd) == (0, 0)
        assert math.isnan(found.hd95)


def test_dice_is_monais_to_the_last_bit():
    prediction, truth = (torch.rand(2, 9, 8, 7) * 3).floor()
    found = measure_case(prediction, truth, SPACING, ["a", "b"])
    for value, label in ((1, "a"), (2, "b")):
        masks = (prediction == value)[None, None], (truth == value)[None, None]
        assert found[label].dice == compute_dice(*masks).item()


def test_two_dimensions():
    truth = torch.zeros(20, 10)
    truth[4:12, 2:8] = 1
    found = measure_case(truth.roll(2, dims=0), truth, (0.5, 1.0), ["nucleus"])["nucleus"]
    assert (found.dice, found.hd95, found.volume_truth) == (0.75, 1.0, 24)


def test_iou_and_accuracy_of_pixels():
    prediction, truth = (torch.rand(2, 9, 13) * 3).floor()
    in_a_margin = (torch.nn.functional.pad(labels, (5, 0, 0, 4)) for labels in (prediction, truth))
    found = measure_case(*in_a_margin, (1.0, 1.0), ["a", "b"])
    for value, label in ((1, "a"), (2, "b")):
        p, t = prediction == value, truth == value
        metrics = found[label]
        assert metrics.iou == pytest.approx(((p & t).sum() / (p | t).sum()).item())
        assert metrics.iou == pytest.approx(metrics.dice / (2 - metrics.dice))
        wrong = (p != t).sum().item()
        assert metrics.accuracy == pytest.approx(1 - wrong / (13 * 18)), "of the whole picture, margins included"
    empty, full = torch.zeros(4, 4), torch.ones(4, 4)
    neither, missed = only(empty, empty, (1.0, 1.0)), only(empty, full, (1.0, 1.0))
    assert math.isnan(neither.iou)
    assert (neither.accuracy, missed.iou, missed.accuracy) == (1, 0, 0)
    assert math.isnan(only(box((4, 4, 4), (10, 8, 6)), box((4, 4, 4), (10, 8, 6))).accuracy), "not told of volumes"


@pytest.mark.parametrize(("shape", "spacing"), [((4, 4, 5), SPACING), ((4, 4, 4), (1.0, 1.0))])
def test_grids_that_do_not_match_are_refused(shape, spacing):
    with pytest.raises(ValueError, match=r"voxels|spacings"):
        measure_case(torch.zeros(shape), torch.zeros(4, 4, 4), spacing, ["lesion"])
