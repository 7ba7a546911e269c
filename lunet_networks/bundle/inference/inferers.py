"""Inferers for the bundles' configs, which extend or wrap MONAI's."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from monai import inferers
from monai.inferers import Inferer
from torch import nn

from lunet_networks.bundle.runtime.files import as_path
from lunet_networks.bundle.training.weights import read_weights

__all__ = ["EnsembleInferer", "FlipInferer", "SlidingWindowInferer"]

Network = Callable[..., torch.Tensor]


class SlidingWindowInferer(inferers.SlidingWindowInferer):
    """MONAI's ``SlidingWindowInferer`` with the same arguments, faster on constant windows such as air.

    A batch whose windows all hold the same single value in each channel goes through the network once; its prediction
    is used for equal batches. Batches of different size are never shared, since a network may round differently for
    them. Nothing is kept from one image to the next.

    Shapes:
        As MONAI's; the network has to return one tensor.

    Example:
        >>> batches = []
        >>> network = lambda windows: batches.append(len(windows)) or windows + 1
        >>> SlidingWindowInferer(roi_size=(2,), sw_batch_size=2, overlap=0)(torch.zeros(1, 1, 12), network).sum().item()
        12.0
        >>> batches  # instead of three
        [2]
    """

    def __call__(self, inputs: torch.Tensor, network: Network, *args: Any, **kwargs: Any) -> torch.Tensor:
        return super().__call__(inputs, _uniform_once(network), *args, **kwargs)


class FlipInferer(Inferer):
    """Predicts an image and its mirror images and averages the probabilities.

    MONAI's ``TestTimeAugmentation`` is not an inferer: it draws random transforms and takes the items of a dataset.

    The mean is returned as logits. The activation behind the inferer turns them back into the averaged probabilities,
    so the rest of a config stays as it is.

    Args:
        inferer: predicts each of the mirror images, for example a ``SlidingWindowInferer``.
        spatial_axes: the axes to mirror, from 0, in all 2 ** n combinations. Without axes the logits of ``inferer`` are
            returned unchanged.

    Shapes:
        Image ``(B, C, [D,] H, W)``; logits ``(B, out_channels, [D,] H, W)``. One output channel means a sigmoid,
        several mean a softmax.

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

    def __call__(self, inputs: torch.Tensor, network: Network, *args: Any, **kwargs: Any) -> torch.Tensor:
        def predict(axes: tuple[int, ...]) -> torch.Tensor:
            if not axes:
                return self.inferer(inputs, network, *args, **kwargs)
            dims = [axis + 2 for axis in axes]
            return self.inferer(inputs.flip(dims), network, *args, **kwargs).flip(dims)

        return _mean_of_probabilities(map(predict, _combinations(self.spatial_axes)))


class EnsembleInferer(Inferer):
    """Predicts an image with several models of one network, such as the folds of a cross-validation, and averages the
    probabilities.

    The mean is returned as logits, as by :py:class:`FlipInferer`, which can be put inside or around this inferer. The
    weights are read with the first image and stay in memory. Afterwards the network has the weights of the last model.
    MONAI's ``EnsembleEvaluator`` needs one network per model and keeps all outputs until they are averaged.

    Args:
        inferer: predicts with each of the models, for example a ``SlidingWindowInferer``.
        ckpt_dirs: the folders of their ``model.pt``. With a single folder its logits are returned unchanged.

    Raises:
        ValueError: if ``ckpt_dirs`` is not a list or is empty; with the first image, if a file does not hold a plain
            state dict of this network.
        FileNotFoundError: with the first image, if there is no such file.

    Shapes:
        Image ``(B, C, [D,] H, W)``; logits ``(B, out_channels, [D,] H, W)``. One output channel means a sigmoid,
        several mean a softmax.

    Example:
        >>> import tempfile
        >>> from monai.inferers import SimpleInferer
        >>> folders = [Path(tempfile.mkdtemp()) for _ in range(2)]
        >>> for folder, weight in zip(folders, (3.0, -3.0)):
        ...     torch.save({"weight": torch.full((1, 1, 1), weight)}, folder / "model.pt")
        >>> network = nn.Conv1d(1, 1, kernel_size=1, bias=False)
        >>> probability = EnsembleInferer(SimpleInferer(), folders)(torch.ones(1, 1, 1), network).sigmoid()
        >>> round(probability.item(), 3)  # of sigmoid(3) and sigmoid(-3)
        0.5
    """

    def __init__(self, inferer: Inferer, ckpt_dirs: Sequence[str | Path]) -> None:
        super().__init__()
        if isinstance(ckpt_dirs, (str, Path)) or not ckpt_dirs:
            raise ValueError(
                f"ckpt_dirs is {ckpt_dirs!r}: it has to be a list of folders, each with a model.pt, such as "
                "\"['fold_0/models', 'fold_1/models']\""
            )
        self.inferer = inferer
        self.paths = [as_path(folder) / "model.pt" for folder in ckpt_dirs]
        self._weights: list[dict[str, torch.Tensor]] = []

    def __call__(self, inputs: torch.Tensor, network: nn.Module, *args: Any, **kwargs: Any) -> torch.Tensor:
        def predict(weights: dict[str, torch.Tensor]) -> torch.Tensor:
            network.load_state_dict(weights)
            return self.inferer(inputs, network, *args, **kwargs)

        if not self._weights:
            self._weights = [read_weights(network, path) for path in self.paths]
        return _mean_of_probabilities(map(predict, self._weights))


def _uniform_once(network: Network) -> Network:
    """The network with a cache for batches whose channels each hold a single value."""
    known: dict[tuple[float, ...], torch.Tensor] = {}

    def predict(windows: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        values = windows[(slice(1), slice(None), *[slice(1)] * (windows.ndim - 2))]
        if not torch.equal(windows, values.expand_as(windows)):
            return network(windows, *args, **kwargs)
        kind = (len(windows), *values.flatten().tolist())
        if kind not in known:
            known[kind] = network(windows, *args, **kwargs)
        return known[kind].clone()  # MONAI multiplies it by the window weights in place

    return predict


def _combinations(axes: Sequence[int]) -> list[tuple[int, ...]]:
    return [chosen for count in range(len(axes) + 1) for chosen in combinations(axes, count)]


def _mean_of_probabilities(predictions: Iterable[torch.Tensor]) -> torch.Tensor:
    """Average the probabilities of several logits and return logits; those of a single prediction stay unchanged."""
    predictions = iter(predictions)
    first, log_sum = next(predictions), None
    for logits in predictions:
        log_sum = _log_probabilities(first) if log_sum is None else log_sum
        log_sum = torch.logaddexp(log_sum, _log_probabilities(logits))
    if log_sum is None:
        return first
    # The sum need not be divided by the number of terms: a constant does not change a softmax. Nor does it change the
    # logit of a sigmoid, which is the difference of the logarithms of its two probabilities.
    return log_sum if first.shape[1] > 1 else log_sum[:, :1] - log_sum[:, 1:]


def _log_probabilities(logits: torch.Tensor) -> torch.Tensor:
    if logits.shape[1] > 1:
        return F.log_softmax(logits, dim=1)
    return torch.cat([F.logsigmoid(logits), F.logsigmoid(-logits)], dim=1)
