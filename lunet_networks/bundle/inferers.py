"""Inferers that the bundles' configs wrap around MONAI's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations
from typing import Any

import torch
import torch.nn.functional as F
from monai.inferers import Inferer

__all__ = ["FlipInferer"]


class FlipInferer(Inferer):
    """Predicts an image and its mirror images and averages the probabilities.

    The mean is returned as logits, so that the activation that follows an inferer gives back the averaged
    probabilities and nothing else of a config has to change.

    Args:
        inferer: predicts each of the mirror images, for example a ``SlidingWindowInferer``.
        spatial_axes: the axes to mirror, from 0, in all 2 ** n combinations; with none the logits of ``inferer``
            are passed on as they are.

    Shapes:
        Image ``(B, C, [D,] H, W)``; logits ``(B, out_channels, [D,] H, W)``. One output channel stands for a sigmoid,
        several for a softmax.

    Example:
        >>> from monai.inferers import SimpleInferer
        >>> left_half_bright = torch.tensor([[[[9.0, 0.0]]]])
        >>> position_only = lambda image: torch.tensor([[[[2.0, -2.0]]]])
        >>> FlipInferer(SimpleInferer(), spatial_axes=[1])(left_half_bright, position_only)
        tensor([[[[0., 0.]]]])
    """

    def __init__(self, inferer: Inferer, spatial_axes: Sequence[int] = ()) -> None:
        super().__init__()
        self.inferer = inferer
        self.spatial_axes = tuple(spatial_axes)

    def __call__(
        self, inputs: torch.Tensor, network: Callable[..., torch.Tensor], *args: Any, **kwargs: Any
    ) -> torch.Tensor:
        logits = self.inferer(inputs, network, *args, **kwargs)
        if not self.spatial_axes:
            return logits
        log_sum = _log_probabilities(logits)
        for axes in _combinations(self.spatial_axes):
            dims = [axis + 2 for axis in axes]
            mirrored = self.inferer(inputs.flip(dims), network, *args, **kwargs).flip(dims)
            log_sum = torch.logaddexp(log_sum, _log_probabilities(mirrored))
        # A softmax takes no notice of a constant, hence of the number of terms; nor does the logit of a sigmoid,
        # which is the difference of the logarithms of its two probabilities.
        return log_sum if logits.shape[1] > 1 else log_sum[:, :1] - log_sum[:, 1:]


def _combinations(axes: Sequence[int]) -> list[tuple[int, ...]]:
    return [chosen for count in range(1, len(axes) + 1) for chosen in combinations(axes, count)]


def _log_probabilities(logits: torch.Tensor) -> torch.Tensor:
    if logits.shape[1] > 1:
        return F.log_softmax(logits, dim=1)
    return torch.cat([F.logsigmoid(logits), F.logsigmoid(-logits)], dim=1)
