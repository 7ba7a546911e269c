"""Settings are checked, and a wrong value is named with what would be right."""

from pathlib import Path

import pytest

from lunet_networks.bundle.runtime.settings import SETTINGS, check_settings


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
        ("label_names", "tumour", "a list of names"),
        ("label_names", [], "a list of names"),
        ("ignore_label", 0, "at least 1"),
        ("overlap", 1, "below 1"),
        ("ema_decay", 1, "below 1"),
        ("foreground_prior", -0.1, "at least 0 and below 1"),
    ],
)
def test_a_wrong_value_is_named_with_what_would_be_right(name, value, right):
    with pytest.raises(ValueError, match=right) as caught:
        check_settings(**{name: value})
    assert str(caught.value).startswith(f"{name} is {value!r}: ")


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"deep_training": "cosine"}, "ema_decay is 0.9: blocks that change .* or --deep_training none"),
        ({"channels_per_step": 4}, "ema_decay is 0.9: a network that loses layers cannot be averaged"),
        ({"branches_per_step": 1}, "ema_decay is 0.9: a network that loses layers cannot be averaged"),
    ],
)
def test_what_cannot_be_averaged(other, message):
    assert check_settings(ema_decay=0, **other) == {"ema_decay": 0.0, **other}
    with pytest.raises(ValueError, match=message):
        check_settings(ema_decay=0.9, **other)


def test_a_head_has_one_start():
    assert check_settings(foreground_prior="0.1", pretrained=None) == {"foreground_prior": 0.1, "pretrained": None}
    with pytest.raises(ValueError, match=r"foreground_prior is 0.1: .*give --foreground_prior 0, or no --pretrained"):
        check_settings(foreground_prior=0.1, pretrained="model.pt")


def test_settings_without_a_check_pass():
    assert check_settings(preset="lunet_small_2f", shape=3) == {"preset": "lunet_small_2f", "shape": 3}


@pytest.mark.parametrize("text", ["1e-3", "1E-3", "0.001", ".001"])
def test_numbers_that_yaml_takes_for_texts(text):
    assert check_settings(learning_rate=text, dropout=text) == {"learning_rate": 0.001, "dropout": 0.001}
    with pytest.raises(ValueError, match="learning_rate is '1e-3x': it has to be a number above 0"):
        check_settings(learning_rate="1e-3x")
    with pytest.raises(ValueError, match="learning_rate is '-1': it has to be a number above 0"):
        check_settings(learning_rate="-1")
    given = {"overlap": [text, 0.5], "tolerance": text, "stop_fraction": text}
    assert check_settings(**given) == {"overlap": [0.001, 0.5], "tolerance": 0.001, "stop_fraction": 0.001}
    with pytest.raises(ValueError, match=r"overlap is '1\.5': it has to be a number of at least 0 and below 1"):
        check_settings(overlap="1.5")


def test_one_number_or_one_for_each_axis():
    assert check_settings(pixdim=(1, 1, 2), roi_size=32) == {"pixdim": [1.0, 1.0, 2.0], "roi_size": 32}


def test_a_path_is_recorded_as_a_text():
    assert check_settings(pretrained=Path("models/model.pt")) == {"pretrained": "models/model.pt"}
    assert check_settings(pretrained=None) == {"pretrained": None}


def test_what_is_no_setting_is_refused():
    with pytest.raises(ValueError, match=r"a setting is .epoch.: it has to be one of .*epochs"):
        check_settings(epoch=3)


def test_one_overlap_or_one_for_each_axis():
    assert check_settings(overlap=0.5) == {"overlap": 0.5}
    assert check_settings(overlap=(0.5, 0, 0.25)) == {"overlap": [0.5, 0.0, 0.25]}
    with pytest.raises(ValueError, match="overlap is 1: it has to be a number of at least 0 and below 1"):
        check_settings(overlap=[0.5, 1])


def test_what_does_not_change_the_result_may_change_when_a_training_is_resumed():
    assert [name for name, setting in SETTINGS.items() if not setting.changes_result and not setting.may_change] == []
