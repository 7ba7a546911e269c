"""Weights and images that follow from their keys and shapes alone: the same numbers on every machine, for ever."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch


def uniform(shape: Sequence[int], entry: int) -> np.ndarray:
    """Numbers from 0 to 1 that look random, in float64; ``entry`` tells arrays of one shape apart."""
    i = np.arange(1, np.prod(shape, dtype=int) + 1, dtype=np.uint64)
    k = np.uint64(entry)
    return ((i * (i + k) * np.uint64(2654435761) + k * np.uint64(1013904223)) % 2**32 / 2**32).reshape(shape)


def make_weights(shapes: Mapping[str, Sequence[int]]) -> dict[str, torch.Tensor]:
    """A state dict by the shapes of its entries: kernels of even variance, norms with scales and statistics."""
    return {key: torch.from_numpy(_entry(key, shape, k)) for k, (key, shape) in enumerate(shapes.items())}


def make_image(shape: Sequence[int]) -> torch.Tensor:
    """An image of the shape (B, C, ...), from -2 to 2."""
    return torch.from_numpy(4 * uniform(shape, 999) - 2)


def _entry(key: str, shape: Sequence[int], k: int) -> np.ndarray:
    name, u = key.rpartition(".")[2], uniform(shape, k)
    if name == "active_paths":  # which branches of a redundant module are there
        return np.ones(shape, bool)
    if name == "num_batches_tracked":
        return np.full(shape, 7)
    if name == "grid":  # the knots of splines, ascending
        return np.broadcast_to(np.linspace(-2.2, 2.2, shape[-1]), shape).copy()
    if len(shape) > 1:
        return np.sqrt(6 * shape[0] / u.size) * (2 * u - 1)
    return {"running_var": 0.5 + u, "weight": 0.75 + 0.5 * u}.get(name, 0.2 * (2 * u - 1))
