"""The volume of each label in each label map, in one table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from monai.data import MetaTensor

from lunet_networks.bundle.runtime.files import as_path, write_csv

__all__ = ["VolumeTable"]

MM3_PER_ML = 1000


class VolumeTable:
    """The file ``OUTPUT_DIR/volumes.csv`` with a row per case and label: voxels, and mL for volumes.

    A picture has no volume: its rows hold pixels.

    Args:
        output_dir: folder of the label maps.
        label_names: names of the labels 1, 2, ...

    Example::

        table = VolumeTable("labels", ["anterior", "posterior"])
        table.add("case_1", label_map)
    """

    def __init__(self, output_dir: str | Path, label_names: Sequence[str]) -> None:
        self.path = as_path(output_dir) / "volumes.csv"
        self.label_names = list(label_names)
        self.rows: list[dict[str, str | int]] = []

    def add(self, case: str, labels: MetaTensor) -> None:
        """Add a label map and write the table.

        Args:
            case: its name.
            labels: ``(1, W, H, D)``, or of a picture ``(1, W, H)`` or ``(W, H)``.
        """
        values = labels.cpu().numpy().ravel().astype(np.int64)
        counts = np.bincount(values, minlength=len(self.label_names) + 1)
        for name, count in zip(self.label_names, counts[1:].tolist(), strict=True):
            self.rows.append({"case": case, "label": name, **_size(count, labels)})
        write_csv(self.path, self.rows)


def _size(count: int, labels: MetaTensor) -> dict[str, str | int]:
    if labels.ndim < 4:
        return {"pixels": count}
    voxel = abs(np.linalg.det(labels.affine.numpy()[:3, :3])) / MM3_PER_ML
    return {"voxels": count, "volume_ml": f"{count * voxel:.6g}"}
