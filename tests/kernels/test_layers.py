"""The kernels compute what PyTorch's layers compute."""

import itertools

import pytest
import torch
import torch.nn.functional as F
from monai.data import MetaTensor
from torch import nn

from lunet_networks import create_network, kernels
from lunet_networks.kernels.library import library
from tests.helpers.randomised import randomise

needs_compiler = pytest.mark.skipif(library() is None, reason="there is no C++ compiler")
SIZES = [(4, 4, 4), (8, 6, 10), (3, 5, 20), (1, 7, 33), (6, 4, 64), (2, 3, 101)]
CHANNELS = [((1,), 1), ((4, 4), 4), ((3, 2), 5), ((2, 6), 8), ((9, 1, 2), 13)]
LAYERS = {
    2: (nn.Conv2d, nn.BatchNorm2d, nn.ConvTranspose2d, F.max_pool2d),
    3: (nn.Conv3d, nn.BatchNorm3d, nn.ConvTranspose3d, F.max_pool3d),
}


def _close(output: torch.Tensor, plain: torch.Tensor, exact: torch.Tensor) -> None:
    assert output.shape == exact.shape
    assert output.dtype == torch.float32
    noise = (plain - exact).abs().max()
    assert (output - exact).abs().max() <= 3 * noise + 1e-6 * exact.abs().max()


@needs_compiler
@pytest.mark.parametrize(("dims", "size", "channels"), list(itertools.product((2, 3), SIZES, CHANNELS)))
@torch.no_grad()
def test_convolution_and_what_follows(dims: int, size: tuple[int, ...], channels: tuple) -> None:
    widths, out_channels = channels
    conv_class, norm_class, _, _ = LAYERS[dims]
    inputs = [torch.randn(2, width, *size[-dims:]) for width in widths]
    image = torch.cat(inputs, dim=1)
    conv = conv_class(sum(widths), out_channels, 3, padding=1)
    norm = norm_class(out_channels).eval()
    for tensor in (norm.weight, norm.bias, norm.running_mean):
        tensor.normal_()  # also negative scales
    norm.running_var.uniform_(0.1, 2)
    norm.weight[0] = 0
    lowest = torch.randn(out_channels)
    limits = lowest, lowest + torch.rand(out_channels)

    def clamp(x: torch.Tensor) -> torch.Tensor:
        low, high = (limit.view(-1, *[1] * dims).to(x) for limit in limits)
        return torch.clamp(x, min=low, max=high)

    of_norm = [norm.weight, norm.bias, norm.running_mean, norm.running_var], norm.eps
    outputs = {
        lambda x: conv(x): kernels.convolve(inputs, conv.weight, conv.bias),
        lambda x: norm(conv(x).relu()): kernels.convolve(inputs, conv.weight, conv.bias, *of_norm),
        lambda x: norm(conv(x)).relu(): kernels.convolve(inputs, conv.weight, conv.bias, *of_norm, norm_first=True),
        lambda x: clamp(conv(x)): kernels.convolve(inputs, conv.weight, conv.bias, limits=limits),
    }
    for layers, output in outputs.items():
        conv.float(), norm.float()
        plain = layers(image)
        conv.double(), norm.double()
        _close(output, plain, layers(image.double()))
    conv.float()
    _close(
        kernels.convolve(inputs, conv.weight, None),
        conv._conv_forward(image, conv.weight, None),
        conv._conv_forward(image.double(), conv.weight.double(), None),
    )


@needs_compiler
@pytest.mark.parametrize(("dims", "size", "channels"), list(itertools.product((2, 3), SIZES, (1, 3, 5))))
@torch.no_grad()
def test_pooling_and_upsampling(dims: int, size: tuple[int, ...], channels: int) -> None:
    _, _, transposed_class, pool = LAYERS[dims]
    image = torch.randn(2, channels, *size[-dims:])
    image[0, 0].view(-1)[0] = float("nan")
    if min(image.shape[2:]) > 1:
        torch.testing.assert_close(kernels.max_pool(image), pool(image, 2), rtol=0, atol=0, equal_nan=True)
    transposed, image = transposed_class(channels, 4, 2, stride=2), image.nan_to_num()
    output = kernels.upsample(image, transposed.weight, transposed.bias)
    plain = transposed(image)
    _close(output, plain, transposed.double()(image.double()))


