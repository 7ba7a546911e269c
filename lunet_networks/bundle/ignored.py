"""Voxels that nobody has annotated: they bear a label of their own and count neither in the loss nor in a metric."""

from __future__ import annotations

from collections.abc import Hashable, Mapping

import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform

__all__ = ["ClearIgnoredd"]


class ClearIgnoredd(MapTransform):
    """Makes background of what must not be compared, in label maps of a prediction and of the truth alike.

    Args:
        keys: label maps ``(1, [D,] H, W)``.
        label_key: the label map that says where the ignored voxels are.
        ignore_label: their value there.

    Example:
        >>> clear = ClearIgnoredd(["pred", "label"], label_key="label", ignore_label=2)
        >>> cleared = clear({"pred": torch.tensor([[1, 1, 0]]), "label": torch.tensor([[1, 2, 2]])})
        >>> cleared["pred"], cleared["label"]
        (tensor([[1, 0, 0]]), tensor([[1, 0, 0]]))
    """

    def __init__(self, keys: KeysCollection, label_key: Hashable, ignore_label: int) -> None:
        super().__init__(keys)
        self.label_key = label_key
        self.ignore_label = ignore_label

    def __call__(self, data: Mapping[Hashable, torch.Tensor]) -> dict[Hashable, torch.Tensor]:
        ignored = data[self.label_key] == self.ignore_label
        return {**data, **{key: data[key].masked_fill(ignored, 0) for key in self.key_iterator(data)}}
