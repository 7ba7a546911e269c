"""The picture of trainings names every one of them."""

from tools.compare_trainings import Training, draw_trainings


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
