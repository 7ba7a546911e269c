import pytest

from lunet_networks.bundle.runtime.settings import check_settings


@pytest.mark.parametrize(
    ("given", "meant"), [(True, True), ("True", True), ("true", True), (False, False), ("false", False)]
)
def test_booleans_of_the_command_line(given, meant):
    assert check_settings(resume=given) == {"resume": meant}


@pytest.mark.parametrize(
    ("name", "value", "right"),
    [
        ("resume", "yes", "True or False"),
        ("augment", 1, "True or False"),
        ("amp", None, "True or False"),
        ("loss_name", "focal", "dice, bce, dice_bce"),
        ("loss_name", None, "dice, bce, dice_bce"),
        ("deep_training", True, "none, cosine, linear"),
        ("optimizer_name", "lion", "adam, adamw, sgd"),
        ("scheduler_name", ["poly"], "none, cosine, step, poly"),
        ("epochs", 0, "at least 1"),
        ("epochs", "ten", "at least 1"),
        ("batch_size", True, "at least 1"),
        ("num_folds", 1, "at least 2"),
        ("fold", -1, "at least 0"),
        ("seed", 1.5, "at least 0"),
        ("learning_rate", 0, "above 0"),
        ("learning_rate", float("nan"), "above 0"),
        ("cache_rate", 2, "from 0 to 1"),
    ],
)
def test_a_wrong_value_is_named_with_what_would_be_right(name, value, right):
    with pytest.raises(ValueError, match=right) as caught:
        check_settings(**{name: value})
    assert str(caught.value).startswith(f"{name} is {value!r}: ")


def test_settings_without_a_check_pass():
    assert check_settings(preset="lunet_small_2f", pixdim=[1, 1, 2]) == {
        "preset": "lunet_small_2f",
        "pixdim": [1, 1, 2],
    }
