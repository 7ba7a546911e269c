"""Measure networks beside each other: in rounds through all of them, so that what slows the machine slows all alike."""

import os
import random
import tempfile
import warnings
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.benchmark import set_torch_threads
from tqdm import tqdm

from lunet_networks.bundle.benchmark.memory import measure_peak_memory
from lunet_networks.bundle.benchmark.steps import Inference, Step, TrainingStep
from lunet_networks.bundle.benchmark.timing import time_runs
from lunet_networks.bundle.inference.formats import FORMATS
from lunet_networks.bundle.runtime.freed_memory import keep_freed_memory
from lunet_networks.bundle.runtime.machine import describe_machine
from lunet_networks.bundle.runtime.versions import describe_versions
from lunet_networks.bundle.training.losses import SegmentationLoss
from lunet_networks.summary import count_macs, count_parameters

BACKENDS = ("eager", "onnx", "openvino")
TRAINING = "training_step"
MEMORY_LAYOUT = "contiguous"  # what whoever takes one of MONAI's networks has; with a single volume it matters little
RUNS, SLOW = 3, 0.5  # timed runs of a visit after one to warm up; one where a run takes more than these seconds
PARALLEL = 2  # processes that measure memory at the same time, which does not depend on who else computes

Factories = Mapping[str, Callable[[], nn.Module]]


def static_costs(network: nn.Module, input_shape: Sequence[int]) -> dict[str, int]:
    """Parameters, and multiply-accumulates of an input."""
    return {"parameters": count_parameters(network), "macs": count_macs(network, input_shape)}


def load_average() -> float | None:
    """How many processes ran or waited for a processor in the last minute; None where the system does not tell."""
    return round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None


def measure_networks(
    networks: Factories,
    input_shape: Sequence[int],
    rounds: int,
    num_threads: int,
    backends: Sequence[str] = BACKENDS,
    inference_only: Collection[str] = (),
) -> dict[str, Any]:
    """Raw figures of networks, as ``docs/benchmark.json`` holds them.

    Args:
        networks: by name.
        input_shape: of inference and training alike, ``(B, C, [D,] H, W)``.
        rounds: visits to every network; each gives the median of its runs.
        num_threads: of the CPU.
        backends: of inference.
        inference_only: names of networks that are not trained.

    Returns:
        Date, machine, versions, conditions; and for each network parameters, MACs, the seconds of every round and the
        peaks of memory in bytes.
    """
    keep_freed_memory()  # as a bundle's programs do
    with tempfile.TemporaryDirectory() as folder, set_torch_threads(num_threads), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the older exporter announces its end
        steps = {name: [*backends] if name in inference_only else [*backends, TRAINING] for name in networks}
        measurement = _Measurement(networks, tuple(input_shape), num_threads, steps, Path(folder))
        figures = measurement.run(rounds)
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": describe_machine(),
        "versions": describe_versions(),
        "num_threads": num_threads,
        "input_shape": list(input_shape),
        "memory_layout": MEMORY_LAYOUT,
        "rounds": rounds,
        "networks": figures,
    }


@dataclass
class _Measurement:
    networks: Factories
    input_shape: tuple[int, ...]
    num_threads: int
    steps: Mapping[str, Sequence[str]]  # of every network what is timed
    folder: Path
    bar: tqdm = field(init=False)

    def run(self, rounds: int) -> dict[str, Any]:
        visits = [(name, what) for name, steps in self.steps.items() for what in steps]
        with tqdm(total=len(self.networks) * (2 + 2) + rounds * len(visits), disable=None, smoothing=0) as self.bar:
            figures = {name: self._static(name) for name in self.networks}
            with ThreadPoolExecutor(PARALLEL) as pool:
                for name, peaks in zip(self.networks, pool.map(self._peaks, self.networks), strict=True):
                    figures[name]["peak_memory_bytes"] = peaks
            for number in range(rounds):
                # nobody always stands beside the same neighbour
                for name, what in random.Random(number).sample(visits, len(visits)):
                    self._show(f"round {number + 1}: {name}, {what}")
                    figures[name]["seconds"][what].append(self._time(name, what))
                    self.bar.update()
        return figures

    def _static(self, name: str) -> dict[str, Any]:
        self._show(f"exporting {name}")
        network = self.networks[name]().eval()
        if set(self.steps[name]) - {"eager", TRAINING}:
            # of fixed size, for all alike: not every peer can be exported with sizes left free
            example = torch.zeros(self.input_shape)
            torch.onnx.export(network, (example,), self._exported(name), dynamo=False, input_names=["image"])
        self.bar.update(2)
        costs = static_costs(network, (1, *self.input_shape[1:]))
        return {**costs, "seconds": {what: [] for what in self.steps[name]}}

    def _peaks(self, name: str) -> dict[str, int | None]:
        self._show(f"memory of {name}")
        steps: dict[str, Step] = {"inference": self._inference(name)}
        if TRAINING in self.steps[name]:
            steps[TRAINING] = self._training(name)
        peaks = {what: measure_peak_memory(step, self.num_threads) for what, step in steps.items()}
        self.bar.update(2)
        return peaks

    def _time(self, name: str, what: str) -> float:
        """The median of a few runs of something that is set up for them and taken down again: what other engines leave
        running would slow the next one."""
        if what == TRAINING:
            step = self._training(name).prepare()
        elif what == "eager":
            step = self._inference(name).prepare()
        else:
            run, image = FORMATS[what].read(self._exported(name), torch.device("cpu"))[0], torch.randn(self.input_shape)
            step = partial(run, image)
        first = time_runs(step, 1, warm_up=0).median
        return round(time_runs(step, 1 if first > SLOW else RUNS, warm_up=0).median, 6)

    def _inference(self, name: str) -> Inference:
        return Inference(self.networks[name], self.input_shape, memory_layout=MEMORY_LAYOUT)

    def _training(self, name: str) -> TrainingStep:
        return TrainingStep(
            self.networks[name],
            self.input_shape,
            memory_layout=MEMORY_LAYOUT,
            loss=SegmentationLoss("dice_bce", out_channels=1),
        )

    def _exported(self, name: str) -> str:
        return str(self.folder / f"{name}.onnx")

    def _show(self, what: str) -> None:
        self.bar.set_postfix_str(what)
