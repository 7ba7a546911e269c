"""The time that a training still takes."""

import pytest

from lunet_networks.bundle.training.time_left import in_words, time_left


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 s"), (99, "99 s"), (100, "2 min"), (3569, "59 min"), (3599, "1 h 0 min"), (7380, "2 h 3 min")],
)
def test_a_time_has_one_or_two_units(seconds, words):
    assert in_words(seconds) == words


def test_a_slow_epoch_does_not_count_for_the_others():
    rows = [{"epoch": epoch, "seconds": 1000.0 if epoch == 2 else 60.0} for epoch in (1, 2, 3)]
    assert time_left(rows, 13) == "10 min left"


def test_behind_the_last_epoch_nothing_is_left():
    assert time_left([{"epoch": 5, "seconds": 60.0}], 5) == ""
