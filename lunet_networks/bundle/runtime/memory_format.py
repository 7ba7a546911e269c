"""The memory format in which networks compute fastest, training batches in it, and tensors without metadata."""

from __future__ import annotations

from typing import Any

import torch
from monai.data import MetaTensor

__all__ = ["channels_last", "plain", "prepare_batch"]


def channels_last(spatial_dims: int) -> torch.memory_format:
    """The memory format in which convolutions of lean networks are fastest on a CPU.

    Example:
        >>> channels_last(3)
        torch.channels_last_3d
    """
    return {2: torch.channels_last, 3: torch.channels_last_3d}[spatial_dims]


def plain(value: Any) -> Any:
    """A tensor without its metadata; anything else as it is.

    MONAI's ``convert_to_tensor`` would also lose the memory format, and make tensors of arrays and numbers.

    Example:
        >>> plain(MetaTensor([1.0])), plain("liver")
        (tensor([1.]), 'liver')
    """
    return value.as_tensor() if isinstance(value, MetaTensor) else value


def prepare_batch(
    batchdata: dict[str, torch.Tensor], device: torch.device | str | None = None, non_blocking: bool = False, **_: Any
) -> tuple[torch.Tensor, torch.Tensor]:
    """Image and label of a training batch on the device: channels last, and without MONAI's metadata.

    ``MetaTensor`` would carry the metadata through every operation of the network and the loss, where it is not used.

    Args:
        batchdata: "image" ``(B, C, [D,] H, W)`` and "label" ``(B, 1, [D,] H, W)``.
        device: device to compute on.
        non_blocking: copy to a GPU while it computes.

    Example:
        >>> batch = {"image": MetaTensor(torch.ones(2, 2, 4, 4, 4)), "label": torch.ones(2, 1, 4, 4, 4)}
        >>> image, label = prepare_batch(batch)
        >>> type(image).__name__, image.is_contiguous(memory_format=torch.channels_last_3d)
        ('Tensor', True)
    """
    image, label = plain(batchdata["image"]), plain(batchdata["label"])
    image = image.to(device, non_blocking=non_blocking, memory_format=channels_last(image.ndim - 2))
    return image, label.to(device, non_blocking=non_blocking)
