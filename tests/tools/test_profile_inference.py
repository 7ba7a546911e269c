"""The profile of a small inference, in a process of its own since it changes the classes that it watches."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.runnable import bright_block, save_image

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells a process's peak memory")
def test_every_step_is_in_the_table(tmp_path):
    for name in ("a", "b"):
        save_image(tmp_path / f"{name}.nii.gz", bright_block((24, 32, 20)), np.eye(4))
    command = [sys.executable, "-m", "tools.profile_inference", "bundles/lunet_small", str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    run = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    rows = [line.strip("| ").split(" | ") for line in run.stdout.splitlines() if line.startswith("| ")]
    calls = {row[0]: row[1] for row in rows}
    assert calls["LoadImaged"] == "2", "each image is read once"
    assert calls["Spacingd"] == calls["UNet"] == calls["SaveImageLabelsd"] == "2"
    assert {path.name for path in tmp_path.glob("*.nii.gz")} == {"a.nii.gz", "b.nii.gz"}
