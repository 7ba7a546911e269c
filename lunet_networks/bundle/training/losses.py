"""The published losses by name, for one output channel (sigmoid) or several (softmax)."""

from __future__ import annotations

import torch
from monai.losses import DiceLoss, FocalLoss
from torch import nn

from lunet_networks.bundle.runtime.checks import choose
from lunet_networks.kernels import labels as kernels

__all__ = ["LOSSES", "SegmentationLoss"]

LOSSES = {  # name: weights of the Dice, the cross-entropy and the focal term
    "dice": (1.0, 0.0, 0.0),
    "bce": (0.0, 1.0, 0.0),
    "dice_bce": (1.0, 1.0, 0.0),
    "dice_half_bce": (1.0, 0.5, 0.0),
    "dice_focal": (1.0, 0.0, 1.0),
}
SMOOTH = 1e-7  # added to the denominator of the Dice


class SegmentationLoss(nn.Module):
    """Soft Dice, cross entropy, or the sum of Dice and cross entropy or of Dice and focal loss, on logits.

    The Dice term is the published one: ``1 - 2 sum(p t) / (sum(p + t) + 1e-7)``, summed over the batch and all voxels
    and averaged over the labels. One output channel means a sigmoid and binary cross entropy. Several channels mean a
    softmax over the labels; channel 0 is the background, which the Dice term leaves out. The focal loss is MONAI's,
    with a gamma of 2.

    Args:
        loss_name: "dice", "bce", "dice_bce", "dice_half_bce" (half the cross entropy) or "dice_focal"; the cross
            entropy of several labels is called "bce" too.
        out_channels: number of output channels of the network.
        ignore_label: value of voxels without annotation, which the loss ignores; None: there are none.

    Shape:
        Logits ``(B, out_channels, [D,] H, W)``, labels ``(B, 1, [D,] H, W)`` with whole numbers. Output: a scalar.

    Raises:
        ValueError: if no loss has this name.

    Source:
        Lean Unet, arXiv 2512.03834, published code; its Dice is that of STAMP (Dinsdale et al., Medical Image
        Analysis 2022). "dice_half_bce" is from LV-UNet, arXiv 2408.16886, which computes the Dice image by image, and
        "dice_focal" from LMSC-UNet, ICAART 2025, which states no weights.

    Example:
        >>> logits, label = torch.zeros(2, 3, 8, 8, 8), torch.ones(2, 1, 8, 8, 8)
        >>> SegmentationLoss("bce", out_channels=3)(logits, label)  # log 3, as for a random guess
        tensor(1.0986)
    """

    def __init__(self, loss_name: str, out_channels: int, ignore_label: int | None = None) -> None:
        super().__init__()
        self.dice_weight, self.entropy_weight, self.focal_weight = choose("loss_name", loss_name, LOSSES)
        several = out_channels > 1
        self.dice = DiceLoss(
            include_background=not several,
            to_onehot_y=several,
            softmax=several,
            sigmoid=not several,
            batch=True,
            smooth_nr=0.0,
            smooth_dr=SMOOTH,
        )
        self.focal = FocalLoss(to_onehot_y=several, use_softmax=several, gamma=2.0)
        self.several = several
        self.ignore_label = ignore_label

    def forward(self, logits: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        # autocast yields half precision, in which a sum over a batch of volumes overflows
        logits = logits.float()
        if self.ignore_label is not None:
            logits, label = self.only_annotated(logits, label)
            if not label.numel():
                return logits.sum()  # 0, with a gradient of 0
        if not self.focal_weight and kernels.takes(logits, label):
            return self.of_sums(kernels.loss_sums(logits, label), label.numel())
        loss = logits.new_zeros(())
        if self.dice_weight:
            loss = loss + self.dice_weight * self.dice(logits, label)
        if self.entropy_weight:
            loss = loss + self.entropy_weight * self.entropy(logits, label)
        if self.focal_weight:
            loss = loss + self.focal_weight * self.focal(logits, label)
        return loss

    def of_sums(self, sums: torch.Tensor, voxels: int) -> torch.Tensor:
        """The loss from the sums of :py:func:`lunet_networks.kernels.labels.loss_sums`."""
        both, either = sums[:-1].unflatten(0, (-1, 2)).unbind(-1)
        dice = 1 - 2 * both / (either + SMOOTH)
        dice = dice[1:].mean() if self.several else dice.mean()
        return (self.dice_weight * dice + self.entropy_weight * sums[-1] / voxels).float()

    def only_annotated(self, logits: torch.Tensor, label: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The annotated voxels as one row ``(1, C, N)``; all terms sum over the batch anyway."""
        annotated = (label != self.ignore_label)[:, 0]
        return logits.movedim(1, -1)[annotated].T[None], label[:, 0][annotated][None, None]

    def entropy(self, logits: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        """Cross entropy over the labels, binary for one output channel."""
        if self.several:
            return nn.functional.cross_entropy(logits, label[:, 0].long())
        return nn.functional.binary_cross_entropy_with_logits(logits, label.float())
