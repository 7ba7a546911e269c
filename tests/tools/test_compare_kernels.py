"""Trainings with kernels and without are recorded epoch by epoch, and their table is written where it belongs."""

import pytest

from tools.compare_kernels import FIELDS, NAME, TRAINING, add_row, read_rows, table, train


def test_a_training_leaves_a_row_for_each_epoch_and_a_line_of_the_table(tiny_dataset, tmp_path):
    records, document = tmp_path / "records.csv", tmp_path / "speed.md"
    document.write_text(f"<!-- {NAME}: written by python -m tools.compare_kernels table -->\n<!-- end of {NAME} -->\n")
    train(str(tiny_dataset), "auto", seed=3, epochs=2, batch_size=3, records=str(records))
    rows = read_rows(records)
    assert [(row["seed"], row["kernels"], row["epoch"]) for row in rows] == [("3", "auto", "1"), ("3", "auto", "2")]
    assert 0 < float(rows[0]["processor"]) < float(rows[1]["processor"])
    table(str(records), str(document))
    (line, below) = (line for line in document.read_text().splitlines() if "`lunet_small_4f`" in line)
    assert line.startswith(f"| {tiny_dataset.name}, `lunet_small_4f`, 3 | 3 | auto | 2 |")
    assert below.endswith(f" Not run: {tiny_dataset.name}, `lunet_small_4f`, 3, seed 3 with `--kernels off`.")


def test_a_training_that_is_done_again_replaces_its_rows(tmp_path):
    path, row = tmp_path / "records.csv", dict.fromkeys(FIELDS, "1")
    for kernels, epoch in (("off", 1), ("auto", 1), ("auto", 2), ("auto", 1)):
        add_row(path, {**row, "kernels": kernels, "epoch": epoch})
    assert [(each["kernels"], each["epoch"]) for each in read_rows(path)] == [("off", "1"), ("auto", "1")]
    assert set(TRAINING) < set(FIELDS)


def test_kernels_are_auto_or_off(tmp_path):
    with pytest.raises(ValueError, match="kernels is 'on': it has to be one of auto, off"):
        train(str(tmp_path), "on")
