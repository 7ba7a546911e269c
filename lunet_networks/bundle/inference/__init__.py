"""From images to label maps: finding images, predicting and averaging windows, turning logits into labels, and running
exported networks instead of PyTorch.
"""

from lunet_networks.bundle.inference.exported import BundleExport
from lunet_networks.bundle.inference.images import InferenceImages, ReadableImages
from lunet_networks.bundle.inference.inferers import EnsembleInferer, FlipInferer, SlidingWindowInferer
from lunet_networks.bundle.inference.label_maps import (
    AsLabelsd,
    KeepLargestComponentd,
    softmax_in_place,
)
from lunet_networks.bundle.inference.saving import SaveImageLabelsd, SaveImageMasksd, SaveImageProbabilitiesd

__all__ = [
    "AsLabelsd",
    "BundleExport",
    "EnsembleInferer",
    "FlipInferer",
    "InferenceImages",
    "KeepLargestComponentd",
    "ReadableImages",
    "SaveImageLabelsd",
    "SaveImageMasksd",
    "SaveImageProbabilitiesd",
    "SlidingWindowInferer",
    "softmax_in_place",
]
