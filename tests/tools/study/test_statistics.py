"""Differences over cases and seeds, with known answers."""

import numpy as np
import pytest

from lunet_networks.authoring.comparing.intervals import difference
from tools.study.statistics import paired_difference

CASES = np.random.default_rng(1).uniform(0.6, 0.9, (3, 40))


def test_the_same_difference_in_every_case_and_seed_is_sure() -> None:
    one = np.tile(CASES[:1], (3, 1))
    found = paired_difference(one - 0.02, one)
    assert (found.mean, found.low, found.high) == pytest.approx((-0.02, -0.02, -0.02))


def test_with_one_seed_it_is_the_bootstrap_over_cases_of_score() -> None:
    one, other = CASES[0].copy(), CASES[1]
    one[3] = np.nan
    found, known = paired_difference(one[None], other[None]), difference(one, other)
    assert (found.mean, found.low, found.high) == pytest.approx((known.mean, known.low, known.high), abs=1e-6)


def test_seeds_that_differ_widen_the_interval() -> None:
    same, base = np.tile(CASES[:1], (3, 1)), CASES[:1]
    apart = same + np.array([[-0.05], [0.0], [0.05]])
    sure, unsure = paired_difference(same, base), paired_difference(apart, base)
    assert unsure.mean == pytest.approx(sure.mean)
    assert sure.low == sure.high == 0
    assert (unsure.low, unsure.high) == pytest.approx((-0.05, 0.05))


def test_the_order_turns_the_sign_and_few_cases_have_no_interval() -> None:
    assert paired_difference(CASES, CASES[:2]).mean == -paired_difference(CASES[:2], CASES).mean
    few = paired_difference(CASES[:, :4], CASES[:1, :4])
    assert np.isnan([few.low, few.high]).all()
