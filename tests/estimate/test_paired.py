"""Paired differences: the textbook's interval, its coverage, and what one seed cannot tell."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from stepsize.estimate.paired import mean_interval, paired_difference


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


def test_one_seed_detects_nothing() -> None:
    found = paired_difference(np.array([2.0]), np.array([1.0]))
    assert not found.detected
    assert tuple(found) == (1.0, None, None)
