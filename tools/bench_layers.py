"""Write the table of single layers in docs/engineering/kernels.md: with the kernels of this package and without."""

import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest.mock import patch

import torch
from torch import nn
from torch.profiler import profile
from torch.utils.benchmark import set_torch_threads
from tqdm import tqdm

from lunet_networks import create_network, kernels
from lunet_networks.authoring.command_line import run_commands
from lunet_networks.bundle.runtime.freed_memory import keep_freed_memory
from lunet_networks.kernels.operators import NAMESPACE
from lunet_networks.nets.fast_layers import use_fast_layers
from lunet_networks.nets.layers import conv_unit
from tools import ROOT
from tools.speed.setup import describe_setup, machine_text, times_text
from tools.tables.generated_sections import write_between_marks

COMMAND = "python -m tools.bench_layers"
UNITS = [  # dimensions, channels, edge
    *((3, 1, 4, 64), (3, 4, 4, 64), (3, 8, 4, 64), (3, 24, 24, 64), (3, 16, 16, 16), (3, 64, 64, 16), (3, 64, 64, 8)),
    *((2, 64, 64, 64), (2, 256, 256, 64)),
]
Layer = tuple[str, nn.Module, torch.Tensor, Callable[[], torch.Tensor]]  # name, itself, its input, its kernel


def bench_layers(
    rounds: int = 30, num_threads: int = 1, document: str = str(ROOT / "docs" / "engineering" / "kernels.md")
) -> None:
    """Time layers in turn with their kernel and without, and write a table into a document.

    Without a kernel a layer uses the fastest path of PyTorch, as on a machine without a C++ compiler.

    Args:
        rounds: each computes every layer once with and once without its kernel; medians are reported.
        num_threads: of the CPU.
        document: Markdown file with the marks of the table.

    Raises:
        OSError: if there is no C++ compiler.
    """
    if not kernels.apply_to(torch.zeros(1)):
        raise OSError("there is no C++ compiler that makes the kernels: see the log, and install g++")
    keep_freed_memory()
    setup = describe_setup(num_threads, rounds)
    lines = ["| layer | without the kernel, ms | with it | ratio | taken |", "|---|---:|---:|---:|---|"]
    with (
        set_torch_threads(num_threads),
        torch.no_grad(),
        patch.object(kernels, "apply_to", return_value=False) as apply_to,
    ):
        for name, layer, image, kernel in tqdm([*layers()], desc="layers", unit="layer"):
            without, with_it = _in_turn([lambda layer=layer, image=image: layer(image), kernel], rounds)
            apply_to.return_value = True
            taken = _takes_kernel(layer, image)
            apply_to.return_value = False
            figures = f"{1e3 * without:.2f} | {1e3 * with_it:.2f} | {without / with_it:.1f}"
            lines.append(f"| {name} | {figures} | {'yes' if taken else 'no'} |")
    lines += ["", f"Measured {times_text(setup)}, with {machine_text(setup)}."]
    write_between_marks(Path(document), "layers", COMMAND, "\n".join(lines))
    print("\n".join(lines))


