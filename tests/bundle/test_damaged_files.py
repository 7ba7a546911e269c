"""Other people's files with random damage: the right answer, or one error that names the file."""

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_damaged_files_are_read_right_or_refused_by_name(tmp_path: Path, repository: Path) -> None:
    """500 of them, see tests/helpers/stress.py; ``pytest -s`` prints the figures."""
    run = subprocess.run(
        [sys.executable, "-m", "tests.helpers.stress", str(tmp_path / "stress")],
        cwd=repository,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    print(f"\n{run.stdout}")
    assert run.returncode == 0, f"{run.stdout}\n{run.stderr[-4000:]}"
