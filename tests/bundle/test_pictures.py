"""The picture of the median case."""

import logging

import nibabel as nib
import numpy as np
import pytest
import torch
from ignite.engine import Engine
from matplotlib.image import imread
from monai.data import MetaTensor

from lunet_networks.bundle.evaluation_report import EvaluationReport
from lunet_networks.bundle.pictures import MedianCasePicture, cut_planes, draw_planes

LPS = np.diag([-1.0, -2.0, 0.5, 1.0])


def label_map(mask, affine=LPS):
    return MetaTensor(torch.as_tensor(mask, dtype=torch.uint8)[None], affine=torch.as_tensor(affine))


@pytest.fixture
def block():
    mask = np.zeros((60, 30, 80), np.uint8)
    mask[20:30, 10:20, 10:30] = 1
    return mask


def test_planes_pass_through_the_middle_in_ras_order(block):
    sagittal, coronal, axial = cut_planes(label_map(block), label_map(block))
    # 12 mm around the structure, counted from the other end along the axes that run to the left and to the back
    x, y, z = slice(18, 52), slice(4, 26), slice(0, 54)
    assert sagittal.index == (35, y, z)
    assert coronal.index == (x, 15, z)
    assert axial.index == (x, y, 20)
    assert (sagittal.spacing, coronal.spacing, axial.spacing) == ((2, 0.5), (1, 0.5), (1, 2))
    np.testing.assert_array_equal(sagittal.truth, block[::-1, ::-1][35, y, z])


def test_an_empty_truth_is_cut_where_the_prediction_is(block):
    found = cut_planes(label_map(0 * block), label_map(block))
    assert [plane.index for plane in found] == [plane.index for plane in cut_planes(label_map(block), label_map(block))]
    assert found[0].prediction.any()
    assert not found[0].truth.any()


def test_nothing_in_either_is_cut_in_the_middle(block):
    sagittal, *_ = cut_planes(label_map(0 * block), label_map(0 * block))
    assert sagittal.index[0] == 30
    assert sagittal.truth.shape == (30, 80)


@pytest.mark.parametrize("shape", [(24, 20, 16), (24, 20)])
def test_truth_and_prediction_are_drawn_in_their_colours(tmp_path, shape):
    truth, prediction = np.zeros(shape), np.zeros(shape)
    truth[4:12, 4:12], prediction[6:14, 4:12] = 1, 1
    affine = np.eye(len(shape) + 1)
    planes = cut_planes(label_map(truth, affine), label_map(prediction, affine))
    draw_planes(np.zeros(shape), planes, "case", tmp_path / "overlay.png")
    red, green, _, _ = np.moveaxis(imread(tmp_path / "overlay.png"), -1, 0)
    assert (green > red + 0.4).sum() > 100
    assert (red > green + 0.4).sum() > 100


def test_the_median_case_is_chosen(block, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    items = []
    for name, shift in (("worst", 8), ("best", 0), ("middle", 3)):
        path = tmp_path / f"{name}.nii.gz"
        nib.save(nib.Nifti1Image(block.astype(np.float32), LPS), path)
        image = MetaTensor(torch.zeros(1, 2, 2, 2), meta={"filename_or_obj": str(path)})
        items.append({"image": image, "label": label_map(block), "pred": label_map(np.roll(block, shift, axis=0))})
    evaluator = Engine(lambda engine, batch: [batch])
    report = EvaluationReport(tmp_path, ["lesion"], section="test")
    report.attach(evaluator)
    picture = MedianCasePicture(tmp_path / "pictures" / "overlay.png", report)
    picture.attach(evaluator)
    evaluator.run(items)
    assert picture.median_case() == str(tmp_path / "middle.nii.gz")
    assert (tmp_path / "pictures" / "overlay.png").is_file()
    assert "overlay.png shows the median case" in caplog.text
