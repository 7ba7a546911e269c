"""The kernels of PSP-Seg's blocks compute what PyTorch's layers compute."""

import pytest
import torch

from lunet_networks.kernels import residuals
from lunet_networks.kernels.library import library
from lunet_networks.kernels.operators import Operator

needs_compiler = pytest.mark.skipif(library() is None, reason="there is no C++ compiler")
SIZES = [(6, 4, 10), (2, 2, 2), (4, 6, 44), (8, 14), (2, 34)]
LARGE = [(22, 38, 42), (130, 254)]  # what is inside the branches of a module does not fit in the cache
EPS, SLOPE = 1e-5, 0.01


def _weight(out_channels: int, in_channels: int, *taps: int) -> torch.Tensor:
    weight = torch.randn(out_channels, in_channels, *taps)
    return weight / weight[0].numel() ** 0.5


def _calls(size: tuple[int, ...], offset: float = 1.0) -> list[tuple[Operator, tuple]]:
    """Every operator with every form of its arguments."""
    torch.manual_seed(0)
    dims = len(size)
    three, one, half = (3,) * dims, (1,) * dims, [length // 2 for length in size]
    image, picture = offset + torch.randn(2, 16, *size), offset + torch.randn(2, 3, *size)
    lower = [offset + torch.randn(2, 48, *half), _weight(16, 48, *one), torch.randn(16)]
    layer, stem, head = (
        _weight(16, 16, *three),
        [_weight(16, 3, *one), torch.randn(16)],
        [_weight(2, 16, *one), torch.randn(2)],
    )
    taps = [each[-dims:] for each in ([1, 1, 1], [1, 3, 3], [3, 1, 3], [3, 3, 1], [1, 1, 3])]
    branches = (
        [_weight(32, 16, *one) for _ in taps],
        [_weight(16, 32, *each) for each in taps],
        [torch.randn(()) for _ in taps],
    )
    unit, module, down = residuals._RESIDUAL_UNIT, residuals._REDUNDANT_MODULE, residuals._DOWNSAMPLE_UNIT
    calls = [
        (unit, (image, [], [], layer, EPS, SLOPE, [])),
        (unit, (image, lower, [], layer, EPS, SLOPE, head)),
        (unit, (picture, [], stem, layer, EPS, SLOPE, [])),
        *((module, (image, below, *branches, EPS, SLOPE, outer)) for below in ([], lower) for outer in (SLOPE, 1.0)),
    ]
    if max(half) > 1:  # else there is one voxel, which has no variance
        weights = _weight(48, 16, *three), _weight(48, 48, *three), _weight(48, 16, *one), torch.randn(48)
        calls.append((down, (image, *weights, EPS, SLOPE)))
    return calls


def _module(size: tuple[int, ...], offset: float = 1.0) -> tuple[Operator, tuple]:
    """A module with an image of half the resolution."""
    return [call for call in _calls(size, offset) if call[0] is residuals._REDUNDANT_MODULE][-1]


def _double(arguments: tuple) -> tuple:
    return torch.utils._pytree.tree_map_only(torch.Tensor, torch.Tensor.double, arguments)


@needs_compiler
@pytest.mark.parametrize("offset", [1.0, 100.0])
@pytest.mark.parametrize("size", SIZES)
@torch.no_grad()
def test_blocks_are_as_exact_as_their_layers(size: tuple[int, ...], offset: float) -> None:
    for operator, arguments in _calls(size, offset):
        _check_as_exact(operator, arguments)


@needs_compiler
@pytest.mark.parametrize("offset", [0.0, 1000.0])
@pytest.mark.parametrize("size", LARGE)
@torch.no_grad()
def test_large_modules_are_as_exact_as_their_layers(size: tuple[int, ...], offset: float) -> None:
    _check_as_exact(*_module(size, offset))


@needs_compiler
@torch.no_grad()
def test_a_module_that_is_wider_than_its_image_is_large() -> None:
    """More channels inside than voxels, and too many values for the cache."""
    torch.manual_seed(0)
    hidden, size = 1040, (8, 8, 16)
    layers = [_weight(hidden, 16, 1, 1, 1)], [_weight(16, hidden, 1, 3, 1)], [torch.tensor(0.5)]
    _check_as_exact(residuals._REDUNDANT_MODULE, (torch.randn(1, 16, *size), [], *layers, EPS, SLOPE, SLOPE))


def _check_as_exact(operator: Operator, arguments: tuple) -> None:
    assert operator.takes(*arguments)
    output, plain, exact = operator(*arguments), operator.plain(*arguments), operator.plain(*_double(arguments))
    assert output.dtype == torch.float32
    assert output.stride() == plain.stride()
    noise = (plain - exact).abs().max()
    assert (output - exact).abs().max() <= 3 * noise + 1e-6 * exact.abs().max(), operator.overload


@needs_compiler
@torch.no_grad()
def test_blocks_are_the_same_in_any_number_of_threads() -> None:
    calls, threads = [*_calls((6, 4, 10)), *_calls((8, 14))], torch.get_num_threads()
    deep = (torch.randn(1, 64, 2, 2, 4), _weight(64, 64, 3, 3, 3), _weight(64, 64, 3, 3, 3), _weight(64, 64, 1, 1, 1))
    calls.append((residuals._DOWNSAMPLE_UNIT, (*deep, torch.randn(64), EPS, SLOPE)))
    calls += map(_module, LARGE)
    try:
        outputs = []
        for number in (1, 2, 5):
            torch.set_num_threads(number)
            outputs.append([operator(*arguments) for operator, arguments in calls])
    finally:
        torch.set_num_threads(threads)
    for one, *others in zip(*outputs, strict=True):
        assert all(torch.equal(one, other) for other in others)


@needs_compiler
@torch.no_grad()
def test_other_layouts_and_what_is_no_number() -> None:
    operator, (image, *others) = _calls((6, 4, 10))[0]
    output = operator(image, *others)
    assert output.is_contiguous(memory_format=torch.channels_last_3d)
    assert torch.equal(operator(image.to(memory_format=torch.channels_last_3d), *others), output)
    image[1, 3, 2, 2, 2] = float("nan")
    assert torch.equal(operator(image, *others)[0], output[0])
    assert operator(image, *others)[1].isnan().all()  # every convolution and its norm see it


@needs_compiler
def test_what_kernels_do_not_take() -> None:
    """Channels that are no multiple of 16, other kernels, an image that is not twice the lower one, a single voxel."""
    image, layer = torch.zeros(1, 16, 4, 4, 4), torch.zeros(16, 16, 3, 3, 3)
    takes = residuals._RESIDUAL_UNIT.takes
    assert takes(image, [], [], layer, EPS, SLOPE, [])
    lower = [torch.zeros(1, 16, 2, 2, 3), torch.zeros(16, 16, 1, 1, 1), torch.zeros(16)]
    assert not takes(image, lower, [], layer, EPS, SLOPE, [])
    assert not takes(image[:, :8], [], [], layer[:8, :8], EPS, SLOPE, [])
    assert not takes(image, [], [], layer[:, :, 1:], EPS, SLOPE, [])
    assert not takes(image[..., :1, :1, :1], [], [], layer, EPS, SLOPE, [])
    assert not takes(image[0], [], [], layer, EPS, SLOPE, [])
    with pytest.raises(RuntimeError, match="channels"):
        residuals.residual_unit(image[:, :8], [], [], layer, EPS, SLOPE, [])
