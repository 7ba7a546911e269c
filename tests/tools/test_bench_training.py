"""The table of training speed is written where it belongs, whatever the speed."""

import pytest

from tools.bench_training import bench_training


@pytest.mark.slow
def test_a_row_for_each_network_and_batch_size(tiny_dataset, tmp_path):
    document = tmp_path / "speed.md"
    document.write_text(
        "before\n<!-- training: written by python -m tools.bench_training -->\n<!-- end of training -->\nafter\n"
    )
    bench_training(str(tiny_dataset), "lunet_small_1f", 1, cases=2, rounds=1, num_threads=1, document=str(document))
    text = document.read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if "`lunet" in line]
    assert [row[:2] for row in rows] == [["`lunet_small_1f`", "1"]]
    assert all(float(cell) > 0 for row in rows for cell in row[2:])
    assert len(list(tmp_path.iterdir())) == 1


def test_a_network_without_a_bundle(tiny_dataset):
    with pytest.raises(ValueError, match=r"--networks has unet_medium: no bundle"):
        bench_training(str(tiny_dataset), "unet_medium", 1)


def test_a_batch_larger_than_an_epoch(tiny_dataset):
    with pytest.raises(ValueError, match=r"--batch_sizes has 16, --cases is 8"):
        bench_training(str(tiny_dataset), batch_sizes=16, cases=8)
