"""PSP-Seg's functional decoupling loss: the encoder is to see the foreground alone, the decoder to find it."""

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
    """What a network predicts and what the terms are made of."""

    prediction: Prediction  # of the network, as it gives it
    features: list[torch.Tensor]  # outputs of all encoder levels, full resolution first, the bottleneck's last
    decoded: torch.Tensor  # the decoder at half the resolution
    image: torch.Tensor
    network: PSPSeg


class DecouplingInferer(Inferer):
    """Predicts a training batch for :class:`DecouplingLoss`; the network may be wrapped for several processes.

    Raises:
        TypeError: if the network is no :class:`PSPSeg`.
        ValueError: if it has fewer than three levels and so no decoder at half the resolution.

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
            raise TypeError(f"the decoupling loss takes a PSPSeg that is not compiled, not a {type(pspseg).__name__}")
        if len(pspseg.channels) < 3:
            raise ValueError(
                f"the decoupling loss takes a network of three levels or more, this one has {len(pspseg.channels)}"
            )
        # Hooks, because several processes share their gradients only if the wrapper itself is called.
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
    """The terms of :class:`DecouplingLoss`, scalars."""

    total: torch.Tensor  # to be minimised
    segmentation: torch.Tensor
    l1: torch.Tensor  # feature term, before it is weighted
    l2: torch.Tensor  # decoder term, before it is weighted


class DecouplingLoss(nn.Module):
    """A segmentation loss and the two terms of functional decoupling: ``segmentation + weight * (l1 + l2)``.

    ``l1`` compares the outputs of all encoder levels, the bottleneck among them, with those for the image without its
    background (:py:func:`feature_term`). ``l2`` compares the decoder at half the resolution with the foreground
    (:py:func:`decoder_term`). The second image passes the encoder alone, in eval mode and without gradients: it changes
    neither the network nor the random state.

    Args:
        segmentation: of what the network predicts and of labels; for a network with deep supervision wrapped into
            ``monai.losses.DeepSupervisionLoss``.
        weight: of both terms; with 0 they are logged only.
        mask_value: what the background is replaced by, in the units of the image that the network gets, so after its
            normalisation; None: the least value of each channel of each image.
        ignore_label: value of the voxels that nobody has annotated: they are no foreground, and no part of ``l2``;
            None: there are none.

    Shape:
        What :class:`DecouplingInferer` gives for an image, labels ``(B, 1, [D,] H, W)``, everything but 0 is
        foreground; a scalar comes out. ``last_terms`` holds the terms of the last batch, without gradients.

    Raises:
        ValueError: if ``weight`` or ``mask_value`` is no such number.

    Source:
        PSP-Seg, arXiv 2509.09267, and its code, which replaces the background of a normalised image by a raw intensity
        and takes the label of what is to be ignored for foreground.

    Example:
        >>> from lunet_networks.bundle.training.losses import SegmentationLoss
        >>> network = PSPSeg(spatial_dims=2, channels=(4, 8, 8))
        >>> image, label = torch.rand(2, 1, 16, 16), torch.ones(2, 1, 16, 16)
        >>> loss = DecouplingLoss(SegmentationLoss("dice_bce", out_channels=1))
        >>> loss(DecouplingInferer()(image, network), label).backward()
        >>> round(loss.last_terms["l1"].item(), 4)  # there is no background to be hidden
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
            raise ValueError(f"weight of the decoupling terms is {weight!r}: it is a number of at least 0")
        if mask_value is not None and not math.isfinite(mask_value):
            raise ValueError(f"mask_value is {mask_value!r}: it is a number in the units of the normalised image")
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
        """Total and terms for a batch."""
        foreground, annotated = self.foreground(label)
        # After the first pass: autocast keeps the weights that it has cast, and those of this pass know no gradient.
        with torch.no_grad(), in_eval_mode(predicted.network):
            targets = predicted.network.encode(hide_background(predicted.image, foreground, self.mask_value))
        segmentation = self.segmentation(predicted.prediction, label)
        l1 = feature_term(predicted.features, targets)
        l2 = decoder_term(predicted.decoded, foreground, annotated)
        return DecouplingTerms(segmentation + self.weight * (l1 + l2), segmentation, l1, l2)

    def foreground(self, label: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Masks of the voxels that have a label other than 0, and of those that somebody has annotated."""
        annotated = (
            torch.ones_like(label, dtype=torch.bool) if self.ignore_label is None else label != self.ignore_label
        )
        return (label != 0) & annotated, annotated


def hide_background(image: torch.Tensor, foreground: torch.Tensor, mask_value: float | None = None) -> torch.Tensor:
    """The image where there is foreground, and elsewhere ``mask_value`` or the least value of its channel.

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
    """Binary cross entropy between the mean over channels of a decoder level, as logits, and the foreground at its
    resolution, over the voxels that somebody has annotated.

    Example:
        >>> decoded, mask = torch.zeros(1, 8, 4, 4), torch.ones(1, 1, 8, 8, dtype=torch.bool)
        >>> decoder_term(decoded, mask, mask)  # log 2: nothing is known yet
        tensor(0.6931)
    """
    logits = decoded.float().mean(dim=1, keepdim=True)
    target, counts = (
        F.interpolate(mask.float(), logits.shape[2:], mode="nearest-exact") for mask in (foreground, annotated)
    )
    entropy = F.binary_cross_entropy_with_logits(logits, target, weight=counts, reduction="sum")
    return entropy / counts.sum().clamp(min=1)
