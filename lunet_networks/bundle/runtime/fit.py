"""Settings that depend on one another, or on what a bundle was made for: they fit, or a run is refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

__all__ = ["ANOTHER_BUNDLE", "check_fit"]

ANOTHER_BUNDLE = "make another bundle with lunet new-bundle FAMILY --dataset_dir DATASET --output_dir NEW_BUNDLE"


def check_fit(
    settings: Mapping[str, Any], network: nn.Module, in_channels: int, num_labels: int, spatial_dims: int
) -> None:
    """Check that settings fit the network, and the kind of data that the bundle was made for.

    Args:
        settings: of a training, as returned by ``check_settings``.
        network: to be trained; its ``size_multiple`` is what the sides of a patch have to be a multiple of.
        in_channels: channels that the bundle was made for, also those of its inference.json and metadata.json.
        num_labels: labels that it was made for.
        spatial_dims: dimensions that it was made for.

    Raises:
        ValueError: for the first setting that does not fit; the message says what to do.

    Example:
        >>> settings = {"in_channels": 1, "label_names": ["a", "b"], "roi_size": [48, 48], "pixdim": 1.0}
        >>> check_fit(settings, nn.Identity(), in_channels=1, num_labels=2, spatial_dims=2)
        >>> check_fit(settings, nn.Identity(), in_channels=4, num_labels=2, spatial_dims=2)  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        ValueError: in_channels is 1, but the bundle was made for images of 4 channels: make another bundle ...
    """
    if settings["in_channels"] != in_channels:
        channels = f"{in_channels} channel{'s' if in_channels > 1 else ''}"
        raise ValueError(
            f"in_channels is {settings['in_channels']}, but the bundle was made for images of {channels}: "
            f"{ANOTHER_BUNDLE}"
        )
    if len(settings["label_names"]) != num_labels:
        raise ValueError(
            f"label_names is {settings['label_names']}, but the bundle was made for {num_labels} "
            f"label{'s' if num_labels > 1 else ''}; other names can be given, but not more or fewer: {ANOTHER_BUNDLE}"
        )
    for name in ("roi_size", "pixdim"):
        value = settings[name]
        if isinstance(value, Sequence) and len(value) != spatial_dims:
            raise ValueError(f"{name} is {value}: it has to be one number, or {spatial_dims}, one for each axis")
    multiple, sides = int(getattr(network, "size_multiple", 1)), settings["roi_size"]
    sides = sides if isinstance(sides, Sequence) else [sides] * spatial_dims
    if any(side % multiple for side in sides):
        fitting = [-(-side // multiple) * multiple for side in sides]
        raise ValueError(
            f"roi_size is {settings['roi_size']}: this network takes multiples of {multiple}, such as {fitting}"
        )
