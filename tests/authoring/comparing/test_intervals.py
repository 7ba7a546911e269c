"""Differences of means and their intervals."""

import math

import numpy as np
import pytest

from lunet_networks.authoring.comparing.intervals import LEAST_CASES, difference


def test_the_interval_is_that_of_paired_differences() -> None:
    rng = np.random.default_rng(1)
    cases = rng.uniform(0.2, 0.9, 60)  # cases differ much more than models
    gain = rng.normal(0.02, 0.03, 60)
    found = difference(cases + gain, cases)
    error = gain.std() / math.sqrt(60)
    assert found.mean == pytest.approx(gain.mean(), abs=1e-5)
    assert found.low == pytest.approx(gain.mean() - 1.96 * error, abs=0.25 * error)
    assert found.high == pytest.approx(gain.mean() + 1.96 * error, abs=0.25 * error)
    assert found.is_sure


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(2)
    found = [difference(rng.normal(0.1, 1, 30), np.zeros(30), seed=seed) for seed in range(200)]
    covered = sum(each.low <= 0.1 <= each.high for each in found)
    assert 0.88 <= covered / 200 <= 0.99


def test_it_is_the_same_each_time_and_with_the_sign_turned() -> None:
    one, other = [0.9, 0.5, 0.7, 0.6, 0.8, 0.4], [0.8, 0.6, 0.5, 0.6, 0.7, 0.5]
    there, back = difference(one, other), difference(other, one)
    assert there == difference(one, other)
    assert (back.mean, back.low, back.high) == pytest.approx((-there.mean, -there.high, -there.low))


def test_a_case_without_a_figure_is_left_out_of_its_own_mean() -> None:
    nothing_there = [0.8] * 9 + [math.nan]  # nothing found where there is nothing
    invented = [0.8] * 9 + [0.0]
    assert difference(nothing_there, invented).mean == pytest.approx(0.08)


def test_few_cases_have_no_interval() -> None:
    found = difference([0.9] * (LEAST_CASES - 1), [0.1] * (LEAST_CASES - 1))
    assert found.mean == pytest.approx(0.8)
    assert not found.is_sure
    assert str(found) == "+0.800"
    assert difference([0.9] * LEAST_CASES, [0.1] * LEAST_CASES).is_sure
