"""Facts of the presets, from which tests choose theirs: a new preset needs no line in a test."""

import functools
from collections.abc import Iterable

import torch

from lunet_networks import PRESETS, create_network, list_presets
from lunet_networks.presets import input_shape, is_lean

__all__ = ["ONE_PER_ARCHITECTURE", "own_dims", "possible_dims", "with_dims"]


def own_dims(name: str) -> int:
    """The spatial dimensions that a preset has by default."""
    return len(input_shape(name)) - 2


def possible_dims(name: str) -> list[int]:
    """The spatial dimensions of a preset, and 2 if it can be built in 2D; a wide 2D preset would take minutes in 3D."""
    return [dims for dims in sorted({2, own_dims(name)}) if _can_be_built(name, dims)]


@functools.cache
def _can_be_built(name: str, spatial_dims: int) -> bool:
    try:
        with torch.device("meta"):
            create_network(name, spatial_dims=spatial_dims)
    except ValueError:
        return False
    return True


def with_dims(names: Iterable[str]) -> list[tuple[str, int]]:
    """Each preset with each of its possible dimensions."""
    return [(name, dims) for name in names for dims in possible_dims(name)]


def _with_fewest_channels() -> list[str]:
    channels = {name: PRESETS[name].keywords.get("channels", (2,)) for name in list_presets()}
    chosen: dict[tuple, str] = {}
    for name in sorted(channels, key=lambda name: sum(channels[name])):
        if min(channels[name]) > 1:  # a single channel leaves nothing when it is dropped
            chosen.setdefault((PRESETS[name].func, is_lean(name), own_dims(name)), name)
    return list(chosen.values())


ONE_PER_ARCHITECTURE = _with_fewest_channels()  # of every class, lean and conventional, 2D and 3D
