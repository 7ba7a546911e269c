"""EGE-UNet: its masks, its deep supervision, its factors, its arguments."""

import copy

import pytest
import torch
from torch import nn

from lunet_networks import EGEUNet, deploy
from lunet_networks.nets.ege_unet import _ProductAttention

NARROW = (4, 4, 8, 8, 8, 8)


def test_masks_are_outputs_in_training_with_deep_supervision_only() -> None:
    network = EGEUNet(out_channels=3, channels=NARROW, deep_supervision=True)
    plain = EGEUNet(out_channels=3, channels=NARROW)
    plain.load_state_dict(network.state_dict())
    image = torch.randn(2, 3, 64, 32)
    outputs = network(image)
    assert [tuple(output.shape) for output in outputs] == [(2, 3, 64, 32)] * 6
    for each in (plain, plain.eval(), network.eval(), deploy(network), deploy(network).train()):
        assert torch.equal(each(image), outputs[0])


def test_masks_come_from_the_decoder_alone_and_steer_the_gates() -> None:
    network = EGEUNet(channels=NARROW, deep_supervision=True)
    image = torch.randn(1, 3, 64, 64)
    logits, *masks = network(image)
    changed = copy.deepcopy(network)
    nn.init.constant_(changed.mask_heads[0].bias, 5)
    other_logits, *other_masks = changed(image)
    torch.testing.assert_close(other_masks[0] - masks[0], torch.full_like(masks[0], 5) - network.mask_heads[0].bias)
    assert not torch.equal(other_logits, logits)


def test_factors_start_at_one_and_are_stretched_over_the_map() -> None:
    attention = _ProductAttention(8, 4)
    assert all((factors == 1).all() for factors in (attention.positions, attention.rows, attention.columns))
    with torch.no_grad():
        attention.rows[0, 0, :, 4:] = 0
        for layers in (attention.of_positions, attention.of_rows, attention.of_columns):
            layers[2].weight.zero_()
            layers[2].bias.zero_()
        attention.of_rows = nn.Identity()
        x = torch.randn(1, 8, 24, 16)
        joined = []
        attention.joined_norm.register_forward_pre_hook(lambda _, inputs: joined.append(inputs[0]))
        attention(x)
        by_rows = joined[0][:, 2:4]
        expected = attention.norm(x)[:, 2:4]
    assert torch.equal(by_rows[:, :, :10], expected[:, :, :10])  # 7 of 23 steps are 2.13 of 7
    assert not by_rows[:, :, 14:].any()
    assert not joined[0][:, [0, 1, 4, 5]].any()


def test_the_norms_take_every_position_on_its_own() -> None:
    norm = _ProductAttention(8, 4).norm
    x = torch.randn(2, 8, 3, 5)
    centred = x - x.mean(dim=1, keepdim=True)
    expected = centred / (x.var(dim=1, correction=0, keepdim=True) + 1e-6).sqrt()
    torch.testing.assert_close(norm(x), expected)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"spatial_dims": 3}, "spatial_dims must be 2, EGE-UNet has no other form; got 3"),
        ({"channels": (8, 16, 24, 32, 48)}, "channels must hold 6 multiples of 4, one for each level; got"),
    ],
)
def test_arguments_that_describe_no_ege_unet(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        EGEUNet(**arguments)


def test_groups_of_a_single_channel_need_more_than_one_position() -> None:
    image = torch.zeros(1, 3, 32, 32)
    assert EGEUNet(channels=NARROW)(image).shape == (1, 1, 32, 32)
    with pytest.raises(ValueError, match="too few for its instance norm; give one spatial size of 64 or more"):
        EGEUNet(channels=(4, 4, 8, 8, 4, 8))(image)
