"""Planes through a case: what they cut out, and what is seen on them."""

import numpy as np
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from monai.data import MetaTensor

from lunet_networks.bundle.evaluation.planes import (
    LABEL_COLOURS,
    PREDICTION_OF_ONE,
    cut_planes,
    draw_plane,
    in_ras_order,
    share_outside,
)
from lunet_networks.bundle.evaluation.windows import intensity_window

LPS = np.diag([-1.0, -2.0, 0.5, 1.0])
TRUTH = LABEL_COLOURS[0]


def image(voxels, affine=LPS):
    return MetaTensor(torch.as_tensor(voxels)[None], affine=torch.as_tensor(affine))


@pytest.fixture
def block():
    mask = np.zeros((60, 30, 80), np.uint8)
    mask[20:30, 10:20, 10:30] = 1
    return mask


def drawn(plane, pixels, names=("lesion",), ignored=None, size=(4, 4)):
    """The picture of a plane as colours ``(H, W, 3)`` from 0 to 1, on a sheet of that many hundreds of pixels."""
    figure = Figure(figsize=size, dpi=100)
    canvas = FigureCanvasAgg(figure)
    draw_plane(figure.add_axes((0, 0, 1, 1)), pixels, plane, intensity_window([pixels]), names, ignored)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3] / 255


def near(picture, colour, tolerance=0.12):
    return np.abs(picture - to_rgb(colour)).max(axis=-1) < tolerance


def test_planes_pass_through_the_middle_in_ras_order(block):
    sagittal, coronal, axial = cut_planes(image(block), image(block))
    # 12 mm around the structure, counted from the other end along the axes that run to the left and to the back
    x, y, z = slice(13, 57), slice(4, 26), slice(0, 80)
    assert sagittal.index == (35, y, z)
    assert coronal.index == (x, 15, z)
    assert axial.index == (x, y, 20)
    assert (sagittal.spacing, coronal.spacing, axial.spacing) == ((2, 0.5), (1, 0.5), (1, 2))
    np.testing.assert_array_equal(sagittal.truth, block[::-1, ::-1][35, y, z])


def test_frames_are_squares_of_one_size(block):
    for plane in cut_planes(image(block), image(block)):
        assert [high - low for low, high in plane.frame] == pytest.approx([44, 44])  # 20 mm and 12 on either side


def test_a_small_structure_in_a_large_volume_is_seen(block):
    volume = np.zeros((200, 200, 200), np.uint8)
    volume[150:154, 20:24, 100:104] = 1
    for plane in cut_planes(image(volume, np.eye(4)), image(volume, np.eye(4))):
        assert plane.truth.sum() == 16
        assert plane.truth.size < 30 * 30


def test_two_structures_are_not_cut_between_them():
    volume = np.zeros((50, 20, 20), np.uint8)
    volume[5:9, 5:9, 5:9] = 1
    volume[40:48, 10:18, 10:18] = 2
    for plane in cut_planes(image(volume, np.eye(4)), image(volume, np.eye(4))):
        assert (plane.truth == 2).sum() == 64


def test_an_empty_truth_is_cut_where_the_prediction_is(block):
    found = cut_planes(image(0 * block), image(block))
    assert [plane.index for plane in found] == [plane.index for plane in cut_planes(image(block), image(block))]
    assert found[0].prediction.any()
    assert not found[0].truth.any()


def test_nothing_in_either_is_cut_in_the_middle(block):
    sagittal, *_ = cut_planes(image(0 * block), image(0 * block))
    assert sagittal.index[0] == 30
    assert sagittal.truth.shape == (30, 80)


def test_a_prediction_far_away_is_counted(block):
    prediction = np.zeros((200, 200, 200), np.uint8)
    truth = prediction.copy()
    truth[20:30, 20:30, 20:30] = 1
    prediction[20:30, 20:30, 20:25] = 1
    prediction[150:160, 150:160, 150:165] = 1
    planes = cut_planes(image(truth, np.eye(4)), image(prediction, np.eye(4)))
    assert share_outside(planes, image(prediction, np.eye(4))) == pytest.approx(0.75)
    assert share_outside(planes, image(truth, np.eye(4))) == 0
    assert share_outside(planes, image(0 * truth, np.eye(4))) == 0


@pytest.mark.parametrize("spacing", [(1, 1, 1), (0.5, 1, 3), (2, 0.8, 0.8)])
def test_a_ball_is_round_and_as_large_as_it_is_whatever_the_voxels(spacing):
    shape = [round(60 / step) for step in spacing]
    centre = np.array(shape) * spacing / 2
    grid = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)
    ball = (np.linalg.norm((grid + 0.5) * spacing - centre, axis=-1) < 15).astype(np.uint8)
    affine = np.diag([*spacing, 1.0])
    for plane in cut_planes(image(ball, affine), image(0 * ball, affine)):
        picture = drawn(plane, np.zeros(plane.truth.shape), size=(5, 4))
        rows, columns = np.nonzero(near(picture, TRUTH))
        mm = 54 / 400  # the frame is 30 and twice 12 mm
        assert np.ptp(columns) * mm == pytest.approx(30, abs=max(spacing) + 0.5)
        assert np.ptp(rows) * mm == pytest.approx(30, abs=max(spacing) + 0.5)


