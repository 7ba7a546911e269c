"""The weights that come with a bundle are what its README says."""

from pathlib import Path

import nibabel
import numpy as np
import pytest
from monai.bundle import ConfigWorkflow

BUNDLES = Path(__file__).parents[1] / "bundles"
TRAINED = sorted(path.parent for path in BUNDLES.glob("*/models/**/model.pt"))


@pytest.mark.parametrize("flip_tta", [False, True])
@pytest.mark.parametrize("weights", TRAINED, ids=lambda path: str(path.relative_to(BUNDLES)))
def test_they_label_a_case_of_their_data(weights: Path, flip_tta: bool, shared: Path, tmp_path: Path) -> None:
    bundle = BUNDLES / weights.relative_to(BUNDLES).parts[0]
    preset = {} if weights.name == "models" else {"preset": weights.name, "ckpt_dir": str(weights)}
    data, case = shared / "data" / "Task04_Hippocampus", "hippocampus_156"
    workflow = ConfigWorkflow(
        str(bundle / "configs" / "inference.json"),
        workflow_type="inference",
        bundle_root=str(bundle),
        dataset_dir=str(data / "imagesTr" / f"{case}.nii.gz"),
        output_dir=str(tmp_path),
        flip_tta=flip_tta,
        **preset,
    )
    workflow.initialize()
    workflow.run()
    label, truth = (
        np.asarray(nibabel.load(path).dataobj)
        for path in (tmp_path / f"{case}_seg.nii.gz", data / "labelsTr" / f"{case}.nii.gz")
    )
    dice = [2 * ((label == i) & (truth == i)).sum() / ((label == i).sum() + (truth == i).sum()) for i in (1, 2)]
    assert min(dice) > 0.7
