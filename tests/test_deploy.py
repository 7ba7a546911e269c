"""Deployed networks compute what the trained ones compute."""

import copy
import json

import pytest
import torch

from lunet_networks import LVUNet, UNet, create_network, deploy
from lunet_networks.summary import count_macs, count_parameters
from tests.randomised import randomise

VARIANTS = [{}, {"mobilenet_blocks": 5, "skip": "concat"}, {"mobilenet_blocks": 14, "act_num": 3, "in_channels": 1}]


def _trained(**keywords: object) -> LVUNet:
    network = create_network("lv_unet", **keywords)
    network.set_slope(1)
    return randomise(network, torch.randn(4, network.in_channels, 256, 256))


@pytest.fixture(scope="module")
def trained() -> LVUNet:
    """An LV-UNet at the end of its deep training; not to be changed."""
    torch.manual_seed(0)
    return _trained()


@pytest.mark.parametrize("keywords", VARIANTS)
def test_the_fused_network_is_equal(keywords: dict) -> None:
    network = _trained(**keywords)
    fused = deploy(network)
    image = torch.randn(1, network.in_channels, 150, 100)
    with torch.no_grad():
        plain_single, fused_single = network(image), fused(image)
        plain = network.double()(image.double())
        assert plain.std() > 0.1
        assert (deploy(network)(image.double()) - plain).abs().max() < 1e-10
    noise = (plain_single - plain).abs().max()
    assert (fused_single - plain).abs().max() <= 3 * noise


def test_it_has_half_the_parameters_and_nothing_left_to_fuse(trained: LVUNet) -> None:
    fused = deploy(trained)
    assert count_parameters(trained) == 934_545
    assert count_parameters(fused) == 510_985  # the published code, which leaves the MobileNet as it is, has 513,585
    assert count_macs(fused, (1, 3, 256, 256)) == 157_070_080
    assert not [module for module in fused.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    assert not list(fused.buffers())
    assert not [module for module in fused.head.modules() if not isinstance(module, torch.nn.Conv2d)]


def test_config_and_state_dict_make_it_again() -> None:
    fused = deploy(_trained(out_channels=2, dropout=0.1))
    again = LVUNet(**json.loads(json.dumps(fused.describe()))).eval()
    again.load_state_dict(fused.state_dict())
    image = torch.randn(1, 3, 128, 128)
    assert torch.equal(again(image), fused(image))
    assert deploy(again) is not again
    assert torch.equal(deploy(again)(image), fused(image))


def test_the_trained_network_stays_as_it_is(trained: LVUNet) -> None:
    before = copy.deepcopy(trained.state_dict())
    deploy(trained)
    assert all(torch.equal(value, before[key]) for key, value in trained.state_dict().items())


@pytest.mark.parametrize("slope", [0, 0.5, 0.99476])
def test_a_slope_below_1_is_refused_for_good_reason(slope: float, trained: LVUNet) -> None:
    network = copy.deepcopy(trained)
    fused = deploy(network)
    network.set_slope(slope)
    image = torch.randn(1, 3, 128, 128)
    assert (fused(image) - network(image)).abs().max() > 1e-4
    with pytest.raises(ValueError, match=rf"the slope in the blocks of this LV-UNet is {slope:g}, it has to be 1"):
        deploy(network)


def test_a_network_in_training_is_refused(trained: LVUNet) -> None:
    with pytest.raises(ValueError, match=r"is in training.*deploy\(network.eval\(\)\)"):
        deploy(copy.deepcopy(trained).train())


def test_a_deployed_network_has_no_slope_to_set(trained: LVUNet) -> None:
    fused = deploy(trained)
    assert fused.slope == 1
    with pytest.raises(ValueError, match="has no slope left to set"):
        fused.set_slope(0.5)


def test_other_networks() -> None:
    with pytest.raises(TypeError, match="a LVUNet can be deployed, not a UNet"):
        deploy(UNet().eval())
