"""Interrupted anywhere and resumed, a training ends with what an uninterrupted one ends with, bit for bit."""

import multiprocessing
import random
import time

import pytest

from tests.helpers.killing import Killed
from tests.helpers.trainable import same_results


def test_death_before_any_of_the_files_of_a_run(new_bundle, killed_before_write):
    uninterrupted = new_bundle("uninterrupted")
    uninterrupted.train(epochs=2)
    # run.json; in each epoch history.csv, checkpoint.pt and, if it is the best, run.json and model.pt; curves.png
    uninterrupted_writes = 1 + 2 * 4 + 1
    killed = new_bundle("killed")
    survived = 0
    for number in range(1, uninterrupted_writes + 2):
        killed_before_write(number)
        try:
            killed.train(epochs=2, resume=True, num_workers=number % 2)
            survived += 1
        except Killed:
            continue
        assert same_results(killed, uninterrupted)
    assert survived
    assert not list(killed.eval.glob("model_before_*"))  # no model.pt was taken for another run's


def test_killed_processes(new_bundle):
    uninterrupted, killed = new_bundle("uninterrupted"), new_bundle("killed")
    uninterrupted.train(epochs=4)
    kill_when_there(killed, killed.eval / "run.json")
    kill_when_there(killed, killed.checkpoint)
    killed.train(epochs=4, resume=True)
    assert same_results(killed, uninterrupted)
    assert not list(killed.root.rglob("*.tmp"))
    assert not list(killed.eval.glob("model_before_*"))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_killed_at_random_moments(new_bundle, seed):
    uninterrupted, killed = new_bundle("uninterrupted"), new_bundle("killed")
    started = time.monotonic()
    assert uninterrupted.start(epochs=8).wait() == 0
    seconds = time.monotonic() - started
    moments = random.Random(seed)
    for number in range(6):
        process = killed.start(epochs=8, resume=True, num_workers=number % 3)
        time.sleep(moments.uniform(0.3, 1) * seconds)
        process.kill()
        process.wait()
    assert killed.start(epochs=8, resume=True).wait() == 0
    assert same_results(killed, uninterrupted)


@pytest.mark.slow
@pytest.mark.parametrize("start", ["spawn", "forkserver"])
def test_with_workers_that_are_no_copies_of_this_process(new_bundle, start):
    alone, with_workers = new_bundle("alone"), new_bundle("with_workers")
    alone.train(epochs=2)
    alone.train(epochs=4, resume=True)
    before = multiprocessing.get_start_method()
    multiprocessing.set_start_method(start, force=True)
    try:
        with_workers.train(epochs=2, num_workers=2)
        with_workers.train(epochs=4, num_workers=1, resume=True)
    finally:
        multiprocessing.set_start_method(before, force=True)
    assert same_results(with_workers, alone)


def test_a_longer_run_goes_on_where_a_finished_one_ended(bundle):
    bundle.train(epochs=1, scheduler_name="none")
    first = bundle.history()
    longer = bundle.workflow(epochs=2, scheduler_name="none", resume=True)
    longer.run()
    assert bundle.history()[:1] == first
    assert len(bundle.history()) == 2
    state = longer.parser.get_parsed_content("train#trainer").state
    assert (state.epoch, state.iteration) == (2, 2 * state.epoch_length)


def test_a_finished_run_is_left_as_it_is(bundle):
    bundle.train(epochs=1)
    model, history = bundle.model.read_bytes(), bundle.history()
    bundle.train(epochs=1, resume=True)
    assert bundle.model.read_bytes() == model
    assert bundle.history() == history


def test_early_stop_counts_on(new_bundle):
    settings = {"epochs": 6, "early_stop_patience": 2, "learning_rate": 1e-9, "scheduler_name": "none"}
    uninterrupted, resumed = new_bundle("uninterrupted"), new_bundle("resumed")
    uninterrupted.train(**settings)
    epochs = len(uninterrupted.history())
    assert 3 <= epochs < 6
    resumed.train(**{**settings, "epochs": 2})
    resumed.train(**settings, resume=True)
    assert same_results(resumed, uninterrupted)
    resumed.train(**settings, resume=True)
    assert same_results(resumed, uninterrupted)


def kill_when_there(bundle, path) -> None:
    """Train in a process of its own until ``path`` has been written anew, and kill it."""
    before = path.stat().st_mtime_ns if path.exists() else None
    process = bundle.start(epochs=4, resume="true", num_workers=1)
    while process.poll() is None and (not path.exists() or path.stat().st_mtime_ns == before):
        time.sleep(0.01)
    assert process.poll() is None, "it ended by itself"
    process.kill()
    process.wait()
