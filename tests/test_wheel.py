"""What pip installs."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path


def test_a_wheel_holds_every_file_of_the_package(repository: Path, tmp_path: Path) -> None:
    """Built of a copy: setuptools leaves folders where it builds."""
    copy = tmp_path / "copy"
    left = shutil.ignore_patterns("__pycache__", ".*")
    shutil.copytree(repository / "lunet_networks", copy / "lunet_networks", ignore=left)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(repository / name, copy / name)
    files = {path.relative_to(copy).as_posix() for path in (copy / "lunet_networks").rglob("*") if path.is_file()}
    build = "from setuptools.build_meta import build_wheel; print(build_wheel('..'))"
    command = [sys.executable, "-c", build]
    run = subprocess.run(command, cwd=copy, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    with zipfile.ZipFile(tmp_path / run.stdout.split()[-1]) as wheel:
        assert {name for name in wheel.namelist() if ".dist-info/" not in name} == files
