"""What PyTorch knows of the kernels: gradients, shapes, costs, names; and what it refuses."""

import resource
import subprocess
import sys
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from monai.data import MetaTensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.autograd import forward_ad
from torch.profiler import profile
from torch.utils.flop_counter import FlopCounterMode

from lunet_networks import create_network, kernels
from lunet_networks.kernels.library import library
from tools.speed.contenders import with_plain_layers

needs_compiler = pytest.mark.skipif(library() is None, reason="there is no C++ compiler")


def _arguments(name: str, **options) -> tuple:
    """Of an operator, in 3D."""
    torch.manual_seed(0)

    def values(*shape: int) -> torch.Tensor:
        return torch.rand(shape, **options)

    image = values(2, 2, 4, 6, 8)
    return {
        "convolve": (
            [image, values(2, 1, 4, 6, 8)],
            *(values(4, 3, 3, 3, 3), values(4)),
            [values(4), values(4), values(4).detach(), values(4).detach() + 1],  # nothing trains the statistics
            *(1e-5, False, []),
        ),
        "max_pool": (image,),
        "upsample": (image, values(2, 3, 2, 2, 2), values(3)),
        "depthwise": (image, values(2, 1, 3, 3, 3), values(2)),
        "depthwise_upsample": (image, values(2, 1, 3, 3, 3), None),
        "instance_norm": (image, values(2), values(2), 1e-5),
        "perceptron": (
            *(image, [values(2), values(2)], 1e-5, values(5, 2, 1, 1, 1), values(5)),
            *(values(3, 5, 1, 1, 1), values(3), values(2, 3, 4, 6, 8)),
        ),
        "residual_unit": (
            *(values(1, 16, 2, 2, 4), [values(1, 16, 1, 1, 2), values(16, 16, 1, 1, 1), values(16)], []),
            *(values(16, 16, 3, 3, 3), 1e-5, 0.01, [values(2, 16, 1, 1, 1), values(2)]),
        ),
        "downsample_unit": (
            *(values(1, 16, 2, 4, 4), values(16, 16, 3, 3, 3), values(16, 16, 3, 3, 3)),
            *(values(16, 16, 1, 1, 1), values(16), 1e-5, 0.01),
        ),
        "redundant_module": (
            *(values(1, 16, 2, 2, 4), [], [values(16, 16, 1, 1, 1)] * 2),
            *([values(16, 16, 3, 1, 3), values(16, 16, 1, 1, 1)], [values(), values()], 1e-5, 0.01, 0.01),
        ),
    }[name]


def _operator(name: str) -> Callable[..., torch.Tensor]:
    return getattr(torch.ops.lunet, name).default


NAMES = (
    *("convolve", "max_pool", "upsample", "depthwise", "depthwise_upsample", "instance_norm", "perceptron"),
    *("residual_unit", "downsample_unit", "redundant_module"),
)