@pytest.mark.parametrize("signs", [(1, 1, 1), (-1, -1, 1), (-1, 1, -1)])
def test_right_is_left_front_is_left_or_up_and_head_is_up(signs):
    shape = (40, 40, 40)
    affine = np.diag([*signs, 1.0])
    truth = np.ones(shape, np.uint8)
    along = [np.linspace(0, 1, 40)[::sign] for sign in signs]  # grows to the patient's right, front and head
    sides = np.eye(3, dtype=int) * 39 + 1
    ramps = [np.broadcast_to(ramp.reshape(side), shape) for ramp, side in zip(along, sides, strict=True)]
    sagittal, coronal, axial = cut_planes(image(truth, affine), image(truth, affine))
    for plane, axis, brighter in (
        (sagittal, 1, "left"),
        (sagittal, 2, "top"),
        (coronal, 0, "left"),
        (coronal, 2, "top"),
        (axial, 0, "left"),
        (axial, 1, "top"),
    ):
        ramp = in_ras_order(image(np.ascontiguousarray(ramps[axis]), affine))[0].numpy()[plane.index]
        grey = drawn(plane, ramp)[40:360, 40:360].mean(axis=-1)
        grey = grey if brighter == "left" else grey.T
        assert grey[:, :100].mean() > grey[:, -100:].mean() + 0.4, (plane.title, axis)


@pytest.mark.parametrize("shape", [(24, 20, 16), (24, 20)])
def test_truth_and_prediction_are_drawn_in_their_colours(shape):
    truth, prediction = np.zeros(shape, np.uint8), np.zeros(shape, np.uint8)
    truth[4:12, 4:12], prediction[6:14, 4:12] = 1, 1
    affine = np.eye(len(shape) + 1)
    *_, plane = cut_planes(image(truth, affine), image(prediction, affine))
    picture = drawn(plane, np.zeros(plane.truth.shape))
    solid, dashed = near(picture, TRUTH).sum(), near(picture, PREDICTION_OF_ONE).sum()
    assert 100 < dashed < solid


def test_several_labels_have_a_colour_each_and_the_prediction_is_dashed():
    truth = np.zeros((40, 40), np.uint8)
    truth[10:20, 10:20], truth[20:30, 20:30] = 1, 3
    names = ("liver", "spleen", "kidney")
    (plane,) = cut_planes(image(truth, np.eye(3)), image(0 * truth, np.eye(3)))
    both = drawn(plane, np.zeros(plane.truth.shape), names)
    (plane,) = cut_planes(image(0 * truth, np.eye(3)), image(truth, np.eye(3)))
    dashes = drawn(plane, np.zeros(plane.truth.shape), names)
    for value in (1, 3):
        assert near(both, LABEL_COLOURS[value - 1]).sum() > 1.3 * near(dashes, LABEL_COLOURS[value - 1]).sum() > 100
    assert near(both, LABEL_COLOURS[1]).sum() < 20


def test_an_outline_is_closed_at_the_edge_of_the_image():
    truth = np.ones((30, 30), np.uint8)
    (plane,) = cut_planes(image(truth, np.eye(3)), image(0 * truth, np.eye(3)))
    line = near(drawn(plane, np.zeros((30, 30))), TRUTH, tolerance=0.3)
    for edge in (line[:4].any(axis=0), line[-4:].any(axis=0), line[:, :4].any(axis=1), line[:, -4:].any(axis=1)):
        assert edge.mean() > 0.8


def test_what_nobody_has_annotated_is_darker():
    truth = np.zeros((40, 40), np.uint8)
    truth[15:25, 15:25] = 1
    (plane,) = cut_planes(image(truth, np.eye(3)), image(truth, np.eye(3)))
    pixels, ignored = np.ones(plane.truth.shape), np.zeros(plane.truth.shape, bool)
    pixels[0] = 0
    ignored[-4:] = True
    picture = drawn(plane, pixels, ignored=ignored)
    assert picture[100, 100].mean() > picture[100, -20].mean() + 0.4


def test_a_large_image_is_thinned_and_stays_where_it_is():
    truth = np.zeros((3400, 2600), np.uint8)
    truth[1700:2500, 400:1600] = 1
    (plane,) = cut_planes(image(truth, np.eye(3)), image(0 * truth, np.eye(3)))
    (left, right), (bottom, top) = plane.frame
    rows, columns = np.nonzero(near(drawn(plane, np.zeros(plane.truth.shape)), TRUTH))
    pixel = max(right - left, top - bottom) / 400
    assert np.ptp(columns) * pixel == pytest.approx(800, abs=3 * pixel)
    assert np.ptp(rows) * pixel == pytest.approx(1200, abs=3 * pixel)
    assert (left + right, bottom + top) == (4200, 2000)  # around the structure's middle
    assert (columns.min() + columns.max()) / 2 == pytest.approx(200, abs=3)
    assert (rows.min() + rows.max()) / 2 == pytest.approx(200, abs=3)


def test_colours_stay_colours():
    truth = np.zeros((40, 40), np.uint8)
    truth[15:25, 15:25] = 1
    (plane,) = cut_planes(image(truth, np.eye(3)), image(truth, np.eye(3)))
    pixels = np.zeros((*plane.truth.shape, 3))
    pixels[..., 0] = 255
    np.testing.assert_allclose(drawn(plane, pixels)[30, 30], [1, 0, 0], atol=0.02)
