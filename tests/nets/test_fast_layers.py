"""A single float32 volume on a CPU takes fast convolutions, which compute the same."""

import copy
import itertools

import pytest
import torch
from torch import nn
from torch.profiler import profile

from lunet_networks import create_network
from lunet_networks.kernels.library import library
from lunet_networks.nets.fast_layers import takes_kernel, use_fast_layers
from tests.helpers.presets import ONE_PER_ARCHITECTURE, own_dims
from tests.helpers.randomised import randomise
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


def _plain(network: nn.Module, image: torch.Tensor) -> torch.Tensor:
    return with_plain_layers(copy.deepcopy(network))(image)


@pytest.mark.parametrize("trained", ["N.weight", "N.bias", "head.bias", "conv.bias"])
def test_only_what_trains_has_a_gradient_in_evaluation(trained: str) -> None:
    network = create_network("lunet_small_2f").eval().requires_grad_(False)
    image = torch.randn(1, 1, 16, 16, 32)
    parameters = [each.requires_grad_() for name, each in network.named_parameters() if name.endswith(trained)]
    gradients = torch.autograd.grad(network(image).square().sum(), parameters)
    plain = copy.deepcopy(network)
    wanted = [each for name, each in plain.named_parameters() if name.endswith(trained)]
    exact = torch.autograd.grad(with_plain_layers(plain)(image).square().sum(), wanted)
    for gradient, other in zip(gradients, exact, strict=True):
        assert torch.allclose(gradient, other, rtol=1e-3, atol=1e-4 * other.abs().max())


def test_forward_mode_of_a_network_in_evaluation() -> None:
    network = create_network("lunet_small_2f").eval().requires_grad_(False)
    image, direction = torch.randn(2, 1, 1, 16, 16, 32)
    tangents = [torch.func.jvp(each, (image,), (direction,))[1] for each in (network, with_plain_layers(network))]
    assert torch.allclose(*tangents, atol=1e-5)
    assert tangents[0].abs().max() > 0


@pytest.mark.parametrize("name", ["lunet_small_2f", "mednext_small"])
def test_second_derivative_of_a_single_volume(name: str) -> None:
    def squared_slope(network: nn.Module) -> torch.Tensor:
        image = torch.linspace(-1, 1, 16 * 16 * 32).view(1, 1, 16, 16, 32).to(next(network.parameters()))
        image.requires_grad_()
        (slope,) = torch.autograd.grad(network(image).square().sum(), [image], create_graph=True)
        weight = next(network.parameters())
        return torch.autograd.grad(slope.square().sum(), [weight])[0]

    torch.manual_seed(0)
    network = create_network(name).eval()
    exact = squared_slope(with_plain_layers(copy.deepcopy(network)).double())
    assert (squared_slope(network) - exact).abs().max() <= 1e-3 * exact.abs().max()


@torch.no_grad()
def test_networks_are_mapped_over_axes() -> None:
    network, images = create_network("lunet_small_2f").eval(), torch.randn(3, 1, 1, 16, 16, 32)
    assert torch.allclose(torch.func.vmap(network)(images), torch.stack([*map(network, images)]), atol=1e-5)


def _swap_activation(unit: nn.Module) -> None:
    unit.adn.A = nn.ELU()


def _swap_norm(unit: nn.Module) -> None:
    unit.adn.N = nn.InstanceNorm3d(unit.conv.out_channels)


def _swap_convolution(unit: nn.Module) -> None:
    unit.conv = nn.Conv3d(unit.conv.in_channels, unit.conv.out_channels, 3, padding="same", bias=False)


def _leave_out_activation(unit: nn.Module) -> None:
    del unit.adn.A


def _add_a_layer(unit: nn.Module) -> None:
    unit.adn.add_module("more", nn.Sigmoid())


def _drop_scales(unit: nn.Module) -> None:
    unit.adn.N = nn.BatchNorm3d(unit.conv.out_channels, affine=False)


def _use_statistics_of_the_image(unit: nn.Module) -> None:
    unit.adn.N = nn.BatchNorm3d(unit.conv.out_channels, track_running_stats=False)


def _replace_forward(unit: nn.Module) -> None:
    unit.adn.A.forward = torch.sigmoid


def _reparametrise(unit: nn.Module) -> None:
    nn.utils.parametrizations.weight_norm(unit.conv)
    unit.conv.parametrizations.weight.original0.data.mul_(2)


