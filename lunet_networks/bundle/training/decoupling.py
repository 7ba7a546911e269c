"""PSP-Seg's functional decoupling loss: the encoder learns to use the foreground only, the decoder to locate it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from monai.inferers import Inferer
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from lunet_networks.nets import PSPSeg
from lunet_networks.nets.modes import in_eval_mode

__all__ = [
    "DecoupledPrediction",
    "DecouplingInferer",
    "DecouplingLoss",
    "DecouplingTerms",
    "decoder_term",
    "feature_term",
    "hide_background",
]

Prediction = torch.Tensor | list[torch.Tensor]


class DecoupledPrediction(NamedTuple):
    """The prediction of a network and the inputs of the terms."""

    prediction: Prediction  # output of the network
    features: list[torch.Tensor]  # outputs of all encoder levels, full resolution first, the bottleneck last
    decoded: torch.Tensor  # output of the decoder level at half the resolution
    image: torch.Tensor
    network: PSPSeg


class DecouplingInferer(Inferer):
    """Predicts a training batch for :class:`DecouplingLoss`; the network may be wrapped for several processes.

    Raises:
        TypeError: if the network is not a :class:`PSPSeg`.
        ValueError: if it has fewer than three levels and therefore no decoder level at half the resolution.

    Example:
        >>> predicted = DecouplingInferer()(torch.rand(2, 1, 16, 16), PSPSeg(spatial_dims=2, channels=(4, 8, 8)))
        >>> [list(level.shape[1:]) for level in predicted.features], list(predicted.decoded.shape[1:])
        ([[4, 16, 16], [8, 8, 8], [8, 4, 4]], [8, 8, 8])
    """

    def __call__(
        self, inputs: torch.Tensor, network: Callable[..., Prediction], *args: Any, **kwargs: Any
    ) -> DecoupledPrediction:
        pspseg = network.module if isinstance(network, DistributedDataParallel) else network
        if not isinstance(pspseg, PSPSeg):
            raise TypeError(f"the decoupling loss needs a PSPSeg that is not compiled, not a {type(pspseg).__name__}")
        if len(pspseg.channels) < 3:
            raise ValueError(
                f"the decoupling loss needs a network with at least three levels, this one has {len(pspseg.channels)}"
            )
        # Use hooks, as several processes average their gradients only if the wrapper itself is called.
        watched = [*pspseg.encoders, pspseg.bottleneck, pspseg.decoders[-2]]
        outputs: list[torch.Tensor] = []
        hooks = [module.register_forward_hook(lambda *call: outputs.append(call[-1])) for module in watched]
        try:
            prediction = network(inputs, *args, **kwargs)
        finally:
            for hook in hooks:
                hook.remove()
        return DecoupledPrediction(prediction, outputs[:-1], outputs[-1], inputs, pspseg)


class DecouplingTerms(NamedTuple):
    """The terms of :class:`DecouplingLoss`; each is a scalar."""

    total: torch.Tensor  # to be minimised
    segmentation: torch.Tensor
    l1: torch.Tensor  # feature term, not weighted
    l2: torch.Tensor  # decoder term, not weighted


class DecouplingLoss(nn.Module):
    """A segmentation loss and the two terms of functional decoupling: ``segmentation + weight * (l1 + l2)``.

    ``l1`` compares the outputs of all encoder levels, including the bottleneck, with those for the image without its
    background (:py:func:`feature_term`). ``l2`` compares the decoder at half the resolution with the foreground
    (:py:func:`decoder_term`). The image without background passes through the encoder only, in eval mode and without
    gradients, and changes neither the network nor the random state.

    Args:
        segmentation: loss between prediction and labels; for a network with deep supervision, wrap it in
            ``monai.losses.DeepSupervisionLoss``.
        weight: weight of both terms; with 0 they are only logged.
        mask_value: value that replaces the background, in the units of the normalised image; None: the minimum of each
            channel of each image.
        ignore_label: value of voxels without annotation: they do not count as foreground and are left out of ``l2``;
            None: there are none.

    Shape:
        Input: the output of :class:`DecouplingInferer` and labels ``(B, 1, [D,] H, W)``, in which every value except 0
        is foreground. Output: a scalar. ``last_terms`` holds the terms of the last batch, without gradients.

    Raises:
        ValueError: if ``weight`` is negative or infinite, or ``mask_value`` is not finite.

    Source:
        PSP-Seg, arXiv 2509.09267, and its code. That code replaces the background of a normalised image by a raw
        intensity, and counts the ignored label as foreground.

    Example:
        >>> from lunet_networks.bundle.training.losses import SegmentationLoss
        >>> network = PSPSeg(spatial_dims=2, channels=(4, 8, 8))
        >>> image, label = torch.rand(2, 1, 16, 16), torch.ones(2, 1, 16, 16)
        >>> loss = DecouplingLoss(SegmentationLoss("dice_bce", out_channels=1))
        >>> loss(DecouplingInferer()(image, network), label).backward()
        >>> round(loss.last_terms["l1"].item(), 4)  # there is no background to hide
        0.0
    """

    def __init__(
        self,
        segmentation: Callable[[Prediction, torch.Tensor], torch.Tensor],
        weight: float = 0.1,
        mask_value: float | None = None,
        ignore_label: int | None = None,
    ) -> None:
        super().__init__()
        if not 0 <= weight < math.inf:
            raise ValueError(f"weight of the decoupling terms is {weight!r}: it has to be a number of at least 0")
        if mask_value is not None and not math.isfinite(mask_value):
            raise ValueError(f"mask_value is {mask_value!r}: it has to be finite, in the units of the normalised image")
        self.segmentation = segmentation
        self.weight = weight
        self.mask_value = mask_value
        self.ignore_label = ignore_label
        self.last_terms: dict[str, torch.Tensor] = {}

    def forward(self, predicted: DecoupledPrediction, label: torch.Tensor) -> torch.Tensor:
        terms = self.terms(predicted, label)
        self.last_terms = {name: term.detach() for name, term in terms._asdict().items()}
        return terms.total

    def terms(self, predicted: DecoupledPrediction, label: torch.Tensor) -> DecouplingTerms:
        """The total loss and its terms for a batch."""
        foreground, annotated = self.foreground(label)
        # After the pass with gradients: autocast caches the weights it casts, and here they are cast without gradients.
        with torch.no_grad(), in_eval_mode(predicted.network):
            targets = predicted.network.encode(hide_background(predicted.image, foreground, self.mask_value))
        segmentation = self.segmentation(predicted.prediction, label)
        l1 = feature_term(predicted.features, targets)
        l2 = decoder_term(predicted.decoded, foreground, annotated)
        return DecouplingTerms(segmentation + self.weight * (l1 + l2), segmentation, l1, l2)

    def foreground(self, label: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Two masks: of the annotated voxels with a label other than 0, and of all annotated voxels."""
        annotated = (
            torch.ones_like(label, dtype=torch.bool) if self.ignore_label is None else label != self.ignore_label
        )
        return (label != 0) & annotated, annotated


