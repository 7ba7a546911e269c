"""The picture of trainings names every one of them, and cases that could not be measured are left out."""

import csv
import json
import math

import pytest

from lunet_networks.bundle.evaluation.metrics import WHOLE, CaseMetrics
from lunet_networks.bundle.evaluation.tables import case_rows, summary_rows, write_csv
from tools.compare_trainings import Training, _difference, _read, _table, draw_trainings


def test_every_training_is_named_in_both_charts() -> None:
    dice = {"lunet_small_4f": 0.86, "unet_small_4f": 0.87, "mednext_small": 0.87}
    trainings = [
        Training(name, {}, [], {}, {"case": value}, parameters=1000 * number, macs=0, seconds=20.0 + number)
        for number, (name, value) in enumerate(dice.items(), start=1)
    ]
    figure = draw_trainings(trainings)
    for axes in figure.axes:
        assert [text.get_text() for text in axes.texts] == [*dice]
    assert [text.get_text() for text in figure.legends[0].texts] == ["lean", "channels grow from level to level"]


def test_what_could_not_be_measured_is_left_out(tmp_path) -> None:
    folder = tmp_path / "run" / "eval"
    hit, absent = CaseMetrics(0.5, 1.0, 1.0, 2.0, 2.0), CaseMetrics(math.nan, math.nan, math.nan, 0.0, 0.0)
    measured = {
        "a": {"anterior": hit, "posterior": absent, WHOLE: hit},
        "b": {"anterior": absent, "posterior": absent, WHOLE: absent},
    }
    write_csv(folder / "cases.csv", case_rows(measured))
    write_csv(folder / "summary.csv", summary_rows(measured, "validation", chose_best_model=True))
    settings = {"preset": "lunet_small_1f", "in_channels": 1, "label_names": ["anterior", "posterior"]}
    (folder / "run.json").write_text(json.dumps({"settings": settings, "cases": {"validation": ["a", "b"]}}))
    with open(folder / "history.csv", "w") as file:
        csv.writer(file).writerows([["seconds"], ["3"]])
    training = _read(folder, tmp_path)
    assert training.dice == {"a": 0.5}
    assert "| 0.500 | - | 1.00 | - | 1.000 | - |" in _table([training])
    assert _difference({"a": 0.5, "b": 0.1}, training.dice) == pytest.approx((0, 0, 0))
