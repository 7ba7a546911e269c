"""Dice of the training batches, cheap enough to compute at every step."""

from __future__ import annotations

from typing import Any

import torch
from monai.metrics import DiceMetric

__all__ = ["LabelDice", "labels_of_batch"]


class LabelDice(DiceMetric):
    """MONAI's ``DiceMetric`` for label values, with the same results but without waiting for the GPU.

    MONAI's metric handles every case and label separately, and each time waits for the GPU to report whether the label
    occurs. This class counts a label in all cases of a batch at once and never waits.

    Args:
        num_values: number of label values, including the background, whose Dice is left out.

    Shape:
        Predicted and true values ``(B, 1, [D,] H, W)``; a batch gives ``(B, num_values - 1)``, nan if a case does not
        have the label.

    Example:
        >>> metric = LabelDice(num_values=3)
        >>> metric(torch.tensor([[[1, 1, 0, 0]]]), torch.tensor([[[1, 0, 0, 0]]]))
        tensor([[0.6667,    nan]])
        >>> metric.aggregate()
        tensor([0.6667])
    """

    def __init__(self, num_values: int) -> None:
        super().__init__(include_background=False, num_classes=num_values)

    def _compute_tensor(self, y_pred: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return torch.stack([_dice(y_pred == value, y == value) for value in range(1, self.num_classes)], dim=1)


def _dice(predicted: torch.Tensor, true: torch.Tensor) -> torch.Tensor:
    both, one, other = (voxels.flatten(1).sum(1) for voxels in (predicted & true, predicted, true))
    return torch.where(other > 0, 2 * both / (one + other), torch.nan)


def labels_of_batch(output: dict[str, Any], ignore_label: int | None = None) -> tuple[torch.Tensor, torch.Tensor]:
    """Predicted and true labels of a training batch, for a metric that takes label values.

    Args:
        output: output of the trainer: "pred" logits ``(B, C, [D,] H, W)``, or a list or tuple that begins with them
            (deep supervision, functional decoupling), and "label" ``(B, 1, [D,] H, W)``.
        ignore_label: value of voxels without annotation, which become background in both; None: there are none.

    Returns:
        Two tensors of label values ``(B, 1, [D,] H, W)``.

    Example:
        >>> output = {"pred": torch.tensor([[[[-1.0]], [[2.0]], [[1.0]]]]), "label": torch.zeros(1, 1, 1, 1)}
        >>> labels_of_batch(output)[0].item()
        1
    """
    logits, label = output["pred"], output["label"]
    while not isinstance(logits, torch.Tensor):
        logits = logits[0]
    logits = logits.detach()
    # on a CPU argmax takes ten times as long, an eighth of the training step of a lean network
    labels = (logits > 0).long() if logits.shape[1] == 1 else logits.max(dim=1, keepdim=True).indices
    if ignore_label is None:
        return labels, label
    ignored = label == ignore_label
    return labels.masked_fill(ignored, 0), label.masked_fill(ignored, 0)
