"""history.csv and which epoch is the best."""

import csv
import math

import pytest
from ignite.engine import Engine
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from lunet_networks.bundle.report.found_training import read_history
from lunet_networks.bundle.training.history import CRITERIA, KEY_METRIC, TRAIN_METRIC, EpochRecorder, History
from lunet_networks.bundle.training.progress import TensorBoard


@pytest.fixture
def history(tmp_path):
    history = History(tmp_path, ["anterior", "posterior"])
    for epoch, dice in enumerate([None, 0.5, 0.7, 0.7, None, 0.6], start=1):
        row = {"epoch": epoch, "loss": 1.0 / epoch, "train_mean_dice": 0.4, "learning_rate": 0.01, "seconds": 1.5}
        if dice is not None:
            row |= {"val_mean_dice": dice, "val_anterior": dice, "val_posterior": math.nan}
        history.rows.append(row)
    return history


def test_the_first_of_equally_good_epochs_is_the_best(history):
    assert history.best["epoch"] == 3
    assert history.validations_since_best == 2


def test_before_the_first_validation_none_is_best(history):
    history.rows = history.rows[:1]
    assert history.best is None
    assert history.validations_since_best == 0


def test_an_epoch_that_is_no_candidate_is_never_the_best(history):
    for row in history.rows:
        row["candidate"] = int(row["epoch"] in (2, 5, 6))
    assert history.best["epoch"] == 6
    history.rows.append({"epoch": 7, "val_mean_dice": 0.65, "candidate": 0})
    assert history.validations_since_best == 0
    history.rows = history.rows[:1]
    assert history.best is None


def test_what_handlers_note_comes_last(history):
    history.rows[3]["slope"] = 0.25
    history.write()
    with open(history.path, newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0])[-1] == "slope"
    assert [row["slope"] for row in rows] == ["", "", "", "0.25", "", ""]


def test_the_file_has_a_row_an_epoch_and_empty_cells_where_nothing_was_validated(history):
    history.write()
    with open(history.path, newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2", "3", "4", "5", "6"]
    assert [row["val_mean_dice"] for row in rows] == ["", "0.5", "0.7", "0.7", "", "0.6"]
    assert rows[1]["val_posterior"] == "nan"
    assert list(rows[0]) == [
        *("epoch", "loss", "train_mean_dice", "learning_rate", "seconds", "cpu_seconds"),
        *("val_mean_dice", "val_anterior", "val_posterior"),
    ]


def history_of(tmp_path, *columns):
    """A history whose rows have the key metric, the Dice in training and the loss of ``columns``."""
    history = History(tmp_path, ["anterior"])
    for epoch, values in enumerate(zip(*columns, strict=True), start=1):
        history.rows.append({"epoch": epoch, **dict(zip(CRITERIA, values, strict=True))})
    return history


@pytest.mark.parametrize("order", [1, -1])
def test_what_was_not_measured_is_never_the_best(tmp_path, order):
    dice = [math.nan, 0.5, 0.7, math.nan][::order]
    history = history_of(tmp_path, dice, [0.9, 0.1, 0.2, 0.8][::order], [1.0] * 4)
    assert history.best[KEY_METRIC] == 0.7
    assert history.criterion == KEY_METRIC
    assert history.validations_since_best == (1 if order == 1 else 2)


def test_without_a_measurement_in_validation_the_dice_in_training_chooses_the_best(tmp_path):
    history = history_of(tmp_path, [math.nan] * 4, [math.nan, 0.4, 0.6, 0.6], [0.1, 0.5, 0.4, 0.3])
    assert (history.best["epoch"], history.criterion, history.validations_since_best) == (3, TRAIN_METRIC, 1)


def test_without_any_measurement_the_lowest_loss_chooses_the_best(tmp_path):
    history = history_of(tmp_path, [math.nan] * 3, [math.nan] * 3, [0.5, 0.3, 0.4])
    assert (history.best["epoch"], history.criterion, history.validations_since_best) == (2, "loss", 1)


def test_the_best_of_the_first_epochs_is_the_best_or_the_newest_of_more(tmp_path):
    """So that the weights of the best epoch are always those that were written last."""
    history = history_of(
        tmp_path,
        [math.nan, math.nan, 0.0, 0.5, math.nan, 0.4],
        [math.nan, 0.3, 0.2, math.nan, 0.9, 0.1],
        [0.2, 0.5, 0.6, 0.7, 0.1, 0.3],
    )
    rows, before = history.rows, None
    for number in range(1, len(rows) + 1):
        history.rows = rows[:number]
        assert history.best["epoch"] in (number, before)
        before = history.best["epoch"]
    assert before == 4


def test_any_name_of_a_label_comes_back(tmp_path):
    names = ["$1 / 0", "a, b", "\"c\" 'd'", "e/f", "#1", " g ", "=1+1", "肝臓"]
    history = History(tmp_path, names)
    history.rows.append({"epoch": 1, "val_mean_dice": 0.5, **dict.fromkeys(history.label_columns, 0.25)})
    history.write()
    assert read_history(tmp_path / "history.csv", names).rows == history.rows
    engine = Engine(lambda engine, batch: None)
    TensorBoard(tmp_path, history).attach(engine)
    engine.run([0])
    found = EventAccumulator(str(tmp_path / "tensorboard")).Reload().Tags()["scalars"]
    assert sorted(found) == sorted(["val_mean_dice", *history.label_columns])


def test_a_line_says_why_a_worse_epoch_is_the_best_so_far(history):
    recorder = EpochRecorder(history, None, None)
    history.rows = [{**row, "candidate": int(row["epoch"] > 3)} for row in history.rows if "val_mean_dice" in row]
    lines = []
    for number in range(1, 5):
        rows, history.rows = history.rows, history.rows[:number]
        lines.append(recorder._line(history.rows[-1], max_epochs=6))
        history.rows = rows
    assert lines[1].endswith("validation 0.700 (anterior 0.700, posterior -), cannot be the best model yet; 4 s left")
    assert "best so far: the first epoch that can be the best model" in lines[2]
    assert lines[3].endswith("validation 0.600 (anterior 0.600, posterior -)")
