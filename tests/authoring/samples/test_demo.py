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


def test_what_is_there_is_not_replaced_unasked(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(
        FileExistsError, match="is not empty: name another folder, or replace the demo with --overwrite"
    ):
        demo(output_dir=str(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
