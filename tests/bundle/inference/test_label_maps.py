"""Labels of probabilities, compared with MONAI's."""

import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import AsDiscreted

from lunet_networks.bundle.inference.label_maps import AsLabelsd, softmax_in_place


@pytest.mark.parametrize("shape", [(3, 9, 8, 7), (5, 6, 11), (1, 9, 8, 7)])
def test_labels_are_those_of_monai(shape):
    # of few values, so that many voxels have several labels that are the most probable
    probabilities = torch.randint(0, 5, shape, generator=torch.Generator().manual_seed(0)) / 4
    affine = torch.diag(torch.arange(1.0, len(shape) + 1))
    case = {"pred": MetaTensor(probabilities, affine=affine), "name": "case"}
    settings = {"argmax": True} if shape[0] > 1 else {"threshold": 0.5}
    own, theirs = AsLabelsd("pred")(case), AsDiscreted("pred", dtype=torch.uint8, **settings)(case)
    assert torch.equal(own["pred"], theirs["pred"])
    assert own["pred"].dtype == theirs["pred"].dtype
    assert torch.equal(own["pred"].affine, affine)
    assert own["name"] == "case"


def test_the_softmax_is_that_of_torch():
    logits = torch.randn(3, 9, 8, 7, generator=torch.Generator().manual_seed(0)) * 20
    torch.testing.assert_close(softmax_in_place(logits.clone()), logits.softmax(dim=0))


def test_what_was_predicted_in_inference_mode_can_be_used_behind_it():
    with torch.inference_mode():
        logits = torch.randn(3, 4, 5)
    torch.testing.assert_close(softmax_in_place(logits), logits.softmax(dim=0))
