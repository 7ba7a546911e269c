"""Progressive pruning is a function of the losses; the published one decides at the wrong moments."""

import json
import math
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lunet_networks.pruning.progressive import LOSSES, ProgressiveSchedule

ROWS = st.lists(st.tuples(*[st.floats(-2, 2)] * 3), min_size=1, max_size=60)


def run(schedule: ProgressiveSchedule, rows) -> list[str]:
    """The actions for losses of every epoch: one for all three, or one each."""
    rows = [row if isinstance(row, tuple) else (row,) * 3 for row in rows]
    return [schedule.update(dict(zip(LOSSES, row, strict=True))) for row in rows]


def test_it_prunes_when_no_loss_has_fallen_for_ten_epochs():
    schedule = ProgressiveSchedule(epochs=1000, step=2)
    assert run(schedule, [1.0, 0.5] + [0.6] * 9) == ["nothing"] * 11
    assert run(schedule, [0.6]) == ["prune"]
    assert run(schedule, [0.5] * 10) == ["nothing"] * 10
    assert run(schedule, [0.5]) == ["prune"]
    assert schedule.step == 2


@pytest.mark.parametrize("late", range(3))
def test_all_three_losses_have_to_converge(late):
    schedule = ProgressiveSchedule(epochs=1000, step=2)
    rows = [tuple(1 - 0.01 * epoch if k == late else 0.5 for k in range(3)) for epoch in range(30)]
    assert set(run(schedule, rows)) == {"nothing"}
    assert run(schedule, [(0.9,) * 3] * 10)[-1] == "prune"


@pytest.mark.parametrize("worse", range(3))
def test_a_loss_that_does_not_come_back_restores_with_a_smaller_step(worse):
    schedule = ProgressiveSchedule(epochs=1000, step=2)
    assert run(schedule, [1.0] + [0.5] * 11)[-1] == "prune"
    rows = [tuple(0.51 if k == worse else 0.5 for k in range(3))] * 11
    assert run(schedule, rows) == ["nothing"] * 10 + ["restore"]
    assert schedule.step == 1
    assert run(schedule, [0.49] * 11)[-1] == "prune"
    assert run(schedule, [0.6] * 11)[-1] == "stop"
    assert schedule.finished
    assert set(run(schedule, [0.1, *[0.4] * 40])) == {"nothing"}


def test_a_loss_that_is_worse_by_less_than_the_tolerance_goes_on():
    schedule = ProgressiveSchedule(epochs=1000, step=1, tolerance=0.01)
    assert run(schedule, [1.5] + [0.5] * 11)[-1] == "prune"
    assert run(schedule, [0.509] * 11)[-1] == "prune"
    assert run(schedule, [0.511] * 11)[-1] == "stop"


@pytest.mark.parametrize("epochs", [5, 20, 29, 1000])
@pytest.mark.parametrize("falling", [True, False])
def test_it_stops_at_two_fifths_of_the_epochs_whether_converged_or_not(epochs, falling):
    """The published one waits for a convergence, and removes once more what had only been masked."""
    schedule = ProgressiveSchedule(epochs=epochs, step=1)
    actions = run(schedule, [1 - epoch / 2000 if falling else 0.5 for epoch in range(epochs)])
    assert actions.index("stop") + 1 == math.ceil(0.4 * epochs)
    assert set(actions[actions.index("stop") + 1 :]) <= {"nothing"}
    assert ("prune" in actions) is (not falling and 0.4 * epochs > 11)


def test_a_convergence_in_the_last_epoch_of_pruning_removes_nothing():
    schedule = ProgressiveSchedule(epochs=55, step=1)
    assert run(schedule, [0.5] * 22) == ["nothing"] * 10 + ["prune"] + ["nothing"] * 10 + ["stop"]


@given(rows=ROWS, scale=st.sampled_from((0.25, 1.0, 8.0)), shift=st.sampled_from((-4.0, 0.0, 16.0)))
@settings(deadline=None)
def test_it_does_not_matter_on_which_scale_a_loss_is(rows, scale, shift):
    """A loss with a negative Dice is one minus a constant; in eighths nothing is rounded."""
    rows = [tuple(round(loss * 64) / 64 for loss in row) for row in rows]
    moved = [(total * scale + shift, l1, l2) for total, l1, l2 in rows]
    schedules = [ProgressiveSchedule(epochs=100, step=2, patience=2, tolerance=0.125) for _ in range(2)]
    assert run(schedules[0], rows) == run(schedules[1], moved)


@given(rows=ROWS, cut=st.integers(0, 60), step=st.integers(1, 3), patience=st.integers(1, 4))
@settings(deadline=None)
def test_resumed_anywhere_it_decides_the_same(rows, cut, step, patience):
    """The published state is written when the training has ended."""
    whole = ProgressiveSchedule(epochs=100, step=step, patience=patience)
    actions = run(whole, rows)
    first, second = (ProgressiveSchedule(epochs=100, step=step, patience=patience) for _ in range(2))
    before = run(first, rows[:cut])
    second.load(json.loads(json.dumps(first.state())))
    assert before + run(second, rows[cut:]) == actions
    assert second.state() == whole.state()


@given(rows=ROWS, step=st.integers(1, 3), patience=st.integers(1, 4))
@settings(deadline=None)
def test_events_keep_their_distance_and_every_restoration_costs_a_branch(rows, step, patience):
    schedule = ProgressiveSchedule(epochs=100, step=step, patience=patience)
    actions = run(schedule, rows)
    events = [epoch for epoch, action in enumerate(actions, start=1) if action in ("prune", "restore")]
    assert all(later - earlier > patience for earlier, later in pairwise([0, *events]))
    assert actions.count("stop") <= 1
    if "stop" not in actions:
        assert schedule.step == step - actions.count("restore") >= 1


def test_when_nothing_is_left_to_prune_it_asks_for_nothing():
    schedule = ProgressiveSchedule(epochs=1000, step=1)
    schedule.finish()
    assert set(run(schedule, [0.5] * 500)) == {"nothing"}


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"epochs": 0}, "epochs is 0: it has to be a whole number of at least 1"),
        ({"step": 0}, "step is 0: it has"),
        ({"step": 1.5}, "step is 1.5: it has"),
        ({"patience": True}, "patience is True"),
        ({"tolerance": -0.1}, "tolerance is -0.1: it has to be a share of at least 0"),
        ({"stop_fraction": 1.2}, "stop_fraction is 1.2: it has to be a share above 0 and up to 1"),
        ({"stop_fraction": "0.4"}, "stop_fraction is '0.4'"),
    ],
)
def test_settings_that_make_no_schedule(keywords, message):
    with pytest.raises(ValueError, match=message):
        ProgressiveSchedule(**{"epochs": 100, "step": 1, **keywords})


def test_losses_that_steer_nothing():
    schedule = ProgressiveSchedule(epochs=100, step=1)
    with pytest.raises(ValueError, match="the loss l2 of epoch 1 is missing"):
        schedule.update({"total": 1, "l1": 1})
    with pytest.raises(ValueError, match="the loss l1 of epoch 1 is nan"):
        schedule.update({"total": 1, "l1": math.nan, "l2": 1})
    assert schedule.losses == []
