"""Dice of label maps, with one rule for labels that a case lacks, for training, validation and evaluation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ignite.distributed as idist
import torch
from monai.handlers import IgniteMetricHandler
from monai.metrics import DiceMetric
from monai.utils import MetricReduction

from lunet_networks.bundle.data.sharding import SharedCacheDataset, join_shares
from lunet_networks.kernels import labels as kernels

__all__ = ["LabelDice", "MeanDice", "count_voxels", "dice_of_counts", "labels_of_batch"]

TRUE = 2  # place of the voxels of the truth among the counts


def count_voxels(predicted: torch.Tensor, true: torch.Tensor) -> torch.Tensor:
    """Count the voxels of masks: those in both, those predicted and the true ones.

    Args:
        predicted: masks ``(B, ...)``.
        true: masks of the same shape.

    Returns:
        Whole numbers ``(B, 3)``.
    """
    return torch.stack([voxels.flatten(1).sum(1) for voxels in (predicted & true, predicted, true)], dim=-1)


def dice_of_counts(counts: torch.Tensor) -> torch.Tensor:
    """Dice of the counts of :py:func:`count_voxels`, by the rule for absent labels that all figures here follow.

    - Neither truth nor prediction has the label: there is nothing to measure, nan. Means leave it out.
    - Only one of them has it: 0.

    This is the rule of nnU-Net's evaluation. MONAI's ``DiceMetric`` gives nan or, with ``ignore_empty=False``, 1 where
    neither has the label; with the former it also gives nan where only the prediction has it.

    Args:
        counts: ``(..., 3)``.

    Example:
        >>> dice_of_counts(torch.tensor([[3, 4, 4], [0, 4, 0], [0, 0, 4], [0, 0, 0]]))
        tensor([0.7500, 0.0000, 0.0000,    nan])
    """
    both, predicted, true = counts.unbind(-1)
    return 2 * both / (predicted + true)  # 0 / 0 is nan


class LabelDice(DiceMetric):
    """MONAI's ``DiceMetric`` for label values, with the rule of :py:func:`dice_of_counts` for absent labels.

    The mean is MONAI's: first over the labels of a case that can be measured, then over the cases with at least one.
    It is nan if the truth of no case has any label; MONAI gives 0 then. Where truth and prediction have all labels,
    the results are MONAI's to the last bit.

    MONAI's metric handles every case and label separately, and each time waits for the GPU to report whether the label
    occurs. This class counts a label in all cases of a batch at once and never waits.

    Args:
        num_values: number of label values, including the background, whose Dice is left out.
        num_cases: number of cases, if several processes share them with ``share_of``: each case counts once. None: the
            cases of all processes count.

    Shape:
        Predicted and true values ``(B, 1, [D,] H, W)``; a batch gives ``(B, num_values - 1)``.

    Example:
        >>> metric = LabelDice(num_values=4)
        >>> metric(torch.tensor([[[1, 1, 0, 2]]]), torch.tensor([[[1, 0, 0, 0]]]))
        tensor([[0.6667, 0.0000,    nan]])
        >>> metric.aggregate(), metric.held()
        (tensor([0.3333]), [True, False, False])
    """

    def __init__(self, num_values: int, num_cases: int | None = None) -> None:
        super().__init__(include_background=False, num_classes=num_values)
        self.num_cases = num_cases

    def __call__(self, y_pred: Any, y: Any) -> torch.Tensor:
        """Add cases; returns their Dice."""
        return dice_of_counts(super().__call__(y_pred, y))

    def _compute_tensor(self, y_pred: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        # plain tensors: MONAI's carry their metadata through every single operation
        y_pred, y = y_pred.as_subclass(torch.Tensor), y.as_subclass(torch.Tensor)
        if y_pred.shape == y.shape and kernels.takes(y_pred, y):
            return kernels.agreement(y_pred, y, self.num_classes)
        values = range(1, self.num_classes)
        return torch.stack([count_voxels(y_pred == value, y == value) for value in values], dim=1)

    def _counts(self) -> torch.Tensor | None:
        """Counts of all cases and labels ``(N, C, 3)``, those of all processes; None before the first case."""
        counts = super().get_buffer()
        if counts is None or self.num_cases is None:
            return counts
        return join_shares(counts, self.num_cases, idist.get_world_size())

    def get_buffer(self) -> torch.Tensor | None:
        """Dice of all cases and labels ``(N, num_values - 1)``."""
        counts = self._counts()
        return None if counts is None else dice_of_counts(counts)

    def held(self) -> list[bool]:
        """Whether the truth of any case has the label, for each label."""
        return (self._counts()[..., TRUE] > 0).any(dim=0).tolist()

    def aggregate(self, reduction: MetricReduction | str | None = None) -> torch.Tensor:
        """The mean over labels and cases."""
        mean = super().aggregate(reduction)
        return mean if any(self.held()) else torch.full_like(mean, torch.nan)


class MeanDice(IgniteMetricHandler):
    """MONAI's handler ``MeanDice``, with the metric :class:`LabelDice`.

    It leaves the Dice of every case and label in ``engine.state.metric_details``, as MONAI's does, and in
    ``engine.state.held_labels`` whether the truth of any case has the label.

    Args:
        num_values: number of label values, including the background.
        output_transform: returns predicted and true label values from the output of the engine.
        dataset: the cases, if several processes share them; the value equals that of a single process to the last bit.
        save_details: whether to keep the Dice of every case.

    Example::

        SupervisedEvaluator(..., key_val_metric={"val_mean_dice": MeanDice(3, from_engine(["pred", "label"]))})
    """

    def __init__(
        self,
        num_values: int,
        output_transform: Callable,
        dataset: SharedCacheDataset | None = None,
        save_details: bool = True,
    ) -> None:
        metric = LabelDice(num_values, None if dataset is None else dataset.num_cases)
        super().__init__(metric, output_transform=output_transform, save_details=save_details)

    def compute(self) -> float:
        """The mean; called at the end of an epoch."""
        mean = super().compute()
        self._engine.state.held_labels = self.metric_fn.held()
        return mean


def labels_of_batch(output: dict[str, Any], ignore_label: int | None = None) -> tuple[torch.Tensor, torch.Tensor]:
    """Predicted and true labels of a training batch, for a metric that takes label values.

    Args:
        output: output of the trainer: "pred" logits ``(B, C, [D,] H, W)``, or a list or tuple that begins with them
            (deep supervision, functional decoupling), and "label" ``(B, 1, [D,] H, W)``.
        ignore_label: value of voxels without annotation, which become background in both; None: there are none.

    Returns:
        Two tensors of label values ``(B, 1, [D,] H, W)`` of the type of the labels.

    Example:
        >>> output = {"pred": torch.tensor([[[[-1.0]], [[2.0]], [[1.0]]]]), "label": torch.zeros(1, 1, 1, 1)}
        >>> labels_of_batch(output)[0].item()
        1.0
    """
    logits, label = output["pred"], output["label"]
    while not isinstance(logits, torch.Tensor):
        logits = logits[0]
    logits = logits.detach()
    if kernels.takes(logits, label):
        labels = kernels.labels_of_logits(logits)
    elif logits.shape[1] == 1:
        labels = (logits > 0).to(label.dtype)
    else:  # on a CPU argmax takes ten times as long
        labels = logits.max(dim=1, keepdim=True).indices.to(label.dtype)
    if ignore_label is None:
        return labels, label
    ignored = label == ignore_label
    return labels.masked_fill(ignored, 0), label.masked_fill(ignored, 0)
