"""Networks of few channels train on kernels as they would on PyTorch's layers."""

import copy
import os
import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from lunet_networks import UNet, UNetPlusPlus, create_network, list_presets
from lunet_networks.kernels.library import library
from lunet_networks.kernels.training import Scaled
from lunet_networks.nets import fast_training

pytestmark = pytest.mark.skipif(library() is None, reason="there is no C++ compiler")
ROOT = Path(__file__).parents[2]
ON_KERNELS = ("*unet_small_?f", "*unetpp_small_?f", "*_large_6f", "*_large_12f")
PRESETS = [
    name if name == "lunet_small_4f" else pytest.param(name, marks=pytest.mark.slow)
    for pattern in ON_KERNELS
    for name in list_presets(pattern)
]


@pytest.fixture
def off(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Turns the kernels off from here on."""
    return lambda: monkeypatch.setattr(fast_training, "library", lambda: None)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the kernels that ran."""
    names = []
    for name in ("train_unit", "train_pool", "train_upsample", "train_head"):
        plain = getattr(fast_training, name)
        monkeypatch.setattr(
            fast_training, name, lambda *inputs, plain=plain, name=name: (names.append(name), plain(*inputs))[1]
        )
    return names


def _network(preset: str = "lunet_small_2f", dims: int = 3, **arguments: object) -> nn.Module:
    network = create_network(preset, spatial_dims=dims, out_channels=3, **arguments)
    for name, parameter in network.named_parameters():
        if ".N." in name:  # some scales below 0
            nn.init.normal_(parameter, 0.3, 1)
    return network.train()


def _step(network: nn.Module, image: torch.Tensor, seed: int = 1) -> dict[str, torch.Tensor]:
    """Logits, gradients and buffers of a step, by name."""
    torch.manual_seed(seed)
    image = image.clone().requires_grad_()
    logits = network(image)
    label = (torch.arange(logits[:, 0].numel()) % 3).view_as(logits[:, 0])
    F.cross_entropy(logits, label).backward()
    found = {name: parameter.grad for name, parameter in network.named_parameters()}
    return {"logits": logits.detach(), "image": image.grad, **found, **dict(network.named_buffers())}


def _error(found: dict, exact: dict) -> float:
    """The greatest difference of a gradient, logit or statistic to the exact one, relative to the greatest value."""
    return max(
        ((found[name].double() - value).abs().max() / value.abs().max()).item()
        for name, value in exact.items()
        if value is not None and value.abs().max() > 1e-6
    )


def _assert_close(found: dict, expected: dict) -> None:
    """What a wrong gradient would fail, but not a voxel that passes a ReLU by rounding."""
    for name, value in expected.items():
        assert (found[name] is None) == (value is None), name
        if value is not None:
            assert (found[name] - value).abs().max() <= 2e-2 * value.abs().max() + 1e-3, name


class Branches:
    """Which values pass the ReLUs, and which voxels max pooling takes, in a step.

    A value that is 0 but for rounding passes a ReLU or does not, and gradients jump there, in float64 as well. So what
    rounding does to gradients is seen where a float64 step takes the same branches.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.monkeypatch = monkeypatch

    def record(self, network: nn.Module, image: torch.Tensor) -> dict[str, torch.Tensor]:
        """Do a step; networks differ only in what computes their layers."""
        self.passed, self.taken = {}, []
        units = {name: unit for name, unit in network.named_modules() if hasattr(unit, "adn")}
        by_weight = {id(unit.conv.weight): name for name, unit in units.items()}
        by_relu = {id(unit.adn.A): name for name, unit in units.items()}
        kernel, kernel_pool = fast_training.train_unit, fast_training.train_pool
        relu, pool = nn.ReLU.forward, type(network.pool).forward

        def unit_on_kernel(inputs: list, weight: torch.Tensor, *others: object) -> tuple:
            output = kernel(inputs, weight, *others)
            self.passed[by_weight[id(weight)]] = output[0].values > 0
            return output

        def on_relu(layer: nn.Module, x: torch.Tensor) -> torch.Tensor:
            self.passed[by_relu[id(layer)]] = x > 0
            return relu(layer, x)

        def on_pool(layer: nn.Module, x: torch.Tensor) -> torch.Tensor:
            self.taken.append(_taken(x))
            return pool(layer, x)

        def pool_on_kernel(input: Scaled) -> Scaled:
            signs = 1 if input.scale is None else input.scale.sign().float()[(..., *[None] * (image.dim() - 2))]
            self.taken.append(_taken(input.values * signs))
            return kernel_pool(input)

        with self.monkeypatch.context() as patched:
            patched.setattr(fast_training, "train_unit", unit_on_kernel)
            patched.setattr(fast_training, "train_pool", pool_on_kernel)
            patched.setattr(nn.ReLU, "forward", on_relu)
            patched.setattr(type(network.pool), "forward", on_pool)
            step = _step(network, image)
        assert self.passed.keys() == units.keys()
        return step

    def follow(self, network: nn.Module, image: torch.Tensor) -> dict[str, torch.Tensor]:
        """Do a step that takes the branches which were recorded."""
        for name, passed in self.passed.items():
            network.get_submodule(name).adn.A = Passing(passed)
        network.pool = Taking(self.taken)
        return _step(network, image)


def _taken(x: torch.Tensor) -> torch.Tensor:
    return {4: F.max_pool2d, 5: F.max_pool3d}[x.dim()](x.detach(), 2, return_indices=True)[1]


class Passing(nn.Module):
    """A ReLU that lets a given part of the values pass."""

    def __init__(self, passed: torch.Tensor) -> None:
        super().__init__()
        self.passed = passed

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.passed


class Taking(nn.Module):
    """Max pooling that takes given voxels, call after call."""

    def __init__(self, taken: list[torch.Tensor]) -> None:
        super().__init__()
        self.taken = iter(taken)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        taken = next(self.taken)
        return x.flatten(2).gather(2, taken.flatten(2)).view(taken.shape)


@pytest.mark.parametrize("dims", [3, 2])
@pytest.mark.parametrize("preset", PRESETS)
def test_gradients_are_as_exact_as_those_of_pytorch(
    preset: str, dims: int, off: Callable, calls: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    size = (16, 16, 32) if dims == 3 else (32, 80)
    cases, errors = [], {"kernels": [], "PyTorch": []}
    for seed in range(5):
        torch.manual_seed(seed)
        network, image, branches = _network(preset, dims), torch.randn(2, 1, *size), Branches(monkeypatch)
        cases.append((network, image, branches, branches.record(copy.deepcopy(network), image)))
    assert {"train_unit", "train_pool", "train_head"} <= set(calls)
    off()
    for network, image, branches, found in cases:
        exact = branches.follow(copy.deepcopy(network).double(), image.double())
        errors["kernels"].append(_error(found, exact))
        found = branches.record(copy.deepcopy(network), image)
        exact = branches.follow(copy.deepcopy(network).double(), image.double())
        errors["PyTorch"].append(_error(found, exact))
    # of single cases either is up to four times as far off as the other
    assert statistics.median(errors["kernels"]) <= 3 * statistics.median(errors["PyTorch"])


def test_running_statistics_and_counts_are_those_of_pytorch(off: Callable) -> None:
    network, image = _network(), torch.randn(2, 1, 16, 16, 16)
    network.encoders[0][0].adn.N.momentum = None  # a plain mean of all batches
    plain = copy.deepcopy(network)
    for _ in range(3):
        network(image)
    off()
    for _ in range(3):
        plain(image)
    for name, buffer in plain.named_buffers():
        torch.testing.assert_close(network.get_buffer(name), buffer, rtol=1e-5, atol=1e-6)


def test_dropout_drops_the_same_channels(off: Callable) -> None:
    network, image = _network(dropout=0.4), torch.randn(3, 1, 16, 16, 16)
    plain = copy.deepcopy(network)
    torch.manual_seed(1)
    ours, state = network(image), torch.get_rng_state()
    off()
    torch.manual_seed(1)
    torch.testing.assert_close(ours, plain(image), rtol=1e-4, atol=1e-4)
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize("size", [(16, 16, 48), (48, 64, 48)])
def test_any_number_of_threads_gives_the_same_bits(size: tuple[int, ...]) -> None:
    network, image, steps = _network("lunet_small_3f"), torch.randn(5, 1, *size), []
    threads = torch.get_num_threads()
    try:
        for number in (1, 2, 3):
            torch.set_num_threads(number)
            steps.append(_kernels_only(copy.deepcopy(network), image))
    finally:
        torch.set_num_threads(threads)
    for other in steps[1:]:
        assert all(torch.equal(other[name], value) for name, value in steps[0].items())


def _kernels_only(network: nn.Module, image: torch.Tensor) -> dict[str, torch.Tensor]:
    """A step whose loss is no sum: PyTorch's sums depend on the number of threads."""
    logits = network(image)
    logits.backward(torch.linspace(-1, 1, logits.numel()).view_as(logits))
    return {"logits": logits.detach(), **{name: each.grad for name, each in network.named_parameters()}}


def test_nan_stays_nan() -> None:
    network, image = _network(), torch.randn(2, 1, 16, 16, 16)
    image[0, 0, 3, 3, 3] = torch.nan
    step = _kernels_only(network, image)
    assert step["logits"].isnan().all()
    assert all(gradient.isnan().any() for name, gradient in step.items() if "conv.weight" in name)


def test_gradients_accumulate_and_a_graph_can_be_kept() -> None:
    network, image = _network(), torch.randn(2, 1, 16, 16, 16)
    once = _kernels_only(copy.deepcopy(network), image)
    loss = (network(image) * torch.linspace(-1, 1, 2 * 3 * 16**3).view(2, 3, 16, 16, 16)).sum()
    loss.backward(retain_graph=True)
    loss.backward()
    for name, parameter in network.named_parameters():
        torch.testing.assert_close(parameter.grad, 2 * once[name], rtol=1e-4, atol=1e-4)


def test_frozen_parts_get_no_gradient(off: Callable) -> None:
    network, image = _network(), torch.randn(2, 1, 16, 16, 16)
    for part in (network.encoders[0], network.upsamples[1], network.decoders[1][0].conv, network.head):
        part.requires_grad_(False)
    plain = copy.deepcopy(network)
    ours = _kernels_only(network, image)
    off()
    _assert_close(ours, _kernels_only(plain, image))


def _swap_activation(network: nn.Module) -> None:
    network.encoders[1][0].adn.A = nn.LeakyReLU()


def _swap_norm(network: nn.Module) -> None:
    network.encoders[1][0].adn.N = nn.InstanceNorm3d(2, affine=True)


def _freeze_norm(network: nn.Module) -> None:
    network.encoders[1][0].adn.N.eval()


def _swap_dropout(network: nn.Module) -> None:
    network.encoders[1][0].adn.D = nn.Identity()


def _widen_kernel(network: nn.Module) -> None:
    network.encoders[1][0].conv = nn.Conv3d(2, 2, 5, padding=2)


def _normalise_weights(network: nn.Module) -> None:
    nn.utils.parametrizations.weight_norm(network.encoders[1][0].conv)


def _swap_pool(network: nn.Module) -> None:
    network.pool = nn.AvgPool3d(2)


@pytest.mark.parametrize(
    "change",
    [_swap_activation, _swap_norm, _freeze_norm, _swap_dropout, _widen_kernel, _normalise_weights, _swap_pool],
)
def test_changed_parts_run_as_they_are(change: Callable, off: Callable, calls: list[str]) -> None:
    network, image = _network(), torch.randn(2, 1, 16, 16, 16)
    change(network)
    plain = copy.deepcopy(network)
    ours = _kernels_only(network, image)
    assert "train_unit" in calls  # the others take kernels
    off()
    _assert_close(ours, _kernels_only(plain, image))


@pytest.mark.parametrize("where", ["encoders.1", "encoders.1.0", "encoders.1.0.adn.A", "pool", "upsamples.0", "head"])
def test_hooks_are_called(where: str) -> None:
    network, seen = _network(), []
    network.get_submodule(where).register_forward_hook(lambda *call: seen.append(call[-1]))
    network(torch.randn(2, 1, 16, 16, 16)).sum().backward()
    assert all(isinstance(output, torch.Tensor) for output in seen)
    assert len(seen) == (4 if where == "pool" else 1)


def _in_float64(network: nn.Module, image: torch.Tensor) -> torch.Tensor:
    return network.double()(image.double())


def _in_autocast(network: nn.Module, image: torch.Tensor) -> torch.Tensor:
    with torch.autocast("cpu", torch.bfloat16):
        return network(image)


def _traced(network: nn.Module, image: torch.Tensor) -> torch.Tensor:
    return torch.jit.trace(network, image, check_trace=False)(image)


def _scripted(network: nn.Module, image: torch.Tensor) -> torch.Tensor:
    return torch.jit.script(network)(image)


def _forward_mode(network: nn.Module, image: torch.Tensor) -> torch.Tensor:
    with torch.autograd.forward_ad.dual_level():
        return network(torch.autograd.forward_ad.make_dual(image, torch.ones_like(image)))


def _functional(network: nn.Module, image: torch.Tensor) -> torch.Tensor:
    buffers = dict(network.named_buffers())
    parameters = dict(network.named_parameters())
    loss = lambda p, b: torch.func.functional_call(network, (p, b), (image,)).sum()  # noqa: E731
    return torch.func.grad(loss)(parameters, buffers)


@pytest.mark.parametrize("run", [_in_float64, _in_autocast, _traced, _scripted, _forward_mode, _functional])
def test_other_modes_use_the_layers(run: Callable, calls: list[str]) -> None:
    run(_network(), torch.randn(2, 1, 16, 16, 16))
    assert not calls


def test_a_network_is_mapped_as_pytorch_maps_it(calls: list[str]) -> None:
    network, images = _network(), torch.randn(2, 2, 1, 16, 16, 16)
    with pytest.raises(RuntimeError, match="functorch"):  # PyTorch's: running statistics cannot be mapped
        torch.func.vmap(network)(images)
    for norm in network.modules():
        if isinstance(norm, nn.BatchNorm3d):
            norm.track_running_stats, norm.running_mean, norm.running_var = False, None, None
    found = torch.func.vmap(network)(images)
    assert not calls
    torch.testing.assert_close(found, torch.stack([*map(network, images)]), rtol=1e-3, atol=1e-4)


def test_norm_before_activation_and_evaluation_use_the_layers(calls: list[str]) -> None:
    image = torch.randn(2, 1, 8, 8, 8)
    UNet(channels=(2, 2), adn_ordering="NDA").train()(image)
    assert "train_unit" not in calls
    calls.clear()
    UNetPlusPlus(channels=(2, 2)).eval()(image)
    assert not calls


def test_gradients_can_be_differentiated(off: Callable) -> None:
    network, image = UNet(channels=(2, 2), convs_per_block=1).train(), torch.randn(2, 1, 8, 8, 8)
    plain = copy.deepcopy(network)

    def penalty(network: nn.Module) -> list[torch.Tensor]:
        parameters = list(network.parameters())
        gradients = torch.autograd.grad(network(image).square().sum(), parameters, create_graph=True)
        return torch.autograd.grad(sum(each.square().mean() for each in gradients), parameters, allow_unused=True)

    ours = penalty(network)
    off()
    for found, expected in zip(ours, penalty(plain), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-2 * expected.abs().max().item() + 1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("capability", ["default", "avx2", "avx512"])
def test_every_instruction_set(capability: str) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "", __file__, "-k"]
    chosen = "(exact and lunet_small_4f) or (exact and unetpp_small_2f) or bits or nan"
    environment = {**os.environ, "ATEN_CPU_CAPABILITY": capability, "PYTHONPATH": str(ROOT)}
    run = subprocess.run([*command, chosen], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout


def _gradients_of_rank(rank: int, address: str, folder: str) -> None:
    torch.manual_seed(0)
    network, images = _network(), torch.randn(2, 2, 1, 16, 16, 16)
    store = f"file://{address}"
    torch.distributed.init_process_group("gloo", init_method=store, rank=rank, world_size=2)
    parallel = nn.parallel.DistributedDataParallel(network)
    _kernels_only(parallel, images[rank])
    torch.save([parameter.grad for parameter in network.parameters()], f"{folder}/{rank}.pt")
    torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_two_processes_average_their_gradients(tmp_path: Path) -> None:
    torch.multiprocessing.spawn(_gradients_of_rank, (str(tmp_path / "store"), str(tmp_path)), nprocs=2)
    torch.manual_seed(0)
    network, images = _network(), torch.randn(2, 2, 1, 16, 16, 16)
    single = [_kernels_only(copy.deepcopy(network), image) for image in images]
    ranks = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2)]
    for k, (name, _) in enumerate(network.named_parameters()):
        assert torch.equal(ranks[0][k], ranks[1][k])
        torch.testing.assert_close(ranks[0][k], (single[0][name] + single[1][name]) / 2, rtol=1e-5, atol=1e-5)