@pytest.mark.parametrize(
    "change",
    [
        *(_swap_activation, _swap_norm, _swap_convolution, _leave_out_activation, _add_a_layer, _drop_scales),
        *(_use_statistics_of_the_image, _replace_forward, _reparametrise),
    ],
)
@torch.no_grad()
def test_layers_that_were_changed_after_construction_are_heeded(change) -> None:
    image = torch.randn(2, 1, 16, 16, 32)
    network = randomise(create_network("lunet_small_4f"), image)
    before = network(image)
    change(network.encoders[1][0])
    network.eval()
    output = network(image)
    assert not torch.allclose(output, before, atol=1e-3)
    unit, seen = network.encoders[1][0], []
    unit.register_forward_hook(lambda _, inputs, output: seen.append((inputs[0], output)))
    network(image)
    ((inputs, output),) = seen
    assert torch.allclose(output, nn.Sequential(unit.conv, unit.adn)(torch.cat(inputs, dim=1)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("part", ["conv", "adn.A", "adn.N", "adn"])
@torch.no_grad()
def test_hooks_of_inner_layers_run(part: str) -> None:
    image = torch.randn(2, 1, 16, 16, 32)
    network = randomise(create_network("lunet_small_4f"), image)
    before = network(image)
    layer = network.encoders[1][0].get_submodule(part)
    with layer.register_forward_hook(lambda _, __, output: output + 1):
        changed = network(image)
    with layer.register_forward_pre_hook(lambda _, inputs: (inputs[0] + 1,)):
        also_changed = network(image)
    assert not torch.allclose(changed, before, atol=1e-3)
    assert not torch.allclose(also_changed, before, atol=1e-3)
    assert torch.equal(network(image), before)


@torch.no_grad()
def test_hooks_of_all_modules_run() -> None:
    network, names = create_network("lunet_small_4f").eval(), set()
    hook = nn.modules.module.register_module_forward_hook(lambda module, *_: names.add(type(module).__name__))
    with hook:
        network(torch.randn(1, 1, 16, 16, 32))
    assert {"ReLU", "BatchNorm3d"} <= names


@torch.no_grad()
def test_the_activation_of_a_mednext_block_is_the_one_that_it_has() -> None:
    network, image = create_network("mednext_small").eval(), torch.randn(1, 1, 32, 32, 32)
    for block in network.modules():
        if hasattr(block, "act"):
            block.act = nn.GELU(approximate="tanh") if block is network.enc_stages[0][0] else nn.Tanh()
    assert torch.allclose(network(image), _plain(network, image), rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_the_norm_of_a_mednext_block_is_the_one_that_it_has() -> None:
    network, image = create_network("mednext_small").eval(), torch.randn(1, 1, 32, 32, 32)
    before = network(image)
    network.enc_stages[0][0].norm = nn.GroupNorm(2, 4)
    network.enc_stages[0][1].norm = nn.BatchNorm3d(4).eval()
    network.bottleneck[0].norm.register_forward_hook(lambda _, __, output: output + 1)
    output = network(image)
    assert not torch.allclose(output, before, atol=1e-3)
    assert torch.allclose(output, _plain(network, image), rtol=1e-4, atol=1e-4)


@pytest.mark.skipif(library() is None, reason="there is no C++ compiler")
@torch.no_grad()
def test_wide_layers_are_left_to_pytorch() -> None:
    def takes(channels: int, out_channels: int, length: int) -> bool:
        conv = use_fast_layers(nn.Sequential(nn.Conv2d(channels, out_channels, 3, padding=1)))[0]
        return takes_kernel(conv, [torch.zeros(1, channels, 4, length)])

    assert takes(4, 512, 8)
    assert takes(64, 128, 32)
    assert not takes(64, 128, 31)
    assert not takes(128, 128, 64)


@torch.no_grad()
@pytest.mark.parametrize("dims", [2, 3])
def test_sizes_channels_and_batches_are_checked_as_by_pytorch(dims: int) -> None:
    conv, transposed, pool, norm = (
        (nn.Conv2d, nn.ConvTranspose2d, nn.MaxPool2d, nn.InstanceNorm2d),
        (nn.Conv3d, nn.ConvTranspose3d, nn.MaxPool3d, nn.InstanceNorm3d),
    )[dims - 2]
    size = (8, 6, 10)[:dims]
    plain = nn.ModuleList(
        [
            *(conv(3, 4, 3, padding=1), conv(3, 4, 1), conv(3, 3, 3, padding=1, groups=3), norm(3, affine=True)),
            *(transposed(3, 4, 2, stride=2), transposed(3, 3, 3, stride=2, padding=1, groups=3), pool(2)),
        ]
    ).eval()
    fast = use_fast_layers(copy.deepcopy(plain))
    images = [torch.randn(*batch, 3, *size) for batch in ((), (0,), (1,), (2,))]
    wrong = [torch.randn(1, 2, *size), torch.randn(1, 4, *size), torch.randn(1, 1, 3, *size), torch.randn(size[-1])]
    for layer, ours in zip(plain, fast, strict=True):
        for image in (*images, *wrong):
            try:
                expected = layer(image)
            except (RuntimeError, ValueError, IndexError) as error:
                with pytest.raises(type(error)):
                    ours(image)
            else:
                assert torch.allclose(ours(image), expected, atol=1e-5)
        if isinstance(layer, (nn.ConvTranspose2d, nn.ConvTranspose3d)):
            for shape in ([2 * length for length in size], [2 * length + 1 for length in size]):
                try:
                    expected = layer(images[2], shape)
                except ValueError:
                    continue
                assert torch.allclose(ours(images[2], output_size=shape), expected, atol=1e-5)
