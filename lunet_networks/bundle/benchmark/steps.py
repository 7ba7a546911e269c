"""The steps that a benchmark runs: an inference or a training step on random data.

Both are sent to other processes, so they hold a function that makes the network instead of the network.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from lunet_networks.bundle.inference.exported import load_exported
from lunet_networks.bundle.inference.formats import import_silently
from lunet_networks.bundle.runtime.memory_format import channels_last
from lunet_networks.bundle.training.optimizers import create_optimizer

__all__ = ["MEMORY_LAYOUTS", "Inference", "Step", "TrainingStep"]

MEMORY_LAYOUTS = ("channels_last", "contiguous")
_ENGINES = {"onnx": "onnxruntime", "openvino": "openvino"}  # backend: its package


@dataclass(frozen=True)
class Step:
    """A step to benchmark.

    Args:
        make_network: returns a new network. Its weights do not matter: speed and memory do not depend on them.
        input_shape: ``(B, C, [D,] H, W)``.
        device: where it computes.
        memory_layout: of weights and input, one of ``MEMORY_LAYOUTS``.
    """

    make_network: Callable[[], nn.Module]
    input_shape: tuple[int, ...]
    device: str = "cpu"
    memory_layout: str = "channels_last"

    def prepare(self) -> Callable[[], object]:
        """Make all that is needed and return a function that does the step."""
        raise NotImplementedError

    def load_engine(self) -> None:
        """Load the engine into memory, so that its size does not count as memory of the step."""

    def _network(self) -> nn.Module:
        return self.make_network().to(self.device, memory_format=self._memory_format())

    def _image(self) -> torch.Tensor:
        return torch.randn(self.input_shape, device=self.device).to(memory_format=self._memory_format())

    def _memory_format(self) -> torch.memory_format:
        if self.memory_layout == "contiguous":
            return torch.contiguous_format
        return channels_last(len(self.input_shape) - 2)


@dataclass(frozen=True)
class Inference(Step):
    """The inference of a batch.

    Args:
        backend: "eager", or one of ``lunet_networks.bundle.inference.exported``.
        exported: file of the network for that backend.

    Example:
        >>> from functools import partial
        >>> from lunet_networks import create_network
        >>> step = Inference(partial(create_network, "lunet_small_1f"), (1, 1, 32, 32, 32)).prepare()
        >>> step().shape
        torch.Size([1, 1, 32, 32, 32])
    """

    backend: str = "eager"
    exported: str | None = None

    def prepare(self) -> Callable[[], torch.Tensor]:
        """Make network and input and return a function that computes the logits."""
        image = self._image()
        if self.exported is None:
            network = self._network().eval()
        else:
            network = load_exported(self.exported, self.backend, self.device)
            image = image.contiguous()  # the engine chooses its own layout inside

        def infer() -> torch.Tensor:
            with torch.no_grad():
                return network(image)

        return infer

    def load_engine(self) -> None:
        """Import ONNX Runtime or OpenVINO if needed, and run PyTorch once, because it loads code at its first run."""
        if self.backend in _ENGINES:
            import_silently(_ENGINES[self.backend])
        _small_layer()(torch.zeros(2, 8, 8, 8, 8))


@dataclass(frozen=True)
class TrainingStep(Step):
    """Forward, loss, backward and the optimizer's step for a batch, in float32.

    Args:
        loss: of logits and labels.
        optimizer_name: one of ``lunet_networks.bundle.training.optimizers.OPTIMIZERS``.
        num_values: number of label values in the batch, the background included.
    """

    loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor] = nn.functional.binary_cross_entropy_with_logits
    optimizer_name: str = "adam"
    num_values: int = 2

    def prepare(self) -> Callable[[], None]:
        """Make network, optimizer and batch and return a function that does one step."""
        network = self._network().train()
        optimizer = create_optimizer(self.optimizer_name, network, learning_rate=1e-3)
        image = self._image()
        size = (self.input_shape[0], 1, *self.input_shape[2:])
        label = torch.randint(self.num_values, size, device=self.device).float()

        def train() -> None:
            optimizer.zero_grad()
            self.loss(network(image), label).backward()
            optimizer.step()

        return train

    def load_engine(self) -> None:
        """Train a small layer, because the optimizer's first step imports a lot."""
        layer = _small_layer()
        optimizer = create_optimizer(self.optimizer_name, layer, learning_rate=1e-3)
        layer(torch.zeros(2, 8, 8, 8, 8)).sum().backward()
        optimizer.step()


def _small_layer() -> nn.Module:
    return nn.Conv3d(8, 8, kernel_size=3, padding=1)
