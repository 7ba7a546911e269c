"""From logits to label maps: probabilities, labels, and the largest component of each label."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence

import numpy as np
import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform
from monai.utils import convert_to_dst_type, optional_import

from lunet_networks.bundle.runtime.memory_format import plain

__all__ = [
    "AsLabelsd",
    "KeepLargestComponentd",
    "keep_largest_component",
    "most_probable",
    "softmax_in_place",
]

ndimage, _ = optional_import("scipy.ndimage")  # only needed to keep the largest component


class AsLabelsd(MapTransform):
    """The most probable label of every voxel, as by MONAI's ``AsDiscreted``.

    On a CPU MONAI's takes six times as long, and eight bytes per voxel.

    Args:
        keys: probabilities, see :py:func:`most_probable`.

    Example:
        >>> AsLabelsd("pred")({"pred": torch.tensor([[[0.1, 0.6]], [[0.7, 0.3]], [[0.2, 0.1]]])})["pred"]
        tensor([[[1, 0]]], dtype=torch.uint8)
    """

    def __call__(self, data: Mapping[Hashable, torch.Tensor]) -> dict[Hashable, torch.Tensor]:
        result = dict(data)
        for key in self.key_iterator(result):
            result[key] = most_probable(result[key])
        return result


def softmax_in_place(logits: torch.Tensor) -> torch.Tensor:
    """The softmax over the first axis. It overwrites the logits, which an evaluator would otherwise keep as well.

    Args:
        logits: ``(C, [D,] H, W)``. Logits from ``torch.inference_mode`` can be overwritten only in that mode; outside
            it they are kept and a new tensor is returned.

    Example:
        >>> logits = torch.tensor([[0.0], [3.0]])
        >>> softmax_in_place(logits) is logits, logits.sum().item()
        (True, 1.0)
    """
    if logits.is_inference() and not torch.is_inference_mode_enabled():
        return logits.softmax(dim=0)
    logits -= logits.amax(dim=0)
    logits.exp_()
    logits /= logits.sum(dim=0)
    return logits


def most_probable(probabilities: torch.Tensor) -> torch.Tensor:
    """The most probable label of every voxel; the lowest one if several are equal.

    Args:
        probabilities: ``(C, [D,] H, W)`` of a softmax over background and labels, or ``(1, [D,] H, W)`` of a single
            label, which is chosen if its probability is at least 0.5.

    Returns:
        Labels ``(1, [D,] H, W)`` in uint8, or in int32 if there are more than 256 channels.

    Example:
        >>> most_probable(torch.tensor([[[0.4, 0.5]]]))
        tensor([[[0, 1]]], dtype=torch.uint8)
    """
    values = plain(probabilities)
    dtype = torch.uint8 if len(values) <= 256 else torch.int32
    if len(values) == 1:
        labels = (values >= 0.5).to(dtype)
    else:
        labels = torch.empty((1, *values.shape[1:]), dtype=dtype, device=values.device)
        for plane, of_classes in zip(labels[0], values.unbind(dim=1), strict=True):
            plane.copy_(of_classes.max(dim=0).indices)
    return convert_to_dst_type(labels, probabilities, dtype=dtype)[0]


class KeepLargestComponentd(MapTransform):
    """Set all but the largest connected component of every label to background.

    MONAI's ``KeepLargestConnectedComponentd`` does the same, but needs scikit-image.

    Args:
        keys: label maps, ``(1, [D,] H, W)``.
        label_values: the labels to do this for, each one separately.

    Example:
        >>> KeepLargestComponentd("pred", label_values=[1])({"pred": torch.tensor([[[1, 1, 0, 1, 2]]])})["pred"]
        tensor([[[1, 1, 0, 0, 2]]])
    """

    def __init__(self, keys: KeysCollection, label_values: Sequence[int]) -> None:
        super().__init__(keys)
        self.label_values = tuple(label_values)

    def __call__(self, data: Mapping[Hashable, torch.Tensor]) -> dict[Hashable, torch.Tensor]:
        result = dict(data)
        for key in self.key_iterator(result):
            result[key] = keep_largest_component(result[key], self.label_values)
        return result


def keep_largest_component(label_map: torch.Tensor, label_values: Sequence[int]) -> torch.Tensor:
    """A label map without the smaller components of each label; voxels that share a corner are connected.

    Example:
        >>> keep_largest_component(torch.tensor([[[3, 0, 0], [0, 3, 0], [0, 0, 0], [3, 0, 0]]]), [3]).flatten().tolist()
        [3, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0]
    """
    corners = ndimage.generate_binary_structure(label_map.ndim - 1, label_map.ndim - 1)
    kept = label_map.clone()
    for value in label_values:
        components, count = ndimage.label((label_map[0] == value).cpu().numpy(), structure=corners)
        if count > 1:
            sizes = np.bincount(components.ravel())[1:]
            smaller = (components > 0) & (components != 1 + sizes.argmax())
            kept[0, torch.from_numpy(smaller).to(kept.device)] = 0
    return kept
