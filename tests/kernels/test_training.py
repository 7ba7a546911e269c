"""The operators that train compute what PyTorch's functions compute, and say what they cannot take."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from lunet_networks.kernels import training, training_plain
from lunet_networks.kernels.library import library
from lunet_networks.kernels.training import Scaled, train_head, train_pool, train_unit, train_upsample

pytestmark = pytest.mark.skipif(library() is None, reason="there is no C++ compiler")
SIZES = [(4, 4, 4), (7, 6, 5), (1, 9, 33), (13, 50, 41), (6, 8), (51, 45)]


def _scaled(samples: int, channels: int, size: tuple[int, ...], plain: bool = False) -> Scaled:
    values = torch.randn(samples, channels, *size).relu_().requires_grad_()
    if plain:
        return Scaled(values)
    scale, shift = (torch.randn(samples, channels, dtype=torch.float64).requires_grad_() for _ in range(2))
    return Scaled(values, scale, shift)


def _parameters(*shapes: tuple[int, ...]) -> list[torch.Tensor]:
    return [torch.randn(shape).mul_(0.3).requires_grad_() for shape in shapes]


def _compare(outputs: tuple, plain: tuple, leaves: list[torch.Tensor]) -> None:
    """Outputs and gradients for random gradients of the outputs."""
    given = [torch.randn_like(each) for each in outputs]
    ours = torch.autograd.grad(outputs, leaves, given)
    expected = torch.autograd.grad(plain, leaves, [each.to(out.dtype) for each, out in zip(given, plain, strict=True)])
    for found, right in zip((*outputs, *ours), (*plain, *expected), strict=True):
        assert (found - right).abs().max() <= 1e-4 * right.abs().max() + 1e-5


def _leaves(inputs: list[Scaled], parameters: list[torch.Tensor]) -> list[torch.Tensor]:
    return [t for each in inputs for t in (each.values, each.scale, each.shift) if t is not None] + parameters


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("widths", "out"), [((1,), 1), ((4, 3), 5), ((2, 6, 1), 7), ((13,), 12)])
def test_unit(size: tuple[int, ...], widths: tuple[int, ...], out: int) -> None:
    inputs = [_scaled(5, width, size, plain=k == 1) for k, width in enumerate(widths)]
    parameters = _parameters((out, sum(widths), *[3] * len(size)), (out,), (out,), (out,))
    mask = torch.empty(5, out).bernoulli_(0.7).div_(0.7)
    result, mean, variance = train_unit(inputs, *parameters, 1e-5, mask)
    plain = training_plain.plain_unit(*training._arrays(inputs), *parameters, mask, 1e-5)
    torch.testing.assert_close((mean, variance), plain[3:], rtol=1e-5, atol=1e-6)
    _compare((result.values, result.scale, result.shift), plain[:3], _leaves(inputs, parameters))


def test_a_convolution_of_many_channels_is_hardly_rounded_more_than_one_of_few() -> None:
    errors = []
    for channels in (8, 64):
        values, weight = torch.randn(2, channels, 8, 16, 32), torch.randn(4, channels, 3, 3, 3)
        found = train_unit([Scaled(values)], weight, *torch.zeros(3, 4), 1e-5)[0].values
        exact = torch.nn.functional.conv3d(values.double(), weight.double(), padding=1).relu()
        errors.append(((found - exact).abs().max() / exact.abs().max()).item())
    assert errors[1] < 1.5 * errors[0]


@pytest.mark.parametrize("size", [size for size in SIZES if min(size) > 1])
def test_pool(size: tuple[int, ...]) -> None:
    input = _scaled(2, 3, size)
    with torch.no_grad():
        input.scale[0, 1] = 0  # as of a dropped channel: all values are equal, the first of them is taken
    result = train_pool(input)
    _compare((result.values,), (training_plain.plain_pool(input.values, input.scale.detach()),), [input.values])
    _compare(
        (train_pool(Scaled(input.values)).values,),
        (training_plain.plain_pool(input.values, torch.empty(0)),),
        [input.values],
    )


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("bias", [True, False])
def test_upsample_and_head(size: tuple[int, ...], bias: bool) -> None:
    input = _scaled(2, 3, size)
    for layer, plain, shape in (
        (train_upsample, training_plain.plain_upsample, (3, 5, *[2] * len(size))),
        (train_head, training_plain.plain_head, (4, 3, *[1] * len(size))),
    ):
        weight, offset = _parameters(shape, (5 if layer is train_upsample else 4,))
        parameters = [weight, offset] if bias else [weight]
        offset = offset if bias else None
        expected = plain(*training._arrays([input]), weight, offset)
        _compare((layer(input, weight, offset),), (expected,), _leaves([input], parameters))


def test_parameters_may_lie_apart_in_memory() -> None:
    input, apart = _scaled(2, 3, (4, 4, 4)), torch.randn(10)[::2]
    for layer, plain, shape in (
        (train_upsample, training_plain.plain_upsample, (3, 5, 2, 2, 2)),
        (train_head, training_plain.plain_head, (5, 3, 1, 1, 1)),
    ):
        weight = torch.randn(shape[::-1]).permute(4, 3, 2, 1, 0)
        expected = plain(*training._arrays([input]), weight, apart)
        torch.testing.assert_close(layer(input, weight, apart), expected, rtol=1e-4, atol=1e-4)


def test_wrong_shapes_and_types_are_refused() -> None:
    input, (weight, head, each) = _scaled(2, 3, (4, 4, 4)), _parameters((2, 3, 3, 3, 3), (2, 4, 1, 1, 1), (2,))
    with pytest.raises(ValueError, match="do not fit 3 input channels"):
        train_unit([input, input], weight, each, each, each, 1e-5)
    with pytest.raises(ValueError, match="a parameter has shape"):
        train_unit([input], weight, each[:1], each, each, 1e-5)
    with pytest.raises(ValueError, match="do not fit 4 input channels"):
        train_head(input, head, None)
    with pytest.raises(TypeError, match="float32 tensors on a CPU"):
        train_unit([input], weight.double(), each, each, each, 1e-5)


def test_flops_are_counted_as_those_of_the_layers() -> None:
    input, (weight, each) = _scaled(2, 3, (4, 4, 4)), _parameters((2, 3, 3, 3, 3), (2,))
    with FlopCounterMode(display=False) as counter:
        train_unit([input], weight, each, each, each, 1e-5)[0].values.sum().backward()
    ours = counter.get_total_flops()
    with FlopCounterMode(display=False) as counter:
        training_plain.plain_unit(*training._arrays([input]), weight, each, each, each, None, 1e-5)[0].sum().backward()
    assert ours == counter.get_total_flops()


def test_operators_have_shapes_without_values() -> None:
    input, parameters = _scaled(2, 3, (4, 4, 4)), _parameters((2, 3, 3, 3, 3), (2,), (2,), (2,))
    arguments = (*training._arrays([input]), *parameters, None, 1e-5)
    torch.library.opcheck(training._UNIT.overload, arguments, test_utils=("test_schema", "test_faketensor"))
    arguments = (input.values, input.scale.detach())
    torch.library.opcheck(training._POOL.overload, arguments, test_utils=("test_schema", "test_faketensor"))
