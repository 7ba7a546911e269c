"""The table of exports says what was measured."""

import pytest

from tools.make_export_table import Figures, make_export_table, table

FIGURES = Figures(
    kilobytes={"onnx": 55.6},
    difference={"onnx": 1.2e-6},
    voxels={"eager": 0, "onnx": 1234},
    volumes=(2, 50_000),
    dice={"eager": {"a": 0.9, "b": 0.8}, "onnx": {"a": 0.90001, "b": 0.7}},
    milliseconds={"eager": 40.0, "onnx": 10.0},
)


def test_a_row_a_backend():
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table(FIGURES).splitlines()]
    assert rows[2] == ["`eager`", "", "", "", "0.9000, 0.8000", "40.0", "1.00"]
    assert rows[3] == ["`onnx`", "56", "1e-06", "1,234", "0.9000, 0.7000", "10.0", "0.25"]
    assert len({len(row) for row in rows}) == 1


@pytest.mark.slow
def test_it_is_written_between_the_marks(tiny_dataset, tmp_path):
    document = tmp_path / "export.md"
    document.write_text(
        "before\n<!-- exports: written by python -m tools.make_export_table -->\n<!-- end of exports -->\nafter\n"
    )
    make_export_table(str(tiny_dataset), "lunet_small", 1, rounds=1, num_threads=1, document=str(document))
    text = document.read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    for backend in ("eager", "torchscript", "onnx", "openvino", "openvino_int8"):
        assert f"| `{backend}` |" in text
    assert "in 1 validation volumes" in text
    assert "medians of 1 rounds" in text