def layers() -> Iterator[Layer]:
    """Layers of every kind that has a kernel."""
    for dims, channels, out_channels, edge in UNITS:
        unit, image = conv_unit(dims, channels, out_channels, None).eval(), torch.randn(1, channels, *[edge] * dims)
        unit = use_fast_layers(nn.ModuleList([unit]))[0]
        conv, norm = unit.conv, unit.adn.N
        yield (
            f"convolution, ReLU and batch norm, {channels} to {out_channels} channels, {edge}{'²³'[dims - 2]}",
            _OfList(unit),
            image,
            lambda image=image, conv=conv, norm=norm: kernels.convolve(
                [image], conv.weight, conv.bias, _tensors(norm), norm.eps
            ),
        )
    image = torch.randn(1, 4, 64, 64, 64)
    yield _layer("max pooling, 4 channels, 64³", nn.MaxPool3d(2), image, lambda _, image: kernels.max_pool(image))
    for dims, channels, out_channels, edge in (
        (3, 4, 4, 32),
        (3, 8, 8, 32),
        (3, 24, 24, 32),
        (2, 64, 32, 64),
        (2, 128, 64, 64),
    ):
        conv_class = {2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}[dims]
        yield _layer(
            f"doubling, {channels} to {out_channels} channels, {edge}{'²³'[dims - 2]}",
            conv_class(channels, out_channels, 2, stride=2),
            torch.randn(1, channels, *[edge] * dims),
            lambda conv, image: kernels.upsample(image, conv.weight, conv.bias),
        )
    yield _layer(
        "depthwise convolution, 4 channels, 64³",
        nn.Conv3d(4, 4, 3, padding=1, groups=4),
        image,
        lambda conv, image: kernels.depthwise(image, conv.weight, conv.bias),
    )
    yield _layer(
        "depthwise transposed convolution, 8 channels, 32³",
        nn.ConvTranspose3d(8, 8, 3, stride=2, padding=1, groups=8),
        torch.randn(1, 8, 32, 32, 32),
        lambda conv, image: kernels.depthwise_upsample(image, conv.weight, conv.bias),
    )
    yield _layer(
        "instance norm, 16 channels, 64³",
        nn.InstanceNorm3d(16),
        torch.randn(1, 16, 64, 64, 64),
        lambda norm, image: kernels.instance_norm(image, None, None, norm.eps),
    )
    block = create_network("mednext_small").enc_stages[0][0]
    yield (
        "norm and perceptron of a MedNeXt block, 4 to 8 to 4 channels, 64³",
        _Residual(block),
        image,
        lambda: kernels.perceptron(
            image, _tensors(block.norm), block.norm.eps, *_tensors(block.conv2), *_tensors(block.conv3), image
        ),
    )
    module, wide = create_network("pspseg_s").encoders[1].eval(), torch.randn(1, 32, 32, 32, 32)
    wide = wide.to(memory_format=torch.channels_last_3d)  # as the block before leaves it
    for branch in module.branches.values():
        nn.init.ones_(branch.scale)
    weights = [[branch.units[place].conv.weight for branch in module.branches.values()] for place in (0, 1)]
    scales, slope = [branch.scale for branch in module.branches.values()], module.act.negative_slope
    yield (
        "redundant module of PSP-Seg, 4 branches, 32 channels, 32³",
        module,
        wide,
        lambda: kernels.redundant_module(wide, [], *weights, scales, 1e-5, slope, slope),
    )


def _tensors(layer: nn.Module) -> list[torch.Tensor]:
    """Weight and bias, and a norm's mean and variance."""
    return [tensor for tensor in (*layer.parameters(), *layer.buffers()) if tensor.is_floating_point()]


def _layer(name: str, layer: nn.Module, image: torch.Tensor, kernel: Callable[..., torch.Tensor]) -> Layer:
    layer = use_fast_layers(nn.Sequential(layer))[0].eval()
    return name, layer, image, lambda: kernel(layer, image)


class _OfList(nn.Sequential):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self[0]([x])


class _Residual(nn.Sequential):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self[0].eval().widen_and_narrow(x, x)


def _in_turn(runs: list[Callable[[], torch.Tensor]], rounds: int) -> list[float]:
    """Median seconds of each."""
    seconds: list[list[float]] = [[] for _ in runs]
    for number in range(rounds + 2):
        for run, taken in zip(runs, seconds, strict=True):
            start = time.perf_counter()
            run()
            if number >= 2:  # the first fill the caches
                taken.append(time.perf_counter() - start)
    return [statistics.median(taken) for taken in seconds]


def _takes_kernel(layer: nn.Module, image: torch.Tensor) -> bool:
    """Whether a layer calls a kernel by itself."""
    with profile() as record:
        layer(image)
    return any(event.key.startswith(f"{NAMESPACE}::") for event in record.key_averages())


if __name__ == "__main__":
    run_commands(bench_layers)
