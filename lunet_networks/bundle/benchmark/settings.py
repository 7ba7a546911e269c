"""The settings of a benchmark, checked when it starts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import torch

from lunet_networks.bundle.inference.formats import BACKENDS, require_backend
from lunet_networks.bundle.runtime.checks import choose
from lunet_networks.bundle.runtime.settings import check_settings

__all__ = ["BenchmarkSettings"]


@dataclass(frozen=True)
class BenchmarkSettings:
    """What to measure, and how.

    Args:
        backend: one of ``lunet_networks.bundle.inference.exported.BACKENDS``.
        shape: voxels of the input, ``[D,] H, W``.
        batch_size: inputs of an inference.
        training_batch_size: inputs of a training step.
        repeats: timed inferences.
        training_repeats: timed training steps; 0: no training step is measured.
        num_threads: of the CPU; None: as many as PyTorch takes.
        memory_layout: of PyTorch's tensors, "channels_last" or "contiguous".
        preset: name of the network, if it has one.

    Raises:
        ValueError: if a setting has no valid value; the message names the setting, its value and what it takes. If the
            backend is not installed, it says what to install.

    Example:
        >>> BenchmarkSettings("eager", shape=(64, 64, 64), batch_size=2).input_shape(in_channels=1)
        (2, 1, 64, 64, 64)
        >>> BenchmarkSettings("eager", shape=(64, 64, 64), repeats=0)
        Traceback (most recent call last):
        ValueError: repeats is 0: it has to be a whole number of at least 1
    """

    backend: str
    shape: Sequence[int]
    batch_size: int = 1
    training_batch_size: int = 1
    repeats: int = 30
    training_repeats: int = 10
    num_threads: int | None = None
    memory_layout: str = "channels_last"
    preset: str | None = None

    def __post_init__(self) -> None:
        check_settings(**asdict(self))
        choose("backend", self.backend, dict.fromkeys(BACKENDS))  # fewer than for an inference
        require_backend(self.backend, to_export=self.backend != "eager")
        sizes = self.shape if isinstance(self.shape, list | tuple) else ()
        if len(sizes) not in (2, 3) or not all(type(size) is int and size >= 1 for size in sizes):
            raise ValueError(f"shape is {self.shape!r}: it has to be an image size in voxels, such as [64, 64, 64]")

    @property
    def threads(self) -> int:
        """The number of threads."""
        return torch.get_num_threads() if self.num_threads is None else self.num_threads

    def input_shape(self, in_channels: int) -> tuple[int, ...]:
        """The shape of an inference, ``(B, C, [D,] H, W)``."""
        return (self.batch_size, in_channels, *self.shape)

    def training_shape(self, in_channels: int) -> tuple[int, ...]:
        """The shape of a training step, ``(B, C, [D,] H, W)``."""
        return (self.training_batch_size, in_channels, *self.shape)
