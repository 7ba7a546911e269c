"""The intensities that a picture shows as black and white."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
from monai.transforms import Compose, ScaleIntensityRanged

from lunet_networks.bundle.data.intensity import NormalizeChannelsd

__all__ = ["clip_range", "intensity_window"]


def clip_range(preprocessing: Callable, channel: int) -> tuple[float, float] | None:
    """The range to which a bundle clips the intensities of CT: what the network sees, and so what to show.

    Args:
        preprocessing: of the bundle.
        channel: of the image, from 0.

    Returns:
        None if the channel is not clipped to a fixed range.

    Example:
        >>> clip_range(Compose([ScaleIntensityRanged("image", a_min=-20, a_max=200, b_min=-2, b_max=2, clip=True)]), 0)
        (-20.0, 200.0)
        >>> clip_range(NormalizeChannelsd("image", [None]), 0)
    """
    for transform in _steps(preprocessing):
        if isinstance(transform, ScaleIntensityRanged) and transform.scaler.clip:
            return float(transform.scaler.a_min), float(transform.scaler.a_max)
        if isinstance(transform, NormalizeChannelsd):
            clipped = transform.channels[channel]
            return None if clipped is None else (float(clipped["lower"]), float(clipped["upper"]))
    return None


def _steps(transform: Callable) -> Iterable[Callable]:
    if not isinstance(transform, Compose):
        return [transform]
    return [step for part in transform.transforms for step in _steps(part)]


def intensity_window(pixels: Sequence[np.ndarray]) -> tuple[float, float]:
    """The 1st and 99th percentile of all pixels."""
    low, high = np.percentile(np.concatenate([part.ravel() for part in pixels]), [1, 99])
    return float(low), float(high if high > low else low + max(abs(low), 1))
