"""A run that fails ends with the message that says what to do."""

import subprocess
import sys
from pathlib import Path


def test_the_last_line_of_a_failed_run_is_its_cause(repository: Path, tmp_path: Path) -> None:
    bundle = repository / "bundles" / "lunet_small"
    command = [sys.executable, "-m", "monai.bundle", "run", "training", "--bundle_root", bundle]
    command += ["--config_file", bundle / "configs" / "train.json", "--output_dir", tmp_path]
    command += ["--dataset_dir", "nowhere"]
    ended = subprocess.run(command, capture_output=True, text=True)
    assert ended.returncode == 1
    last = ended.stderr.strip().splitlines()[-1]
    assert last.startswith("error: ")
    assert "nowhere" in last
