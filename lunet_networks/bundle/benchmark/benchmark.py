"""Benchmark a network on this machine: parameters, operations, time and memory of inference and training."""

from __future__ import annotations

import copy
import io
import json
import logging
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.benchmark import set_torch_threads
from tqdm import tqdm

from lunet_networks.bundle.benchmark.memory import measure_peak_memory
from lunet_networks.bundle.benchmark.settings import BenchmarkSettings
from lunet_networks.bundle.benchmark.steps import Inference, TrainingStep
from lunet_networks.bundle.benchmark.table import benchmark_table
from lunet_networks.bundle.benchmark.timing import WARM_UP, spread, time_runs
from lunet_networks.bundle.inference.exported import export_network
from lunet_networks.bundle.inference.formats import EXPORT_FILES
from lunet_networks.bundle.runtime.files import as_path, write_atomically
from lunet_networks.bundle.runtime.machine import describe_machine
from lunet_networks.bundle.runtime.versions import describe_versions
from lunet_networks.summary import count_macs, count_parameters

__all__ = ["RESULT_NAME", "Benchmark", "export_into", "file_bytes"]

RESULT_NAME = "benchmark.json"


class Benchmark:
    """Measures a network with random data and weights. Speed and memory do not depend on them.

    Memory is measured first, in separate processes: if there is too little, one of those is killed and not this one.

    Args:
        make_network: returns a new network.
        settings: what to measure, and how.
        in_channels: of the network.
        loss: of logits and labels.
        optimizer_name: one of ``lunet_networks.bundle.training.optimizers.OPTIMIZERS``.
        num_values: number of label values, the background included.
        output_dir: where to write ``benchmark.json``.
        device: where to compute.

    Example::

        Benchmark(
            make_network=partial(create_network, "lunet_small_4f", out_channels=3),
            settings=BenchmarkSettings("eager", shape=(48, 64, 48)),
            in_channels=1,
            loss=SegmentationLoss("dice_bce", out_channels=3),
            optimizer_name="adam",
            num_values=3,
            output_dir="eval",
        ).run()
    """

    def __init__(
        self,
        make_network: Callable[[], nn.Module],
        settings: BenchmarkSettings,
        in_channels: int,
        loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
        optimizer_name: str,
        num_values: int,
        output_dir: str | Path,
        device: torch.device | str = "cpu",
    ) -> None:
        self.make_network = make_network
        self.settings = settings
        self.input_shape = settings.input_shape(in_channels)
        common = {"make_network": make_network, "device": str(device), "memory_layout": settings.memory_layout}
        self.inference = Inference(input_shape=self.input_shape, backend=settings.backend, **common)
        self.training = None
        if settings.backend == "eager" and settings.training_repeats:
            self.training = TrainingStep(
                input_shape=settings.training_shape(in_channels),
                loss=loss,
                optimizer_name=optimizer_name,
                num_values=num_values,
                **common,
            )
        self.output_dir = as_path(output_dir)

    def run(self) -> None:
        """Measure, write ``benchmark.json`` and print a table.

        Raises:
            ValueError: if the network does not take the shape; the message names the multiple that it needs.
            ChildProcessError: if there is too little memory.
        """
        figures = self.measure()
        path = self.output_dir / RESULT_NAME
        write_atomically(path, (json.dumps(figures, indent=1) + "\n").encode())
        print(benchmark_table(figures))  # may be piped into a program that ends before
        print(f"{path} written; the weights are random, which changes neither speed nor memory")

    def measure(self) -> dict[str, Any]:
        """The results as in ``benchmark.json``, in seconds and bytes."""
        settings, network = self.settings, self.make_network()
        self._check_shapes(network)
        figures = {
            "network": settings.preset or type(network).__name__,
            "backend": settings.backend,
            "device": self.inference.device,
            "num_threads": settings.threads,
            "memory_layout": settings.memory_layout if settings.backend == "eager" else "contiguous",
            "input_shape": list(self.input_shape),
            "training_shape": list(self.training.input_shape) if self.training else None,
            "parameters": count_parameters(network),
            "macs": count_macs(network, (1, *self.input_shape[1:])),
        }
        with set_torch_threads(settings.threads), tempfile.TemporaryDirectory() as folder, self._bar() as bar:
            inference = export_into(Path(folder), self.inference, network)
            figures["file_bytes"] = file_bytes(Path(folder), network)
            del network
            figures |= self._measure(inference, bar)
        return {**figures, "machine": describe_machine(), "versions": describe_versions()}

    def _measure(self, inference: Inference, bar: tqdm) -> dict[str, Any]:
        peaks, timings = {}, {}
        steps = {"inference": inference, "training_step": self.training}
        runs = {"inference": self.settings.repeats, "training_step": self.settings.training_repeats}
        for name, step in steps.items():
            bar.set_description(f"memory of {name.replace('_', ' ')}")
            peaks[name] = None if step is None else measure_peak_memory(step, self.settings.threads)
            bar.update(step is not None)
        for name, step in steps.items():
            bar.set_description(f"time of {name.replace('_', ' ')}")
            timings[name] = step and spread(time_runs(step.prepare(), runs[name], done=bar.update))
        per_second = self.input_shape[0] / timings["inference"]["median"]
        voxels = torch.Size(self.input_shape[2:]).numel()
        return {
            "latency_s": timings["inference"],
            "throughput": {"volumes_per_s": per_second, "mvoxels_per_s": per_second * voxels / 1e6},
            "training_step_s": timings["training_step"],
            "peak_memory_bytes": peaks,
        }

    def _check_shapes(self, network: nn.Module) -> None:
        """Check the shapes first, since the measurement would fail on them only after minutes."""
        network = copy.deepcopy(network).to("meta")
        try:
            with torch.no_grad():
                network.eval()(torch.empty(self.input_shape, device="meta"))
                if self.training:
                    network.train()(torch.empty(self.training.input_shape, device="meta"))
        except ValueError as error:
            raise ValueError(f"shape is {list(self.settings.shape)}: {error}") from None

    def _bar(self) -> tqdm:
        runs = self.settings.repeats + WARM_UP + 1
        if self.training:
            runs += self.settings.training_repeats + WARM_UP + 1
        return tqdm(total=runs, disable=None, leave=False)  # no bar if stderr is not a terminal


def export_into(folder: Path, inference: Inference, network: nn.Module) -> Inference:
    """Export the network into an empty folder and return the inference with it; unchanged for PyTorch itself."""
    if inference.backend == "eager":
        return inference
    path = folder / EXPORT_FILES[inference.backend]
    disabled = logging.root.manager.disable
    logging.disable(logging.INFO)  # the exporter logs every pair of equal weights
    try:
        export_network(network.eval(), path, inference.backend, inference.input_shape)
    finally:
        logging.disable(disabled)
    return replace(inference, exported=str(path))


def file_bytes(folder: Path, network: nn.Module) -> int:
    """Bytes of the exported network in a folder; if it is empty, of a file with the network's weights."""
    exported = sum(path.stat().st_size for path in folder.iterdir())
    if exported:
        return exported
    content = io.BytesIO()
    torch.save(network.state_dict(), content)
    return content.getbuffer().nbytes
