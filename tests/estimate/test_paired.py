"""Paired differences: the textbook's interval, its coverage, and what one seed cannot tell."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from stepsize.estimate.paired import Difference, differences, falls, mean_interval, paired_difference


def test_it_is_the_paired_t_test() -> None:
    mine, others = np.array([1.0, 1.4, 0.9, 1.6]), np.array([0.8, 1.1, 0.85, 1.2])
    found = paired_difference(mine, others)
    ends = stats.ttest_rel(mine, others).confidence_interval(0.95)
    assert found.mean == pytest.approx(0.2375)
    assert (found.low, found.high) == pytest.approx((ends.low, ends.high))
    assert not found.detected
    assert paired_difference(mine, others - 1).detected


def test_several_comparisons_make_it_wider() -> None:
    values = np.array([1.0, 1.2, 0.9])
    alone, many = mean_interval(values), mean_interval(values, comparisons=3)
    ends = stats.ttest_1samp(values, 0).confidence_interval(1 - 0.05 / 3)
    assert alone.high is not None
    assert many.high is not None
    assert many.high > alone.high
    assert (many.low, many.high) == pytest.approx((ends.low, ends.high))


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    rng = np.random.default_rng(3)
    shared = rng.normal(0, 10, (2000, 3, 1))  # what seeds have in common drops out
    runs = shared + rng.normal(0, 1, (2000, 3, 2)) + [0.5, 0.0]
    found = [paired_difference(one[:, 0], one[:, 1]) for one in runs]
    held = [d.low <= 0.5 <= d.high for d in found if d.low is not None and d.high is not None]
    assert len(held) == 2000
    assert np.mean(held) == pytest.approx(0.95, abs=0.015)


def test_two_treatments_differ_as_in_the_paired_t_test() -> None:
    losses = np.array([[0.8, 1.0], [1.1, 1.4], [0.85, 0.9]])
    best, other = differences(losses, 0)
    assert tuple(best) == (0.0, 0.0, 0.0)
    assert tuple(other) == pytest.approx(tuple(paired_difference(losses[:, 1], losses[:, 0])))


@pytest.mark.parametrize(
    ("spreads", "held"), [((1, 1, 1, 1), 0.96), ((3, 1, 1, 1), 0.95), ((1, 1, 1, 3), 0.92)]
)
def test_intervals_from_all_treatments_hold_together_and_are_narrower(
    spreads: tuple[int, ...], held: float
) -> None:
    """Three seeds, four treatments that do not differ, the last taken for the best."""
    rng = np.random.default_rng(5)
    runs = 5 * rng.normal(size=(4000, 3, 1)) + rng.normal(size=(4000, 3, 4)) * spreads
    found = [[one for place, one in enumerate(differences(run, 3)) if place != 3] for run in runs]
    alone = [[paired_difference(run[:, k], run[:, 3], comparisons=3) for k in range(3)] for run in runs]
    assert np.mean([all(not_zero(one) is False for one in row) for row in found]) == pytest.approx(
        held, abs=0.015
    )
    assert np.median([half(one) for row in found for one in row]) < 0.75 * np.median(
        [half(one) for row in alone for one in row]
    )


def half(one: Difference) -> float:
    assert one.low is not None
    assert one.high is not None
    return (one.high - one.low) / 2


def not_zero(one: Difference) -> bool:
    assert one.low is not None
    assert one.high is not None
    return not one.low <= 0 <= one.high


def test_a_fall_is_told_from_the_luck_of_the_held_out_samples() -> None:
    rng = np.random.default_rng(1)
    start = rng.normal(2.3, 0.1, (400, 2, 8))
    lucky = [falls(one, one + rng.normal(0, 0.05, 8)) for one in start]
    assert np.mean(lucky) == pytest.approx(0.05, abs=0.03)
    assert all(falls(one, one - 0.3 + rng.normal(0, 0.05, 8), tries=5) for one in start)
    assert not falls(start[0], np.full((2, 8), np.nan))


def test_one_seed_detects_nothing() -> None:
    found = paired_difference(np.array([2.0]), np.array([1.0]))
    assert not found.detected
    assert tuple(found) == (1.0, None, None)
