"""Checks of a network's arguments and of its input, with messages that say what is allowed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

__all__ = ["check_2d", "check_arguments", "check_channels", "check_input", "check_ordering", "check_widths"]


def check_arguments(spatial_dims: int, dropout: float | Mapping[str, float], **counts: int) -> None:
    """Check the arguments that all networks share; raise a ValueError that names the invalid one.

    Args:
        spatial_dims: 2 or 3.
        dropout: a probability below 1, or one for each named convolution.
        counts: arguments that must be integers of at least 1.
    """
    if spatial_dims not in (2, 3):
        raise ValueError(f"spatial_dims must be 2 or 3, got {spatial_dims!r}")
    for probability in dropout.values() if isinstance(dropout, Mapping) else [dropout]:
        if not 0 <= probability < 1:
            raise ValueError(f"dropout must be a probability of at least 0 and below 1, got {probability!r}")
    for name, value in counts.items():
        if not _is_count(value):
            raise ValueError(f"{name} must be an integer of at least 1, got {value!r}")


def check_2d(network: str, spatial_dims: int) -> None:
    """Raise ValueError unless ``spatial_dims`` is 2, for a network that has no other form."""
    if spatial_dims != 2:
        raise ValueError(f"spatial_dims must be 2, {network} has no other form; got {spatial_dims!r}")


def check_channels(channels: Sequence[int], conv_channels: Mapping[str, int] | None = None) -> None:
    """Raise ValueError unless ``channels`` holds a number of channels for each of two or more levels, and
    ``conv_channels``, if given, one for each convolution that it names."""
    if not isinstance(channels, Sequence) or len(channels) < 2 or not all(map(_is_count, channels)):
        raise ValueError(
            "channels must hold one integer of at least 1 for each of two or more levels, full resolution first, "
            f"such as (4, 8, 16, 32, 64); got {channels!r}"
        )
    for name, width in (conv_channels or {}).items():
        if not _is_count(width):
            raise ValueError(f"conv_channels gives {name} {width!r} channels, it must be an integer of at least 1")


def check_ordering(adn_ordering: str) -> None:
    """Raise ValueError unless ``adn_ordering`` orders activation (A), dropout (D) and norm (N) of a unit."""
    if sorted(adn_ordering) != ["A", "D", "N"]:
        raise ValueError(f"adn_ordering must hold each of A, D and N once, such as 'NDA', got {adn_ordering!r}")


def check_widths(channels: Sequence[int], levels: int, divisor: int = 1) -> None:
    """Raise ValueError unless ``channels`` holds, for exactly so many levels, a number of channels that is a multiple
    of ``divisor``."""
    if (
        not isinstance(channels, Sequence)
        or len(channels) != levels
        or not all(_is_count(width) and width % divisor == 0 for width in channels)
    ):
        wanted = f"multiples of {divisor}" if divisor > 1 else "integers of at least 1"
        raise ValueError(f"channels must hold {levels} {wanted}, one for each level; got {channels!r}")


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def check_input(x: torch.Tensor, spatial_dims: int, in_channels: int, size_multiple: int, normalised: str) -> None:
    """Raise ValueError for a tensor that a network cannot take, before its first layer fails on it.

    Args:
        x: the network's input.
        spatial_dims: 2 or 3.
        in_channels: the number of channels that the network takes.
        size_multiple: what every spatial size must be a multiple of.
        normalised: ``"batch"`` or ``"instance"`` if the norm at the lowest resolution takes its statistics from this
            input; it then needs more than one value there. Otherwise ``""``.
    """
    # Compilers and exporters trace the sizes as symbols, which a check would fix to those of the example input.
    if not torch.jit.is_scripting():  # noqa: SIM102, TorchScript leaves this branch out only if it stands alone
        if torch.jit.is_tracing() or torch.compiler.is_compiling():
            return
    axes = "(B, C, H, W)" if spatial_dims == 2 else "(B, C, D, H, W)"
    shape = list(x.shape)
    if len(shape) != spatial_dims + 2:
        raise ValueError(f"this {spatial_dims}D network takes a tensor of shape {axes}, got {shape}")
    if shape[1] != in_channels:
        raise ValueError(f"this network takes {in_channels} input channel(s), got {shape[1]} in a tensor {shape}")
    values = shape[0] if normalised == "batch" else 1
    for size in shape[2:]:
        if size < 1 or size % size_multiple != 0:
            raise ValueError(
                f"every spatial size must be a multiple of {size_multiple}, got {shape[2:]}; "
                f"monai.transforms.DivisiblePad({size_multiple}) pads to it"
            )
        values *= size // size_multiple
    if normalised != "" and values == 1:
        raise ValueError(
            f"an input of {shape} leaves a single value per channel at the lowest resolution, too few for its "
            f"{normalised} norm; give one spatial size of {2 * size_multiple} or more"
            + (", or a larger batch" if normalised == "batch" else "")
        )
