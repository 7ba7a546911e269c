"""PSP-Seg computes with one kernel a block what its layers compute, and with the layers where they differ."""

import copy

import pytest
import torch
from torch import nn
from torch.profiler import profile

from lunet_networks import PSPSeg, create_network, deploy
from lunet_networks.kernels.library import library
from tools.speed.contenders import with_plain_layers

needs_compiler = pytest.mark.skipif(library() is None, reason="there is no C++ compiler")
FORMS = {
    "3D": {},
    "2D, two channels": {"spatial_dims": 2, "in_channels": 2, "out_channels": 3},
    "seven branches": {"num_branches": 7, "expansion": 2},
    "one after the other": {"parallel": False},
    "pruned": {"branches": {"encoders.1": [0, 2], "bottleneck": []}},
    "supervised": {"deep_supervision": True},
}


def _network(**options) -> tuple[nn.Module, torch.Tensor]:
    """A network whose branches count, and an image."""
    torch.manual_seed(0)
    network = PSPSeg(**{"channels": (16, 32, 32), "dropout": 0.1, **options}).eval()
    for name, parameter in network.named_parameters():
        if name.endswith(".scale"):
            nn.init.uniform_(parameter, 0.5, 1)
    return network, torch.randn(2, network.in_channels, *[8, 12, 16][: network.spatial_dims])


def _blocks(network: nn.Module, image: torch.Tensor) -> int:
    """How many blocks a kernel computes."""
    with torch.no_grad(), profile() as record:
        network(image)
    names = ("lunet::residual_unit", "lunet::downsample_unit", "lunet::redundant_module")
    return sum(event.count for event in record.key_averages() if event.key in names)


@needs_compiler
@pytest.mark.parametrize("options", FORMS.values(), ids=[*FORMS])
@torch.no_grad()
def test_networks_compute_what_their_plain_layers_compute(options: dict) -> None:
    network, image = _network(**options)
    plain = with_plain_layers(copy.deepcopy(network))
    assert _blocks(plain, image) == 0
    modules = 2 + (network.bottleneck.active_branches() != [])
    assert _blocks(network, image) == 4 + (3 * 4 if not network.parallel else modules)
    rough, exact = plain(image), plain.double()(image.double())
    for form in (network, deploy(copy.deepcopy(network))):
        noise = (rough - exact).abs().max()
        assert (form(image) - exact).abs().max() <= 3 * noise + 1e-6 * exact.abs().max()
    assert torch.allclose(network.predict(network.decode(network.encode(image))), network(image), rtol=1e-4, atol=1e-5)


@needs_compiler
@torch.no_grad()
def test_masked_branches_are_left_out() -> None:
    network, image = _network()
    before = network(image)
    network.bottleneck.mask([1, 3])
    masked = network(image)
    assert not torch.allclose(masked, before, atol=1e-3)
    assert torch.allclose(masked, with_plain_layers(copy.deepcopy(network))(image), rtol=1e-4, atol=1e-4)


def _swap_activation(network: nn.Module) -> None:
    network.bottleneck.branches["1"].units[0].adn.A = nn.ELU()


def _change_slope(network: nn.Module) -> None:
    network.decoders[0].act.negative_slope = 0.5


def _change_one_eps(network: nn.Module) -> None:
    network.encoders[1].branches["2"].units[1].adn.N.eps = 1.0


def _swap_norm(network: nn.Module) -> None:
    network.downsamples[0].units[1].adn.N = nn.BatchNorm3d(32)


def _swap_convolution(network: nn.Module) -> None:
    network.encoders[0].conv[0].conv = nn.Conv3d(16, 16, 5, padding=2)


def _swap_doubling(network: nn.Module) -> None:
    network.upsamples[1][1] = nn.Upsample(scale_factor=2, mode="trilinear")


def _leave_dropout_on(network: nn.Module) -> None:
    network.encoders[0].conv[0].adn.D.train()


def _hook(network: nn.Module) -> None:
    network.stem.register_forward_hook(lambda _, __, output: output + 1)


def _hook_of_a_block(network: nn.Module) -> None:
    network.decoders[1].register_forward_pre_hook(lambda _, inputs: (inputs[0] + 1,))


def _replace_forward(network: nn.Module) -> None:
    network.bottleneck.branches["0"].forward = torch.neg


@needs_compiler
@pytest.mark.parametrize(
    "change",
    [
        *(_swap_activation, _change_slope, _change_one_eps, _swap_norm, _swap_convolution, _swap_doubling),
        *(_leave_dropout_on, _hook, _hook_of_a_block, _replace_forward),
    ],
)
@torch.no_grad()
def test_layers_that_were_changed_after_construction_are_heeded(change) -> None:
    network, image = _network()
    before = network(image)
    change(network)
    torch.manual_seed(1)
    output = network(image)
    torch.manual_seed(1)
    assert torch.allclose(output, with_plain_layers(copy.deepcopy(network))(image), rtol=1e-3, atol=1e-3)
    assert not torch.allclose(output, before, atol=1e-3)


@needs_compiler
@pytest.mark.parametrize("trained", ["scale", "conv.bias", "stem.weight", "head.bias", "preconv.weight"])
def test_only_what_trains_has_a_gradient_in_evaluation(trained: str) -> None:
    network, image = _network()
    network.requires_grad_(False)
    plain = with_plain_layers(copy.deepcopy(network)).double()
    gradients = []
    for each, picture in ((network, image), (plain, image.double())):
        wanted = [value.requires_grad_() for name, value in each.named_parameters() if name.endswith(trained)]
        gradients.append(torch.autograd.grad(each(picture).square().mean(), wanted))
    for gradient, exact in zip(*gradients, strict=True):
        assert (gradient - exact).abs().max() <= 1e-3 * exact.abs().max() + 1e-4


@needs_compiler
@torch.no_grad()
def test_other_types_and_autocast_take_the_layers() -> None:
    network, image = _network()
    assert network.double()(image.double()).dtype == torch.float64
    with torch.autocast("cpu", torch.bfloat16):
        assert network.float()(image).dtype == torch.bfloat16
    few, image = _network(channels=(4, 6, 8))
    assert _blocks(few, image) == 0
    mapped = torch.func.vmap(network)(torch.stack([image, image + 1]))
    assert torch.allclose(mapped[0], network(image), rtol=1e-3, atol=1e-3)


@needs_compiler
def test_presets_take_a_kernel_for_every_block() -> None:
    assert _blocks(create_network("pspseg_s").eval(), torch.randn(1, 1, 32, 32, 32)) == 13
