import math

import pytest

from lunet_networks.bundle.curves import Curves
from lunet_networks.bundle.history import History


@pytest.mark.parametrize("validated", [(), (2, 4)], ids=["never validated", "every other epoch"])
def test_curves_of_a_history(tmp_path, validated):
    history = History(tmp_path, "val_mean_dice", ["anterior", "posterior"])
    for epoch in range(1, 6):
        history.rows.append({"epoch": epoch, "loss": 1 / epoch, "train_mean_dice": 0.1 * epoch})
        if epoch in validated:
            history.rows[-1] |= {"val_mean_dice": 0.2 * epoch, "val_anterior": 0.2 * epoch, "val_posterior": math.nan}
    loss, dice = Curves(tmp_path, history).draw().axes
    assert list(loss.lines[0].get_xdata()) == [1, 2, 3, 4, 5]
    curves = {line.get_label(): list(line.get_xdata()) for line in dice.lines}
    assert curves["training"] == [1, 2, 3, 4, 5]
    for name in ("mean", "anterior", "posterior"):
        assert curves[f"validation, {name}"] == list(validated)
    assert ("best model: epoch 4" in curves) == bool(validated)