@needs_compiler
@pytest.mark.parametrize(("dims", "size", "channels"), list(itertools.product((2, 3), SIZES, (1, 3, 5))))
@torch.no_grad()
def test_depthwise_layers_and_instance_norm(dims: int, size: tuple[int, ...], channels: int) -> None:
    conv_class, _, transposed_class, _ = LAYERS[dims]
    norm_class = {2: nn.InstanceNorm2d, 3: nn.InstanceNorm3d}[dims]
    image = 3 + torch.randn(2, channels, *size[-dims:])
    conv = conv_class(channels, channels, 3, padding=1, groups=channels)
    transposed = transposed_class(channels, channels, 3, stride=2, padding=1, groups=channels)
    norm = norm_class(channels, affine=True)
    norm.weight.normal_(), norm.bias.normal_()
    for layer, kernel in ((conv, kernels.depthwise), (transposed, kernels.depthwise_upsample)):
        for bias in (layer.bias, None):
            layer.bias = bias
            output, plain = kernel(image, layer.weight, layer.bias), layer(image)
            _close(output, plain, layer.double()(image.double()))
            layer.float()
    outputs = kernels.instance_norm(image, norm.weight, norm.bias, norm.eps), norm(image)
    _close(*outputs, norm.double()(image.double()))
    plain = norm_class(channels)
    _close(kernels.instance_norm(image, None, None, 1e-5), plain(image), plain(image.double()))


@needs_compiler
@pytest.mark.parametrize(("dims", "size", "widths"), list(itertools.product((2, 3), SIZES, [(1, 2, 1), (4, 13, 5)])))
@torch.no_grad()
def test_the_perceptron_of_a_block(dims: int, size: tuple[int, ...], widths: tuple[int, int, int]) -> None:
    conv_class = LAYERS[dims][0]
    channels, hidden, out_channels = widths
    first, second = conv_class(channels, hidden, 1), conv_class(hidden, out_channels, 1)
    image, residual = 4 * torch.randn(2, channels, *size[-dims:]), torch.randn(2, out_channels, *size[-dims:])
    norm = nn.GroupNorm(channels, channels)
    norm.weight.normal_(), norm.bias.normal_()
    layers = first.weight, first.bias, second.weight, second.bias
    output = kernels.perceptron(image, [], 0.0, *layers, residual)
    normed = kernels.perceptron(3 + image, [norm.weight, norm.bias], norm.eps, *layers, residual)
    plain = [residual + second(F.gelu(first(x))) for x in (image, norm(3 + image))]
    inputs = image.double(), norm.double()(3 + image.double())
    exact = [residual.double() + second.double()(F.gelu(first.double()(x))) for x in inputs]
    _close(output, plain[0], exact[0])
    _close(normed, plain[1], exact[1])


@needs_compiler
@torch.no_grad()
def test_gelu_everywhere() -> None:
    values = torch.cat([torch.linspace(-12, 12, 100_001), torch.tensor([-1e30, -1e4, 0.0, 1e4, 1e30])])
    layer = nn.Conv2d(1, 1, 1)
    layer.weight.fill_(1), layer.bias.fill_(0)
    image = values.view(1, 1, 1, -1)
    output = kernels.perceptron(image, [], 0.0, *2 * (layer.weight, layer.bias), torch.zeros_like(image))
    exact = F.gelu(image.double())
    assert ((output - exact).abs() <= 1e-7 * exact.abs() + 1.2e-6).all()  # as PyTorch's


@needs_compiler
@torch.no_grad()
def test_instance_norm_of_a_large_image_far_from_zero() -> None:
    image = 1000 + torch.randn(1, 2, 64, 96, 101)
    exact = F.instance_norm(image.double())
    assert (kernels.instance_norm(image, None, None, 1e-5) - exact).abs().max() < 1e-3
    constant = torch.full((1, 1, 8, 8, 8), 1e6)
    assert kernels.instance_norm(constant, None, None, 1e-5).abs().max() == 0


@needs_compiler
@torch.no_grad()
def test_tensors_in_another_layout_and_of_monai() -> None:
    conv = nn.Conv3d(3, 4, 3, padding=1)
    image = torch.randn(2, 3, 8, 8, 40)
    output = kernels.convolve([image], conv.weight, conv.bias)
    channels_last = image.to(memory_format=torch.channels_last_3d)
    conv = conv.to(memory_format=torch.channels_last_3d)
    assert torch.equal(kernels.convolve([channels_last], conv.weight, conv.bias), output)
    other = kernels.convolve([MetaTensor(image, meta={"name": "case"})], conv.weight, conv.bias)
    assert isinstance(other, MetaTensor)
    assert torch.equal(other.as_tensor(), output)


@needs_compiler
@torch.no_grad()
def test_a_network_computes_the_same_in_any_number_of_threads() -> None:
    network = randomise(create_network("lunet_small_3f"), torch.randn(2, 1, 32, 32, 32))
    image, threads = torch.randn(1, 1, 48, 32, 80), torch.get_num_threads()
    try:
        outputs = []
        for number in (1, 2, 5):
            torch.set_num_threads(number)
            outputs.append(network(image))
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(outputs[0], outputs[1])
    assert torch.equal(outputs[0], outputs[2])
