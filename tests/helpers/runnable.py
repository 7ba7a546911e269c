"""A bundle that tests run, with a network whose answers are known, and images for it."""

from pathlib import Path

import nibabel as nib
import numpy as np
import torch
from monai.bundle import ConfigWorkflow

from lunet_networks.authoring.planning.bundle_files import bundle_files
from tools.build_bundles import repository_settings

# Takes every voxel by itself: z-scores above 1 are anterior. What it says of an image can be worked out by hand.
THRESHOLD_NETWORK = {"_target_": "torch.nn.Conv3d", "in_channels": 1, "out_channels": 3, "kernel_size": 1}
THRESHOLD_WEIGHTS = {
    "weight": torch.tensor([0.0, 20.0, 0.0]).view(3, 1, 1, 1, 1),
    "bias": torch.tensor([0.0, -20.0, -1000.0]),
}
LPS_THICK_SLICES = np.diag([-0.9, -0.9, 2.5, 1.0])
LPS_THICK_SLICES[:3, 3] = [40.0, 55.0, -12.0]


class RunnableBundle:
    """The bundle lunet_small in a folder of its own, run within this process; ``changes`` are of what fills it."""

    def __init__(self, root: Path, **changes: object) -> None:
        self.root = root
        for path, text in bundle_files({**repository_settings("lunet_small"), **changes}).items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(text, encoding="utf-8")
        (root / "models").mkdir()
        torch.save(THRESHOLD_WEIGHTS, self.model)

    @property
    def model(self) -> Path:
        return self.root / "models" / "model.pt"

    def workflow(self, *configs: str, run_id: str = "run", **override: object) -> ConfigWorkflow:
        places = {"bundle_root": str(self.root), "ckpt_dir": str(self.root / "models")}
        override = {**places, "device": "cpu", "network_def": THRESHOLD_NETWORK, **override}
        workflow = ConfigWorkflow(
            config_file=[str(self.root / "configs" / f"{config}.json") for config in configs],
            meta_file=str(self.root / "configs" / "metadata.json"),
            logging_file=False,
            workflow_type="inference" if configs == ("inference",) else "train",
            run_id=run_id,
            **override,
        )
        workflow.initialize()
        return workflow

    def infer(self, dataset_dir: object, output_dir: Path, **override: object) -> None:
        """Label images."""
        if isinstance(dataset_dir, Path):
            dataset_dir = str(dataset_dir)
        self.workflow("inference", dataset_dir=dataset_dir, output_dir=str(output_dir), **override).run()

    def evaluate(self, dataset_dir: Path, output_dir: Path, **override: object) -> None:
        """Measure the labels of a dataset's cases."""
        self.workflow("train", "evaluate", dataset_dir=str(dataset_dir), output_dir=str(output_dir), **override).run()


def bright_block(shape: tuple[int, ...]) -> np.ndarray:
    """A mask whose mirror images and rotations differ from it."""
    mask = np.zeros(shape, bool)
    x, y, z = shape
    mask[x // 8 : x // 2, y // 4 : y // 2, z // 4 : 3 * z // 4] = True
    mask[x // 8 : x // 4, y // 4 : 3 * y // 4, z // 4 : z // 2] = True
    return mask


def save_image(path: Path, mask: np.ndarray, affine: np.ndarray) -> Path:
    """Write a dark image with faint noise that is bright where ``mask`` is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(0).normal(scale=0.01, size=mask.shape)
    nib.save(nib.Nifti1Image((mask + noise).astype(np.float32), affine), path)
    return path


def save_label(path: Path, mask: np.ndarray, affine: np.ndarray) -> Path:
    """Write the mask as label 1."""
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(mask.astype(np.uint8), affine), path)
    return path


def dice(one: np.ndarray, other: np.ndarray) -> float:
    return 2 * (one & other).sum() / (one.sum() + other.sum())
