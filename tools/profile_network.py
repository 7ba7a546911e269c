"""Where the time of a prediction goes, by kinds of layers."""

import statistics
import time
from collections import Counter
from collections.abc import Callable
from typing import Any
from unittest.mock import patch

import torch
from torch import nn
from torch.utils.benchmark import set_torch_threads
from tqdm import trange

from lunet_networks import create_network
from lunet_networks.authoring.command_line import run_commands
from lunet_networks.bundle.runtime.freed_memory import keep_freed_memory
from lunet_networks.nets.fast_layers import takes_kernel
from lunet_networks.presets import input_shape


def profile_network(preset: str, rounds: int = 10) -> None:
    """Print the milliseconds that each kind of layers of a preset takes, in one thread; medians.

    The rest is computed without calling a layer: sums, and what one kernel computes in place of several layers, such as
    a unit, the norm and both convolutions of one voxel of a MedNeXt block, or a block of PSP-Seg.

    Args:
        preset: its name.
        rounds: predictions that count, after one to warm up.
    """
    keep_freed_memory()
    network, image = create_network(preset).eval(), torch.randn(input_shape(preset))
    seconds: Counter[str] = Counter()
    passes: list[dict[str, float]] = []
    with set_torch_threads(1), torch.inference_mode(), patch.object(nn.Module, "__call__", _watched(seconds)):
        for _ in trange(rounds + 1, desc=preset, disable=None):
            seconds.clear()
            start = time.process_time()
            network(image)
            total = time.process_time() - start
            passes.append({"all": total, **seconds, "the rest": total - seconds.total()})
    for kind in passes[-1]:
        print(f"{1e3 * statistics.median(each[kind] for each in passes[1:]):8.1f} ms  {kind}")


def _watched(seconds: Counter[str]) -> Callable[..., Any]:
    """Calls a layer, and adds up the seconds of each kind. What is set on the layers themselves, a hook or a forward,
    would keep kernels from taking the place of several."""
    call = nn.Module.__call__

    def watched(layer: nn.Module, *inputs: Any) -> Any:
        if layer._modules:
            return call(layer, *inputs)
        start = time.process_time()
        output = call(layer, *inputs)
        seconds[_kind(layer, inputs[0])] += time.process_time() - start
        return output

    return watched


def _kind(layer: nn.Module, x: torch.Tensor) -> str:
    if not isinstance(layer, nn.Conv2d | nn.Conv3d):
        return type(layer).__name__.strip("_")
    if set(layer.kernel_size) == {1}:
        return "convolutions of one voxel"
    return "convolutions that take a kernel" if takes_kernel(layer, [x]) else "other convolutions"


if __name__ == "__main__":
    run_commands(profile_network)
