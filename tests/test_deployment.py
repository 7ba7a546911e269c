"""Deployed networks compute what the trained ones compute."""

import copy
import json
from pathlib import Path

import pytest
import torch

from lunet_networks import (
    LMSCUNet,
    LVUNet,
    PSPSeg,
    UNet,
    UNetPlusPlus,
    create_network,
    deploy,
    list_presets,
)
from lunet_networks.pruning import remove_channels
from lunet_networks.summary import count_macs, count_parameters
from tests.helpers.presets import ONE_PER_ARCHITECTURE
from tests.helpers.randomised import randomise

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
    with pytest.raises(ValueError, match=rf"the slope in the blocks of this LV-UNet is {slope:g}, but it has to be 1"):
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
    with pytest.raises(TypeError, match=r"cannot deploy a Conv3d: it has to be one of .*LMSCUNet, .*, UNetPlusPlus"):
        deploy(torch.nn.Conv3d(1, 1, 1).eval())


def _randomised(network: torch.nn.Module) -> tuple[torch.nn.Module, torch.Tensor]:
    """With scales of both signs, and one of 0, and an image."""
    multiple = getattr(network, "padded_multiple", network.size_multiple)
    size = (2 * multiple, multiple, 2 * multiple)
    image = torch.randn(1, network.in_channels, *size[: network.spatial_dims])
    if hasattr(network, "set_slope"):
        network.set_slope(1)
    randomise(network, torch.cat([image, -image]))
    for name, parameter in network.named_parameters():
        if name.endswith("adn.N.weight"):
            parameter.data *= torch.randint(0, 2, parameter.shape) * 2 - 1
            parameter.data[1:2] = 0
    return network, image


def _check(network: torch.nn.Module, image: torch.Tensor) -> None:
    deployed = deploy(network)
    with torch.no_grad():
        plain_single, deployed_single = network(image), deployed(image)
        plain = network.double()(image.double())
        assert plain.std() > 1e-3
        assert (deploy(network)(image.double()) - plain).abs().max() < 1e-10 * max(1, plain.abs().max())
    noise = (plain_single - plain).abs().max()
    assert (deployed_single - plain).abs().max() <= 3 * noise + 1e-6 * plain.abs().max()


@pytest.mark.parametrize("name", list_presets())
def test_every_preset_computes_what_it_did(name: str) -> None:
    torch.manual_seed(0)
    _check(*_randomised(create_network(name, dropout=0.1)))


@pytest.mark.parametrize(
    "network",
    [
        UNet(2, channels=(3, 4, 5), adn_ordering="NDA", conv_channels={"encoders.0.1": 2}),
        UNet(channels=(2, 3), convs_per_block=1, adn_ordering="DAN", dropout={"bottleneck.0": 0.5}),
        UNetPlusPlus(2, 2, 3, channels=(2, 3, 4), conv_channels={"nodes.0.0.1": 1}),
        LMSCUNet(3, 1, channels=(4, 8, 8), brb_levels=(1, 2)),
        PSPSeg(channels=(4, 8, 16), deep_supervision=True, branches={"bottleneck": [0, 2], "encoders.1": []}),
    ],
)
def test_other_arguments(network: torch.nn.Module) -> None:
    _check(*_randomised(network.eval()))


@pytest.mark.parametrize("name", ONE_PER_ARCHITECTURE)
def test_the_form_is_arguments_and_a_state_dict(name: str, tmp_path: Path) -> None:
    network, image = _randomised(create_network(name))
    deployed = deploy(network)
    torch.save(deployed.state_dict(), tmp_path / "model.pt")
    again = type(deployed)(**json.loads(json.dumps(deployed.describe()))).eval()
    again.load_state_dict(torch.load(tmp_path / "model.pt", weights_only=True))
    with torch.no_grad():
        assert torch.equal(again(image), deployed(image))
        assert torch.equal(deploy(again)(image), deployed(image))
    assert not [module for module in deployed.modules() if isinstance(module, torch.nn.modules.batchnorm._BatchNorm)]
    assert not [parameter for parameter in deployed.parameters() if parameter.requires_grad]


@pytest.mark.parametrize("name", ONE_PER_ARCHITECTURE)
def test_the_form_in_torchscript(name: str) -> None:
    network, image = _randomised(create_network(name))
    script = torch.jit.script(deploy(network))
    with torch.no_grad():
        expected = network(image)
        assert (script(image) - expected).abs().max() <= 1e-4 * expected.abs().max()


def test_a_deployed_network_is_not_pruned() -> None:
    deployed = deploy(UNet(channels=(2, 3)).eval())
    with pytest.raises(ValueError, match="deployed"):
        remove_channels(deployed, [("encoders.0.0", 0)])
