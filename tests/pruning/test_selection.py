"""Whatever is selected can be removed, and a channel of every convolution stays."""

from collections import Counter

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lunet_networks.pruning import SELECTIONS, select_channels, targeted_dropout

SCORES = st.dictionaries(
    st.sampled_from([f"encoders.{i}.{k}" for i in range(4) for k in range(2)]),
    st.lists(st.sampled_from([0.0, 0.1, 0.2, 0.5, 1.0]), min_size=1, max_size=6).map(torch.tensor),
    min_size=1,
)


@given(scores=SCORES, selection=st.sampled_from(SELECTIONS), seed=st.integers(0, 99), data=st.data())
def test_a_channel_of_every_convolution_stays(scores, selection, seed, data):
    removable = sum(len(score) - 1 for score in scores.values())
    if removable == 0:
        return
    count = data.draw(st.integers(1, removable))
    removals = select_channels(scores, count, selection, torch.Generator().manual_seed(seed))
    assert len(set(removals)) == len(removals) == count
    assert all(0 <= channel < len(scores[name]) for name, channel in removals)
    assert all(taken < len(scores[name]) for name, taken in Counter(name for name, _ in removals).items())


@given(scores=SCORES, data=st.data())
def test_stamp_takes_the_lowest(scores, data):
    removable = sum(len(score) - 1 for score in scores.values())
    if removable == 0:
        return
    removals = select_channels(scores, data.draw(st.integers(1, removable)))
    highest = max(float(scores[name][channel]) for name, channel in removals)
    for name, score in scores.items():
        stay = [float(value) for channel, value in enumerate(score) if (name, channel) not in removals]
        assert len(stay) == 1 or min(stay) >= highest


@given(scores=SCORES, seed=st.integers(0, 99), data=st.data())
def test_the_random_twin_prunes_the_convolutions_that_stamp_names(scores, seed, data):
    removable = sum(len(score) - 1 for score in scores.values())
    if removable == 0:
        return
    count = data.draw(st.integers(1, removable))
    twins = select_channels(scores, count, "random_in_layer", torch.Generator().manual_seed(seed))
    assert [name for name, _ in twins] == [name for name, _ in select_channels(scores, count)]


def test_the_random_twin_takes_any_channel():
    scores = {"bottleneck.0": torch.tensor([0.1, 0.5, 0.9])}
    taken = {select_channels(scores, 1, "random_in_layer", torch.Generator().manual_seed(s))[0][1] for s in range(50)}
    assert taken == {0, 1, 2}


def test_the_largest_layer_gives_till_others_are_as_wide():
    scores = {"encoders.0.0": torch.zeros(2), "bottleneck.0": torch.ones(5), "bottleneck.1": torch.ones(4)}
    removals = select_channels(scores, 5, "largest_layer", torch.Generator().manual_seed(0))
    assert Counter(name for name, _ in removals) == {"bottleneck.0": 3, "bottleneck.1": 2}


@pytest.mark.parametrize("count", [0, 4])
def test_more_than_there_is(count):
    with pytest.raises(ValueError, match=rf"{count} channels cannot be removed: the network can lose 3"):
        select_channels({"bottleneck.0": torch.zeros(4), "bottleneck.1": torch.zeros(1)}, count)


def test_scores_and_selections_that_are_none():
    with pytest.raises(ValueError, match="a score is nan"):
        select_channels({"bottleneck.0": torch.tensor([0.1, float("nan")])}, 1)
    with pytest.raises(ValueError, match="no selection 'widest'; there are stamp, random_in_layer, largest_layer"):
        select_channels({"bottleneck.0": torch.zeros(2)}, 1, "widest")


@given(scores=SCORES)
def test_dropout_is_between_none_and_the_most(scores):
    dropout = targeted_dropout(scores, most=0.1)
    assert dropout.keys() == scores.keys()
    assert all(0 <= p <= 0.1 for p in dropout.values())
    if sum(map(len, scores.values())) > 1:
        assert max(dropout.values()) == pytest.approx(0.1)


def test_equal_scores_count_as_often_as_they_are():
    """Published code keeps the scores as keys of a dictionary, where equal ones are one."""
    dropout = targeted_dropout({"encoders.0.0": torch.zeros(3), "bottleneck.0": torch.ones(3)})
    assert dropout == {"encoders.0.0": pytest.approx(0.1), "bottleneck.0": pytest.approx(0.1 * 3 / 12)}
    assert targeted_dropout({"encoders.0.0": torch.zeros(1)}) == {"encoders.0.0": 0.0}
