"""Weights go into a bundle only with the record of how they came about."""

from pathlib import Path

import pytest

from tools.add_weights import add_weights


def test_a_training_that_was_not_evaluated_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.pt").write_bytes(b"weights")
    with pytest.raises(FileNotFoundError, match=r"train and evaluate first, there is no .*run.json, .*history.csv"):
        add_weights("lunet_small", output_dir=str(tmp_path), ckpt_dir=str(tmp_path))


def test_an_unknown_bundle_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere is not there"):
        add_weights("nowhere", output_dir=str(tmp_path), ckpt_dir=str(tmp_path))
