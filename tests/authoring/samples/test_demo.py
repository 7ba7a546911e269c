"""The demo makes all that it says, in small."""

from pathlib import Path

import pytest

from lunet_networks.authoring.samples.demo import demo


@pytest.mark.slow
def test_the_demo_leaves_what_it_names(tmp_path: Path, capfd: pytest.CaptureFixture) -> None:
    demo(output_dir=str(tmp_path / "demo"), num_cases=10, epochs=2)
    said = capfd.readouterr().out
    assert "mean Dice" in said
    for name in ("run/report.html", "run/curves.png", "run/overlay.png", "run/cases.csv", "models/model.pt"):
        assert (tmp_path / "demo" / name).stat().st_size > 0, name
    assert len(list((tmp_path / "demo" / "labels").glob("*_seg.nii.gz"))) == 8
