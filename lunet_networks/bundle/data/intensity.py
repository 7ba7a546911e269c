"""Normalisation of images whose channels need different treatment, such as CT beside MRI."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence

import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform

__all__ = ["NormalizeChannelsd"]

ROUNDING = 1e-6  # of the largest value: less contrast is that of rounding, as where a constant image was resampled


class NormalizeChannelsd(MapTransform):
    """Normalises each channel separately: CT by the statistics of the dataset, other channels by those of the image.

    Args:
        keys: images ``(C, [D,] H, W)``.
        channels: one entry for each channel: None for mean 0 and standard deviation 1 over the image, otherwise
            "lower" and "upper" to clip to, then "mean" to subtract and "std" to divide by.

    Source:
        nnU-Net, Isensee et al., Nature Methods 18 (2021), supplementary note 2.

    Example:
        >>> ct = {"lower": -100.0, "upper": 100.0, "mean": 0.0, "std": 50.0}
        >>> image = torch.tensor([[-1000.0, 50.0], [10.0, 30.0]])
        >>> NormalizeChannelsd("image", [ct, None])({"image": image})["image"]
        tensor([[-2.,  1.],
                [-1.,  1.]])
    """

    def __init__(self, keys: KeysCollection, channels: Sequence[Mapping[str, float] | None]) -> None:
        super().__init__(keys)
        self.channels = tuple(channels)

    def __call__(self, data: Mapping[Hashable, torch.Tensor]) -> dict[Hashable, torch.Tensor]:
        normalised = dict(data)
        for key in self.key_iterator(normalised):
            image = normalised[key]
            normalised[key] = torch.stack([_normalise(*pair) for pair in zip(image, self.channels, strict=True)])
        return normalised


def _normalise(image: torch.Tensor, statistics: Mapping[str, float] | None) -> torch.Tensor:
    if statistics is None:
        rounding = (ROUNDING * image.abs().max()).clamp_min(torch.finfo(image.dtype).tiny)
        return (image - image.mean()) / torch.maximum(image.std(correction=0), rounding)
    clipped = image.clamp(statistics["lower"], statistics["upper"])
    return (clipped - statistics["mean"]) / statistics["std"]
