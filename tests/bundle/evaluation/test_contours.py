"""Pictures of single cases."""

import logging

import nibabel as nib
import numpy as np
import pytest
import torch
from ignite.engine import Engine
from matplotlib.image import imread
from monai.data import MetaTensor

from lunet_networks.bundle.evaluation.contours import CasePictures, case_title
from lunet_networks.bundle.evaluation.metrics import WHOLE
from lunet_networks.bundle.evaluation.tables import EvaluationReport, read_cases

LPS = np.diag([-1.0, -2.0, 0.5, 1.0])
NAMES = ["lesion"]


def label_map(mask, affine=LPS):
    return MetaTensor(torch.as_tensor(mask, dtype=torch.uint8)[None], affine=torch.as_tensor(affine))


@pytest.fixture
def block():
    mask = np.zeros((60, 30, 80), np.uint8)
    mask[20:30, 10:20, 10:30] = 1
    return mask


@pytest.fixture
def evaluate(tmp_path):
    """Runs an evaluation of (truth, prediction) by case and returns its pictures."""

    def run(cases, channels=1, truth_on_disk=None, label_names=NAMES):
        items, data = [], []
        for name, (truth, prediction) in cases.items():
            images = [tmp_path / "images" / f"{name}_{channel}.nii.gz" for channel in range(channels)]
            images[0].parent.mkdir(exist_ok=True)
            for channel, path in enumerate(images):
                nib.save(nib.Nifti1Image((truth + 10.0 * channel).astype(np.float32), LPS), path)
            label = tmp_path / f"{name}.nii.gz"
            nib.save(nib.Nifti1Image(truth if truth_on_disk is None else truth_on_disk, LPS), label)
            image = MetaTensor(torch.zeros(1, 2, 2, 2), meta={"filename_or_obj": str(images[0])})
            items.append({"image": image, "label": label_map(truth), "pred": label_map(prediction)})
            data.append({"image": [str(path) for path in images], "label": str(label)})
        evaluator = Engine(lambda engine, batch: [batch])
        report = EvaluationReport(tmp_path, label_names, section="test")
        report.attach(evaluator)
        pictures = CasePictures(tmp_path / "pictures" / "overlay.png", report, data)
        pictures.attach(evaluator)
        evaluator.run(items)
        return pictures

    return run


def test_the_median_case_is_drawn(block, evaluate, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    shifts = {"worst": 8, "best": 0, "middle": 3}
    pictures = evaluate({name: (block, np.roll(block, shift, axis=0)) for name, shift in shifts.items()})
    drawn = imread(tmp_path / "pictures" / "overlay.png")
    picture = pictures.picture(str(tmp_path / "images" / "middle_0.nii.gz"))
    picture.write(tmp_path / "middle.png", case_title(picture.name, "median", picture.found))
    np.testing.assert_array_equal(drawn, imread(tmp_path / "middle.png"))
    assert "overlay.png shows the median case" in caplog.text


def test_nothing_is_drawn_where_no_truth_holds_a_label(block, evaluate, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    evaluate({"a": (0 * block, block), "b": (0 * block, 0 * block)})
    assert not (tmp_path / "pictures").exists()
    assert "the truth of no case has a label" in caplog.text


def test_any_channel_can_be_shown(block, evaluate, tmp_path):
    pictures = evaluate({"a": (block, block)}, channels=2)
    path = str(tmp_path / "images" / "a_0.nii.gz")
    assert {pictures.picture(path).pixels[0].max(), pictures.picture(path, channel=0).pixels[0].max()} == {1}
    assert pictures.picture(path, channel=1).pixels[0].max() == 11


def test_what_is_not_annotated_is_found_in_the_label_file(block, evaluate, tmp_path):
    annotated = block.copy()
    annotated[40:] = 2  # one label only: 2 is what nobody has annotated
    pictures = evaluate({"a": (block, block)}, truth_on_disk=annotated)
    _, coronal, _ = pictures.picture(str(tmp_path / "images" / "a_0.nii.gz")).ignored
    assert 0 < coronal.mean() < 1
    assert pictures.picture(str(tmp_path / "images" / "a_0.nii.gz")).label_names == NAMES


def test_a_long_title_stays_within_the_picture(block, evaluate, tmp_path):
    pictures = evaluate({"a": (block, block)})
    picture = pictures.picture(str(tmp_path / "images" / "a_0.nii.gz"))
    figure = picture.figure("Worst case: " + "a_very_long_name_of_a_case " * 12)
    width, height = figure.get_size_inches() * figure.dpi
    figure.draw_without_rendering()
    box = figure._suptitle.get_window_extent()
    assert 0 <= box.x0 < box.x1 <= width
    assert max(axes.get_window_extent().y1 for axes in figure.axes) <= box.y0 < box.y1 <= height


@pytest.mark.parametrize("name", ["$x^2$", r"$\frac$", "a_b$", "$", r"\alpha", "two\nlines", "肝臓", "_a, 'b' \"c\""])
def test_any_name_of_a_case_and_a_label_is_drawn(block, evaluate, tmp_path, name):
    evaluate({name: (block, block)}, label_names=[name, "other"])
    assert imread(tmp_path / "pictures" / "overlay.png").shape[0] > 400
    assert list(read_cases(tmp_path / "cases.csv")) == [f"{name}_0"]
    assert list(read_cases(tmp_path / "cases.csv")[f"{name}_0"]) == [name, "other", WHOLE]
