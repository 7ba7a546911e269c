"""Dice, HD95, surface Dice and volumes of single cases, in 2D also IoU and accuracy, on the label file's own voxels."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from monai.metrics import compute_hausdorff_distance, compute_surface_dice
from monai.transforms.utils import generate_spatial_bounding_box

from lunet_networks.bundle.training.dice import count_voxels, dice_of_counts

__all__ = ["NSD_TOLERANCE", "WHOLE", "CaseMetrics", "measure_case"]

WHOLE = "whole"  # all labels taken as one
NSD_TOLERANCE = 1.0  # mm


@dataclass(frozen=True)
class CaseMetrics:
    """How well one label of one case was found; nan is what cannot be measured.

    If neither truth nor prediction has the label, that is all but volumes and accuracy. If only one of them has it,
    Dice, NSD and IoU are 0, and there are no two surfaces for HD95.

    Args:
        dice: from 0 to 1, see ``dice_of_counts``.
        hd95: the larger of the two directed 95th percentiles of the distances between the surfaces, in mm.
        nsd: normalised surface Dice, the share of both surfaces' areas that lies within ``NSD_TOLERANCE`` of the other
            surface, after Nikolov et al., Clinically Applicable Segmentation of Head and Neck Anatomy (2018), with the
            surface elements of their reference code.
        volume_truth: in mm3.
        volume_prediction: in mm3.
        iou: intersection over union, which is Dice / (2 - Dice), of a 2D case; nan for a volume.
        accuracy: share of the pixels of a 2D case where truth and prediction agree on whether they have the label,
            pixels without annotation included; nan for a volume, which is mostly background anyway.
    """

    dice: float
    hd95: float
    nsd: float
    volume_truth: float
    volume_prediction: float
    iou: float = math.nan
    accuracy: float = math.nan


def measure_case(
    prediction: torch.Tensor, truth: torch.Tensor, spacing: Sequence[float], label_names: Sequence[str]
) -> dict[str, CaseMetrics]:
    """Compare two label maps on the same grid, for each label and for their union.

    Args:
        prediction: label values, ``([D,] H, W)``; value ``i + 1`` stands for ``label_names[i]``.
        truth: label values, of the same shape.
        spacing: of the voxels along each axis, in mm.
        label_names: of the foreground labels.

    Returns:
        The metrics by label name, and under ``WHOLE`` those of the union of all labels.

    Raises:
        ValueError: if the shapes differ or there is not one spacing per axis.

    Example:
        >>> truth = torch.zeros(8, 8, 8)
        >>> truth[2:6, 2:6, 2:4] = 1
        >>> found = measure_case(truth.roll(1, dims=2), truth, spacing=(1.0, 1.0, 3.0), label_names=["lesion"])
        >>> found["lesion"].dice, found["lesion"].hd95, found["lesion"].volume_truth
        (0.5, 3.0, 96.0)
    """
    if prediction.shape != truth.shape:
        raise ValueError(f"the prediction has {tuple(prediction.shape)} voxels, the truth {tuple(truth.shape)}")
    if len(spacing) != truth.ndim:
        raise ValueError(f"{truth.ndim} axes need as many spacings, not {tuple(spacing)}")
    spacing = [float(step) for step in spacing]
    num_pixels = truth.numel() if truth.ndim == 2 else None
    # The box of the labels is enough to measure surfaces, and much smaller than a large volume.
    corners = generate_spatial_bounding_box(((prediction > 0) | (truth > 0))[None])
    box = tuple(slice(start, end) for start, end in zip(*corners, strict=True))
    # plain tensors: MONAI's carry their metadata through every single operation
    prediction, truth = prediction[box].as_subclass(torch.Tensor), truth[box].as_subclass(torch.Tensor)
    found = {
        name: _measure(prediction == value, truth == value, spacing, num_pixels)
        for value, name in enumerate(label_names, start=1)
    }
    return {**found, WHOLE: _measure(prediction > 0, truth > 0, spacing, num_pixels)}


def _measure(
    prediction: torch.Tensor, truth: torch.Tensor, spacing: list[float], num_pixels: int | None
) -> CaseMetrics:
    counts = count_voxels(prediction[None], truth[None])[0]
    both, predicted, true = counts.tolist()
    flat = {} if num_pixels is None else _measure_pixels(both, predicted, true, num_pixels)
    voxel = math.prod(spacing)
    volumes = {"volume_truth": true * voxel, "volume_prediction": predicted * voxel}
    found = {"dice": dice_of_counts(counts).item(), **volumes, **flat}
    if not predicted or not true:
        return CaseMetrics(**found, hd95=math.nan, nsd=0.0 if predicted or true else math.nan)
    masks = prediction[None, None], truth[None, None]
    with warnings.catch_warnings():
        # MONAI 1.6 warns about an argument that it passes itself
        warnings.filterwarnings("ignore", message=".*always_return_as_numpy", category=FutureWarning)
        hd95 = compute_hausdorff_distance(*masks, include_background=True, percentile=95, spacing=spacing)
        nsd = compute_surface_dice(
            *masks, include_background=True, class_thresholds=[NSD_TOLERANCE], spacing=spacing, use_subvoxels=True
        )
    return CaseMetrics(**found, hd95=hd95.item(), nsd=nsd.item())


def _measure_pixels(both: int, predicted: int, true: int, num_pixels: int) -> dict[str, float]:
    """The extra metrics of 2D cases. Outside the masks, which are cropped to the labels' box, all is background."""
    union = predicted + true - both
    return {"iou": both / union if union else math.nan, "accuracy": 1 - (union - both) / num_pixels}
