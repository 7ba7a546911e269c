"""The table of training steps of presets is written where it belongs, whatever the speed."""

from tools import bench_training_presets as tool


def test_a_row_for_each_preset(tmp_path, monkeypatch):
    monkeypatch.setattr(tool, "SHAPES", {3: (2, 1, 16, 16, 16), 2: (2, 1, 32, 32)})
    document = tmp_path / "kernels.md"
    document.write_text(f"<!-- {tool.NAME}: written by {tool.COMMAND} -->\n<!-- end of {tool.NAME} -->\n")
    tool.bench_training_presets("lunet_small_1f,unet_small_1f", rounds=1, document=str(document))
    rows = [line for line in document.read_text().splitlines() if "_1f`" in line]
    assert [row.split("`")[1] for row in rows] == ["lunet_small_1f", "unet_small_1f"]
    assert all(float(cell) > 0 for row in rows for cell in row.split("|")[2:-1])
