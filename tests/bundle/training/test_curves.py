"""The picture of a training for every kind of history."""

import math

import pytest

from lunet_networks.bundle.runtime.files import write_figure
from lunet_networks.bundle.training.curves import Curves
from lunet_networks.bundle.training.history import History


@pytest.mark.parametrize("validated", [(), (2, 4)], ids=["never validated", "every other epoch"])
@pytest.mark.parametrize("labels", [("anterior", "posterior"), ("lesion",)], ids=["two labels", "one label"])
def test_curves_of_a_history(tmp_path, validated, labels):
    history = History(tmp_path, labels)
    for epoch in range(1, 6):
        history.rows.append(
            {"epoch": epoch, "loss": 1 / epoch, "train_mean_dice": 0.1 * epoch, "learning_rate": 0.01 / epoch}
        )
        if epoch in validated:
            history.rows[-1] |= {"val_mean_dice": 0.2 * epoch, **dict.fromkeys(history.label_columns, math.nan)}
            history.rows[-1][history.label_columns[0]] = 0.2 * epoch
    loss, dice, rate = Curves(tmp_path, history).draw().axes
    assert list(loss.lines[0].get_xdata()) == [1, 2, 3, 4, 5]
    assert rate.lines[0].get_ydata()[1] == pytest.approx(0.005)
    curves = {line.get_label(): list(line.get_xdata()) for line in dice.lines}
    assert curves["training"] == [1, 2, 3, 4, 5]
    for name in labels:
        assert curves[f"validation, {name}"] == list(validated)
    assert ("validation, mean" in curves) == (len(labels) > 1)  # of one label it is the same
    assert ("best model: epoch 4" in curves) == bool(validated)


def test_any_name_of_a_label_is_drawn(tmp_path):
    history = History(tmp_path, ["$x^2$", r"$\frac$", "a_b$", "肝臓"])
    row = {"epoch": 1, "loss": 0.5, "train_mean_dice": 0.5, "learning_rate": 0.01, "val_mean_dice": 0.5}
    history.rows.append({**row, **dict.fromkeys(history.label_columns, 0.5)})
    write_figure(tmp_path / "curves.png", Curves(tmp_path, history).draw())
    assert (tmp_path / "curves.png").stat().st_size > 10_000
