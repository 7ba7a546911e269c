"""A single float32 volume on a CPU takes fast convolutions, which compute the same."""

import itertools

import pytest
import torch
from torch import nn
from torch.profiler import profile

from lunet_networks import create_network
from lunet_networks.nets.fast_layers import use_fast_layers
from tests.helpers.presets import ONE_PER_ARCHITECTURE, own_dims
from tools.speed.contenders import with_plain_layers

NETWORKS = ["lunet_small_4f", "lunet_large_6f", *(name for name in ONE_PER_ARCHITECTURE if own_dims(name) == 3)]


def _gradients(module: nn.Module, image: torch.Tensor) -> list[torch.Tensor]:
    output = module(image)
    weight = torch.linspace(-1, 1, output.numel()).view_as(output).to(output)
    return [output, *torch.autograd.grad((output * weight).sum(), [image, *module.parameters()])]


@pytest.mark.parametrize(
    ("layer", "bias", "size"),
    [
        *itertools.product(
            [
                lambda bias: nn.Conv3d(4, 6, 3, padding=1, bias=bias),
                lambda bias: nn.Conv3d(4, 6, (3, 1, 5), padding=(1, 0, 2), stride=(1, 2, 1), bias=bias),
                lambda bias: nn.Conv3d(4, 6, 1, bias=bias),
                lambda bias: nn.Conv3d(4, 6, 1, stride=2, bias=bias),
                lambda bias: nn.Conv3d(4, 6, 1, padding=1, bias=bias),
                lambda bias: nn.Conv3d(4, 6, 3, padding="same", bias=bias),
                lambda bias: nn.Conv3d(4, 6, 3, padding=2, dilation=2, bias=bias),
                lambda bias: nn.ConvTranspose3d(4, 6, 2, stride=2, bias=bias),
                lambda bias: nn.ConvTranspose3d(4, 6, 1, stride=2, bias=bias),
                lambda bias: nn.ConvTranspose3d(4, 6, (1, 2, 2), stride=(2, 3, 2), bias=bias),
                lambda bias: nn.ConvTranspose3d(4, 6, 3, stride=2, padding=1, bias=bias),
                lambda bias: nn.ConvTranspose3d(4, 6, 2, stride=2, output_padding=1, bias=bias),
                lambda bias: nn.Conv3d(4, 4, 3, groups=4, bias=bias),
                lambda bias: nn.Conv3d(4, 6, 3, padding=1, padding_mode="reflect", bias=bias),
            ],
            (True, False),
            ((6, 8, 10), (5, 7, 9)),
        )
    ],
)
def test_layers_compute_what_pytorch_computes(layer, bias: bool, size: tuple[int, ...]) -> None:
    module = layer(bias)
    image = torch.randn(1, 4, *size, requires_grad=True)
    expected = _gradients(module.double(), image.double())
    plain = _gradients(module.float(), image)
    fast = _gradients(use_fast_layers(nn.Sequential(module)), image)
    for exact, slow, new in zip(expected, plain, fast, strict=True):
        scale = exact.abs().max()
        assert (new - exact).abs().max() <= 3 * (slow - exact).abs().max() + 1e-6 * scale
        assert new.shape == exact.shape
        assert new.dtype == torch.float32


@pytest.mark.parametrize("name", NETWORKS)
def test_no_slow_convolution_runs_forward_or_backward(name: str) -> None:
    network = create_network(name)
    with profile() as record:
        network(torch.randn(1, 1, 32, 32, 32)).sum().backward()
    assert not [event.key for event in record.key_averages() if "slow_conv" in event.key]


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_compute_what_their_plain_layers_compute(name: str) -> None:
    network = create_network(name).eval()
    image = torch.randn(1, 1, 32, 48, 32)
    with torch.no_grad():
        fast, fast_double = network(image), network.double()(image.double())
        plain_double, plain = with_plain_layers(network)(image.double()), network.float()(image)
    assert (fast_double - plain_double).abs().max() < 1e-10
    noise = (plain - plain_double).abs().max()
    assert (fast - plain_double).abs().max() <= 3 * noise + 1e-7


def test_the_state_dict_stays_and_so_do_layers_without_a_faster_form() -> None:
    network = nn.Sequential(nn.Conv2d(4, 4, 3, groups=2), nn.Conv3d(1, 2, 3), nn.ConvTranspose3d(2, 1, 2, stride=2))
    keys = list(network.state_dict())
    use_fast_layers(network)
    assert type(network[0]) is nn.Conv2d
    assert isinstance(network[1], nn.Conv3d)
    assert type(network[1]) is not nn.Conv3d
    assert list(network.state_dict()) == keys
    assert use_fast_layers(network) is network


def test_autocast_chooses_the_type() -> None:
    network = create_network("lunet_small_1f").eval()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        assert network.head(torch.randn(1, 1, 16, 16, 16)).dtype == torch.bfloat16


@torch.no_grad()
def test_dropout_that_is_left_on_and_hooks_are_heeded() -> None:
    network = create_network("lunet_small_4f", dropout=0.5).eval()
    image = torch.randn(1, 1, 16, 16, 32)
    assert torch.equal(network(image), network(image))
    seen = []
    handle = network.encoders[1][0].adn.A.register_forward_hook(lambda *arguments: seen.append(arguments[2].min()))
    network(image)
    assert seen[0] >= 0
    handle.remove()
    network.encoders[0][1].adn.D.train()
    assert not torch.equal(network(image), network(image))
