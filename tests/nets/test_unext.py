"""UNeXt: shifts of its tokens, its arguments, its start."""

import math

import pytest
import torch

from lunet_networks import UNeXt, deploy
from lunet_networks.nets.unext import _groups, _shift


@pytest.mark.parametrize(("channels", "widths"), [(160, [32] * 5), (256, [52] * 4 + [48]), (32, [7] * 4 + [4])])
@pytest.mark.parametrize("axis", [1, 2])
def test_groups_of_channels_move_by_two_positions_at_most_and_zeros_move_in(
    channels: int, widths: list[int], axis: int
) -> None:
    x = torch.randn(2, 6, 5, channels)
    assert _groups(channels) == widths
    moved = _shift(x, axis, widths)
    size = x.shape[axis]
    groups = zip(x.split(widths, dim=3), moved.split(widths, dim=3), strict=True)
    for step, (before, after) in enumerate(groups, start=-2):
        for place in range(size):
            came_from = place - step
            expected = before.select(axis, came_from) if 0 <= came_from < size else torch.zeros_like(before[:, 0, :1])
            assert torch.equal(after.select(axis, place), expected.expand_as(after.select(axis, place)))


def test_a_map_of_one_row_keeps_the_group_that_does_not_move() -> None:
    x = torch.ones(1, 1, 4, 10)
    assert _shift(x, 1, _groups(10))[0, 0, 0].tolist() == [0, 0, 0, 0, 1, 1, 0, 0, 0, 0]


def test_the_start_is_the_published_one() -> None:
    network = UNeXt()
    linear = network.token_encoders[0].block.linear_height
    assert linear.weight.std().item() == pytest.approx(0.02, rel=0.05)
    assert not linear.bias.any()
    embedding = network.embeddings[0].conv
    assert embedding.weight.std().item() == pytest.approx(math.sqrt(2 / (9 * 160)), rel=0.05)
    depthwise = network.token_encoders[1].block.depthwise
    assert depthwise.weight.std().item() == pytest.approx(math.sqrt(2 / 9), rel=0.1)
    assert network.encoders[0].conv[0].bias.any()  # PyTorch's own


def test_a_deployed_network_is_the_trained_one_without_batch_norms() -> None:
    network = UNeXt(channels=(4, 4, 8, 8, 8)).eval()
    norms = [name for name, module in network.named_modules() if isinstance(module, torch.nn.BatchNorm2d)]
    assert len(norms) == 7  # the last decoder level has none
    deployed = deploy(network)
    assert deployed.state_dict().keys() == {
        key for key in network.state_dict() if not key.startswith(tuple(f"{norm}." for norm in norms))
    }
    deployed.train()(torch.randn(1, 3, 32, 32))  # no norm asks for more than one value


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"spatial_dims": 3}, "spatial_dims must be 2, UNeXt has no other form; got 3"),
        ({"channels": (16, 32)}, r"channels must hold 5 integers of at least 1, one for each level; got \(16, 32\)"),
        ({"channels": (0, 1, 1, 1, 1)}, "channels must hold 5 integers"),
        ({"dropout": 1}, "dropout must be a probability"),
    ],
)
def test_arguments_that_describe_no_unext(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        UNeXt(**arguments)


def test_a_training_needs_more_than_one_position_at_the_lowest_resolution() -> None:
    network = UNeXt(channels=(4, 4, 8, 8, 8))
    with pytest.raises(ValueError, match="too few for its batch norm; give one spatial size of 64 or more, or a large"):
        network(torch.zeros(1, 3, 32, 32))
    assert network(torch.zeros(2, 3, 32, 32)).shape == (2, 1, 32, 32)
