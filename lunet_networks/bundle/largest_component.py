"""Only the largest connected component of every label, with scipy: MONAI's transform asks for scikit-image."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence

import numpy as np
import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform
from scipy import ndimage

__all__ = ["KeepLargestComponentd", "keep_largest_component"]


class KeepLargestComponentd(MapTransform):
    """Set all but the largest connected component of every label to background.

    Args:
        keys: label maps, ``(1, [D,] H, W)``.
        label_values: the labels that this is done for, each by itself.
        allow_missing_keys: don't raise an exception if a key is missing.

    Example:
        >>> KeepLargestComponentd("pred", label_values=[1])({"pred": torch.tensor([[[1, 1, 0, 1, 2]]])})["pred"]
        tensor([[[1, 1, 0, 0, 2]]])
    """

    def __init__(self, keys: KeysCollection, label_values: Sequence[int], allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
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