def hide_background(image: torch.Tensor, foreground: torch.Tensor, mask_value: float | None = None) -> torch.Tensor:
    """Replace the background of an image by ``mask_value`` or by the minimum of each channel.

    Example:
        >>> image = torch.tensor([[[[-1.0, 0.5, 2.0]]]])
        >>> hide_background(image, torch.tensor([[[[False, False, True]]]]))
        tensor([[[[-1., -1.,  2.]]]])
    """
    least = image.amin(dim=tuple(range(2, image.dim())), keepdim=True)
    return torch.where(foreground, image, least if mask_value is None else torch.full_like(least, mask_value))


def feature_term(features: Sequence[torch.Tensor], targets: Sequence[torch.Tensor]) -> torch.Tensor:
    """The sum over levels of the mean over voxels of ``1 - cos`` between the channels of features and of targets.

    Example:
        >>> feature_term([torch.tensor([[[1.0], [0.0]]])], [torch.tensor([[[0.0], [3.0]]])])
        tensor(1.)
    """
    pairs = zip(features, targets, strict=True)
    return torch.stack([1 - F.cosine_similarity(x.float(), y.float(), dim=1).mean() for x, y in pairs]).sum()


def decoder_term(decoded: torch.Tensor, foreground: torch.Tensor, annotated: torch.Tensor) -> torch.Tensor:
    """Binary cross entropy over the annotated voxels, at the resolution of the decoder level.

    The logits are the mean over the channels of the decoder level, the target is the foreground.

    Example:
        >>> decoded, mask = torch.zeros(1, 8, 4, 4), torch.ones(1, 1, 8, 8, dtype=torch.bool)
        >>> decoder_term(decoded, mask, mask)  # log 2, as for a random guess
        tensor(0.6931)
    """
    logits = decoded.float().mean(dim=1, keepdim=True)
    target, counts = (
        F.interpolate(mask.float(), logits.shape[2:], mode="nearest-exact") for mask in (foreground, annotated)
    )
    entropy = F.binary_cross_entropy_with_logits(logits, target, weight=counts, reduction="sum")
    return entropy / counts.sum().clamp(min=1)