@needs_compiler
@pytest.mark.parametrize("requires_grad", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_they_are_whole_operators(name: str, requires_grad: bool) -> None:
    """Schema, gradients, fake tensors and torch.compile, as PyTorch checks them."""
    torch.library.opcheck(_operator(name), _arguments(name, requires_grad=requires_grad))


@needs_compiler
@pytest.mark.parametrize("name", NAMES)
def test_gradients_are_right_whatever_is_trained(name: str) -> None:
    arguments = _arguments(name, dtype=torch.float64)
    tensors = [each for each in torch.utils._pytree.tree_leaves(arguments) if isinstance(each, torch.Tensor)]
    for tensor in tensors[:-2] if name == "convolve" else tensors:  # not the statistics of the norm
        tensor.requires_grad_()
        output = _operator(name)(*arguments)
        (gradient,) = torch.autograd.grad(output.square().sum(), [tensor])
        assert gradient.abs().sum() > 0
        tensor.requires_grad_(False)


@needs_compiler
def test_only_a_norm_that_trains_keeps_its_gradient() -> None:
    arguments = _arguments("convolve")
    scale = arguments[3][0].requires_grad_()
    output = _operator("convolve")(*arguments)
    (gradient,) = torch.autograd.grad(output.sum(), [scale])
    image = torch.cat(arguments[0], dim=1)
    relu = F.conv3d(image, *arguments[1:3], padding=1).relu()
    mean, variance = (each.view(-1, 1, 1, 1) for each in arguments[3][2:])
    assert torch.allclose(gradient, ((relu - mean) / (variance + 1e-5).sqrt()).sum(dim=(0, 2, 3, 4)), rtol=1e-4)


@needs_compiler
def test_forward_mode_second_derivative_and_mapped_axes() -> None:
    weight, direction = torch.rand(2, 4, 2, 3, 3), torch.rand(4, 2, 3, 3)
    image = torch.rand(1, 2, 5, 6)

    def layer(weight: torch.Tensor) -> torch.Tensor:
        return _operator("convolve")([image], weight, None, [], 0.0, False, [])

    def plain(weight: torch.Tensor) -> torch.Tensor:
        return F.conv2d(image, weight, padding=1)

    with forward_ad.dual_level():
        tangent = forward_ad.unpack_dual(layer(forward_ad.make_dual(weight[0], direction))).tangent
    assert torch.allclose(tangent, plain(direction), atol=1e-5)
    assert torch.allclose(torch.func.jvp(layer, (weight[0],), (direction,))[1], plain(direction), atol=1e-5)
    assert torch.allclose(torch.func.vmap(layer)(weight), torch.stack([plain(each) for each in weight]), atol=1e-5)
    gradient = torch.func.grad(lambda weight: layer(weight).square().sum())(weight[0])
    assert torch.allclose(gradient, torch.func.grad(lambda weight: plain(weight).square().sum())(weight[0]), rtol=1e-4)
    assert torch.func.hessian(lambda weight: layer(weight).square().sum())(weight[0]).abs().sum() > 0


@needs_compiler
@pytest.mark.parametrize("name", NAMES)
def test_other_types_and_autocast_are_those_of_pytorch(name: str) -> None:
    single, double = _arguments(name), _arguments(name, dtype=torch.float64)
    assert _operator(name)(*double).dtype == torch.float64
    if name in ("convolve", "upsample", "depthwise"):
        with torch.autocast("cpu", torch.bfloat16):
            assert _operator(name)(*(*single[:3], *([[], 0.0, False, []] if name == "convolve" else []))).dtype == (
                torch.bfloat16
            )


@needs_compiler
@pytest.mark.parametrize("name", ["lunet_small_4f", "mednext_small", "pspseg_s"])
def test_a_fake_network_has_shapes_and_no_values(name: str) -> None:
    with FakeTensorMode(), torch.no_grad():
        network = create_network(name).eval()
        output = network(torch.zeros(1, 1, 32, 32, 48))
    assert output.shape == (1, 1, 32, 32, 48)
    fake = FakeTensorMode(allow_non_fake_inputs=True)
    with fake:
        assert kernels.max_pool(torch.zeros(1, 1, 8, 8, 8)).shape == (1, 1, 4, 4, 4)


@needs_compiler
@pytest.mark.parametrize("name", ["lunet_small_4f", "unetpp_small_2f", "mednext_small", "pspseg_s"])
@torch.no_grad()
def test_a_network_costs_the_same_with_kernels(name: str) -> None:
    network, image = create_network(name).eval(), torch.zeros(1, 1, 32, 32, 32)
    with FlopCounterMode(display=False) as counter:
        network(image)
    with FlopCounterMode(display=False) as plain_counter:
        with_plain_layers(network)(image)
    assert counter.get_total_flops() == plain_counter.get_total_flops() > 1e6


@needs_compiler
@torch.no_grad()
def test_the_profiler_names_them() -> None:
    network = create_network("lunet_small_4f").eval()
    with profile() as record:
        network(torch.zeros(1, 1, 32, 32, 32))
    names = {event.key for event in record.key_averages()}
    assert {"lunet::convolve", "lunet::max_pool", "lunet::upsample"} <= names


@needs_compiler
@torch.no_grad()
def test_compiled_layers_compute_the_same() -> None:
    unit, image = create_network("lunet_small_2f").eval().encoders[0][0], torch.rand(1, 1, 16, 16, 32)

    def unit_and_pooling(x: torch.Tensor) -> torch.Tensor:
        return torch.ops.lunet.max_pool(unit([x]))

    compiled = torch.compile(unit_and_pooling, backend="aot_eager", fullgraph=True)
    assert torch.allclose(compiled(image), unit_and_pooling(image), atol=1e-5)


@needs_compiler
@torch.no_grad()
def test_images_of_monai_stay_such() -> None:
    image = MetaTensor(torch.rand(1, 2, 8, 8, 8), meta={"name": "case"})
    output = kernels.max_pool(image)
    assert isinstance(output, MetaTensor)
    assert output.meta["name"] == "case"


@needs_compiler
@pytest.mark.parametrize("requires_grad", [False, True])
def test_what_pytorch_refuses_is_refused(requires_grad: bool) -> None:
    """Too many and too few channels, a bias of another length, an image smaller than the kernel."""
    weight, bias = torch.rand(4, 3, 3, 3, 3, requires_grad=requires_grad), torch.rand(4)
    for channels in (2, 4):
        with pytest.raises(RuntimeError, match="channels"):
            kernels.convolve([torch.rand(1, channels, 8, 8, 8)], weight, bias)
        with pytest.raises(RuntimeError, match="channels"):
            kernels.upsample(torch.rand(1, channels, 8, 8, 8), torch.rand(3, 2, 2, 2, 2), None)
    with pytest.raises(RuntimeError, match="bias"):
        kernels.convolve([torch.rand(1, 3, 8, 8, 8)], weight, torch.rand(3))
    with pytest.raises(RuntimeError, match="too small"):
        kernels.max_pool(torch.rand(1, 3, 1, 8, 8))
    with pytest.raises(ValueError, match="more than 1"):
        kernels.instance_norm(torch.rand(1, 3, 1, 1, 1), None, None, 1e-5)


@needs_compiler
@torch.no_grad()
def test_empty_and_single_images() -> None:
    weight = torch.rand(4, 3, 3, 3, 3)
    assert kernels.convolve([torch.rand(0, 3, 8, 8, 8)], weight, None).shape == (0, 4, 8, 8, 8)
    assert kernels.max_pool(torch.rand(0, 3, 8, 8, 8)).shape == (0, 3, 4, 4, 4)
    single = torch.rand(3, 8, 8, 8)
    assert torch.allclose(kernels.convolve([single], weight, None), F.conv3d(single, weight, padding=1), atol=1e-5)


# in a process of its own: a training asks malloc to keep what is freed
WIDE_CALLS = """
import resource
import torch
from lunet_networks import kernels

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()

with torch.no_grad():
    weight = torch.zeros(1, 512, 3, 3, 3)
    kernels.convolve([torch.zeros(1, 512, 1, 8, 32)], weight, None)
    before = resident()
    kernels.convolve([torch.zeros(1, 512, 1, 192, 192)], weight, None)  # 216 MiB of planes with their margins
    print(resident() - before)
"""
WITHOUT_MEMORY = """
import resource, torch
from lunet_networks import kernels
image, weight = torch.zeros(1, 256, 1, 256, 256), torch.zeros(1, 256, 3, 3, 3)
small = torch.zeros(1, 256, 1, 8, 32)
expected = kernels.convolve([small], weight, None)
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 2**26, resource.RLIM_INFINITY))
try:
    kernels.convolve([image], weight, None)
except MemoryError as error:
    print(error)
resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
assert kernels.convolve([image], weight, None).shape == (1, 1, 1, 256, 256)
"""


@needs_compiler
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_too_little_memory_is_an_error_and_not_the_end() -> None:
    assert resource.RLIMIT_AS is not None
    run = subprocess.run([sys.executable, "-c", WITHOUT_MEMORY], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert "not enough memory for the kernel lunet_conv" in run.stdout


@needs_compiler
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_of_a_wide_call_is_given_back() -> None:
    run = subprocess.run([sys.executable, "-c", WIDE_CALLS], capture_output=True, text=True, check=True)
    assert int(run.stdout) < 64 * 2**20


@needs_compiler
def test_they_are_left_out_where_derivatives_or_another_type_are_asked_for() -> None:
    image = torch.zeros(1, 1, 8, 8, 8)
    weight = torch.nn.Parameter(torch.zeros(1, 1, 3, 3, 3))
    assert kernels.apply_to(image)
    assert kernels.apply_to(image, None)
    assert not kernels.apply_to(image, weight)
    assert not kernels.apply_to(image.half())
    assert not kernels.apply_to(image.to("meta"))
    assert not kernels.apply_to(image.to_mkldnn())
    with torch.no_grad():
        assert kernels.apply_to(image, weight)
        with torch.autocast("cpu", torch.bfloat16):
            assert not kernels.apply_to(image, weight)
        with forward_ad.dual_level():
            assert not kernels.apply_to(image, weight)
