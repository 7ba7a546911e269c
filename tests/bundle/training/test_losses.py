"""Losses by name, against the published formulas."""

import math

import pytest
import torch

from lunet_networks.bundle.training.losses import LOSSES, SegmentationLoss

# Two volumes of two voxels. One output: probabilities 0.8, 0.4 and 0.5, 0.1; truth 1, 0 and 1, 0.
PROBABILITIES = torch.tensor([[0.8, 0.4], [0.5, 0.1]]).view(2, 1, 1, 1, 2)
TRUTH = torch.tensor([[1.0, 0.0], [1.0, 0.0]]).view(2, 1, 1, 1, 2)
DICE = 1 - 2 * (0.8 + 0.5) / (0.8 + 0.4 + 0.5 + 0.1 + 2)  # sums over the batch and all voxels
FOCAL = -(0.2**2 * math.log(0.8) + 0.4**2 * math.log(1 - 0.4) + 0.5**2 * math.log(0.5) + 0.1**2 * math.log(1 - 0.1)) / 4
ENTROPY = -(math.log(0.8) + math.log(1 - 0.4) + math.log(0.5) + math.log(1 - 0.1)) / 4
# Three outputs, one volume of two voxels: labels 1 and 0.
THREE = torch.tensor([[0.2, 0.7, 0.1], [0.5, 0.2, 0.3]]).T.reshape(1, 3, 1, 1, 2)
LABELS = torch.tensor([1.0, 0.0]).view(1, 1, 1, 1, 2)
DICE_THREE = ((1 - 2 * 0.7 / (0.7 + 0.2 + 1)) + (1 - 0 / (0.1 + 0.3))) / 2  # the background is left out
FOCAL_THREE = -(0.3**2 * math.log(0.7) + 0.5**2 * math.log(0.5)) / 6  # the mean over outputs, too
ENTROPY_THREE = -(math.log(0.7) + math.log(0.5)) / 2


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("dice", DICE),
        ("bce", ENTROPY),
        ("dice_bce", DICE + ENTROPY),
        ("dice_half_bce", DICE + ENTROPY / 2),
        ("dice_focal", DICE + FOCAL),
    ],
)
def test_published_formulas_of_one_output(name, expected):
    loss = SegmentationLoss(name, out_channels=1)(torch.logit(PROBABILITIES), TRUTH)
    assert loss.item() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("dice", DICE_THREE),
        ("bce", ENTROPY_THREE),
        ("dice_bce", DICE_THREE + ENTROPY_THREE),
        ("dice_focal", DICE_THREE + FOCAL_THREE),
    ],
)
def test_formulas_of_several_labels(name, expected):
    loss = SegmentationLoss(name, out_channels=3)(THREE.log(), LABELS)
    assert loss.item() == pytest.approx(expected, abs=1e-6)


def test_nothing_there_and_nothing_found_is_the_published_loss_of_1():
    logits = torch.full((1, 1, 2, 2, 2), -200.0)
    assert SegmentationLoss("dice", out_channels=1)(logits, torch.zeros_like(logits)).item() == 1


def test_sums_over_a_batch_do_not_overflow_in_half_precision():
    logits = torch.zeros(2, 1, 64, 64, 64, dtype=torch.float16)
    loss = SegmentationLoss("dice", out_channels=1)(logits, torch.ones(2, 1, 64, 64, 64))
    assert loss.item() == pytest.approx(1 - 2 * 0.5 / 1.5, abs=1e-5)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("out_channels", [1, 3])
def test_ignored_voxels_are_as_good_as_absent(name, out_channels):
    logits = torch.randn(2, out_channels, 4, 4, 8, requires_grad=True)
    label = torch.randint(0, max(2, out_channels), (2, 1, 4, 4, 8)).float()
    label[..., 4:] = 3
    loss = SegmentationLoss(name, out_channels, ignore_label=3)(logits, label)
    loss.backward()
    annotated = SegmentationLoss(name, out_channels)(logits[..., :4], label[..., :4])
    assert loss.item() == pytest.approx(annotated.item(), abs=1e-6)
    assert not logits.grad[..., 4:].any()
    assert logits.grad[..., :4].any()


@pytest.mark.parametrize("name", LOSSES)
def test_a_batch_without_annotation_teaches_nothing(name):
    logits = torch.randn(1, 1, 4, 4, 4, requires_grad=True)
    loss = SegmentationLoss(name, out_channels=1, ignore_label=2)(logits, torch.full((1, 1, 4, 4, 4), 2.0))
    loss.backward()
    assert loss.item() == 0
    assert not logits.grad.any()


def test_unknown_loss():
    with pytest.raises(ValueError, match="loss_name is 'focal': it has to be one of dice, bce, dice_bce"):
        SegmentationLoss("focal", out_channels=1)
