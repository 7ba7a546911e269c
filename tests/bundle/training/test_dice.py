"""The training's Dice is MONAI's."""

import pytest
import torch
from monai.metrics import DiceMetric

from lunet_networks.bundle.training.dice import LabelDice


@pytest.mark.parametrize("num_values", [2, 4])
@pytest.mark.parametrize("size", [(6, 5), (6, 5, 4)])
def test_it_is_monais_dice_to_the_last_bit(num_values, size):
    generator = torch.Generator().manual_seed(num_values)
    ours, monais = LabelDice(num_values), DiceMetric(include_background=False, num_classes=num_values)
    for _ in range(3):
        predicted, true = torch.randint(num_values, (2, 3, 1, *size), generator=generator)
        true[0] = 0  # a case without any label
        true[1] *= true[1] != 1
        torch.testing.assert_close(
            ours(predicted, true.float()), monais(predicted, true.float()), rtol=0, atol=0, equal_nan=True
        )
    assert torch.equal(ours.aggregate(), monais.aggregate())
