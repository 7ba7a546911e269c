"""The estimate of the memory that a training step takes."""

import copy

import pytest
import torch

from lunet_networks import create_network
from lunet_networks.bundle.training.losses import SegmentationLoss
from lunet_networks.memory import estimate_step_memory

MIB = 2**20
OUT_CHANNELS = 3


def estimate(preset: str, shape: tuple[int, ...], out_channels: int = OUT_CHANNELS) -> int:
    network = create_network(
        preset, spatial_dims=len(shape) - 2, in_channels=shape[1], out_channels=out_channels, dropout=0.005
    )
    return estimate_step_memory(network, shape, SegmentationLoss("dice_bce", out_channels))


@pytest.mark.parametrize("preset", ["lunet_small_4f", "unetpp_large_6f", "mednext_small"])
def test_grows_linearly_with_the_batch(preset):
    of_batch = {batch: estimate(preset, (batch, 1, 32, 32, 32)) for batch in (2, 4, 6)}
    assert of_batch[2] > 0
    assert of_batch[4] - of_batch[2] == pytest.approx(of_batch[6] - of_batch[4], rel=0.01)


def test_a_single_volume_takes_copies_of_another_layout_and_a_single_image_does_not():
    def of_the_first(shape: tuple[int, ...]) -> float:
        """What a batch of one takes beyond what each further one takes."""
        one, two, three = (estimate("lunet_small_4f", (batch, 1, *shape)) for batch in (1, 2, 3))
        return one - (two - (three - two))

    assert of_the_first((32, 32, 32)) > MIB
    assert abs(of_the_first((128, 256))) < MIB / 10


def test_grows_with_volume_and_outputs():
    sizes = [(2, 1, 32, 32, 32), (2, 1, 32, 32, 64), (2, 1, 64, 64, 64)]
    small, double, eightfold = (estimate("lunet_small_4f", shape) for shape in sizes)
    assert double == pytest.approx(2 * small, rel=0.02)
    assert eightfold == pytest.approx(8 * small, rel=0.02)
    assert estimate("lunet_small_4f", sizes[0], out_channels=10) > small


def test_weights_count_with_gradients_and_moments():
    shape = (2, 1, 16, 16, 32)
    network = create_network("unet_large_24f")
    parameters = sum(parameter.nbytes for parameter in network.parameters())
    assert 4 * parameters < estimate("unet_large_24f", shape, out_channels=1) < 4 * parameters + 100 * MIB


def test_network_stays_as_it_is_and_nothing_is_allocated():
    network = create_network("lunet_small_4f").eval()
    before = copy.deepcopy(network.state_dict())
    shape = (64, 1, 1024, 1024, 1024)  # tebibytes
    assert estimate_step_memory(network, shape, SegmentationLoss("dice_bce", 1)) > 2**40
    assert not network.training
    assert all(parameter.grad is None for parameter in network.parameters())
    assert all(not module._forward_hooks for module in network.modules())
    for key, value in network.state_dict().items():
        assert torch.equal(value, before[key])


def test_what_the_program_holds_for_a_tensor_counts():
    network, shape, loss = create_network("lunet_small_1f"), (2, 1, 16, 16, 32), SegmentationLoss("dice_bce", 1)
    parameters = 4 * sum(parameter.nbytes for parameter in network.parameters())
    plain, twice = (estimate_step_memory(network, shape, loss, lambda size, k=k: k * size) for k in (1, 2))
    assert twice - parameters == 2 * (plain - parameters)


def test_input_that_the_network_cannot_take():
    with pytest.raises(ValueError, match="multiple of 16"):
        estimate("lunet_small_4f", (2, 1, 48, 50, 48))
