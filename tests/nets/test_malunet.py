"""MALUNet: its attention, its start, its arguments."""

import math

import pytest
import torch

from lunet_networks import MALUNet
from lunet_networks.nets.malunet import _ExternalAttention

NARROW = (4, 4, 8, 8, 8, 8)


def test_the_memories_of_an_attention_start_equal_and_are_two_parameters() -> None:
    network = MALUNet()
    attentions = [module for module in network.modules() if isinstance(module, _ExternalAttention)]
    assert len(attentions) == 6
    for attention in attentions:
        keys, values = attention.keys.weight, attention.values.weight
        assert torch.equal(keys, values.transpose(0, 1))
        assert keys.data_ptr() != values.data_ptr()
        assert keys.std().item() == pytest.approx(math.sqrt(2 / keys.shape[1]), rel=0.1)
    keys.data.zero_()
    assert values.any()


def test_the_bias_of_a_query_has_no_effect() -> None:
    network = MALUNet(channels=NARROW).double().eval()
    image = torch.randn(1, 3, 64, 64, dtype=torch.float64)
    with torch.no_grad():
        before = network(image)
        for module in network.modules():
            if isinstance(module, _ExternalAttention):
                module.query.bias += 3
        torch.testing.assert_close(network(image), before, atol=1e-12, rtol=0)


def test_every_skip_depends_on_all_of_them() -> None:
    network = MALUNet(channels=NARROW)
    skips = [torch.randn(2, width, 2, 2, requires_grad=True) for width in NARROW[:-1]]
    network._bridge(skips)[0].sum().backward()
    assert all(skip.grad.any() for skip in skips)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"spatial_dims": 3}, "spatial_dims must be 2, MALUNet has no other form; got 3"),
        ({"channels": (8, 16, 24, 32, 48, 66)}, "channels must hold 6 multiples of 4, one for each level; got"),
        ({"channels": 8}, "channels must hold 6 multiples of 4"),
    ],
)
def test_arguments_that_describe_no_malunet(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MALUNet(**arguments)


def test_groups_of_a_single_channel_need_more_than_one_position() -> None:
    image = torch.zeros(1, 3, 32, 32)
    assert MALUNet(channels=NARROW)(image).shape == (1, 1, 32, 32)
    with pytest.raises(ValueError, match="too few for its instance norm; give one spatial size of 64 or more"):
        MALUNet(channels=(4, 4, 8, 8, 8, 4))(image)
