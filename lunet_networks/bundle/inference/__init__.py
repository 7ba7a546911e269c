"""From images to label maps: which images, how windows are predicted and averaged, what is made of logits, and exported
networks in place of PyTorch.
"""

from lunet_networks.bundle.inference.exported import BundleExport
from lunet_networks.bundle.inference.images import InferenceImages
from lunet_networks.bundle.inference.inferers import EnsembleInferer, FlipInferer, SlidingWindowInferer
from lunet_networks.bundle.inference.label_maps import (
    AsLabelsd,
    KeepLargestComponentd,
    SaveLabelsd,
    SaveMasksd,
    softmax_in_place,
)

__all__ = [
    "AsLabelsd",
    "BundleExport",
    "EnsembleInferer",
    "FlipInferer",
    "InferenceImages",
    "KeepLargestComponentd",
    "SaveLabelsd",
    "SaveMasksd",
    "SlidingWindowInferer",
    "softmax_in_place",
]
