"""The rules that verdicts follow from, on made numbers."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from stepsize.chapter.rules import (
    Difference,
    Verdict,
    all_of,
    best_of,
    difference,
    exact,
    mean_and_interval,
    opposite,
    overtaken,
    rising,
    same,
    share,
    within,
)

NAN = math.nan


def apart(low: float, high: float) -> Difference:
    return Difference(mean=(low + high) / 2, low=low, high=high, ahead=0, seeds=3)


def test_a_difference_is_paired_and_its_interval_is_students() -> None:
    first, second = np.array([0.97, 0.95, 0.96]), np.array([0.96, 0.94, 0.94])
    found = difference(first, second)
    expected = stats.ttest_rel(first, second).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert found.mean == pytest.approx(0.04 / 3)
    assert (found.ahead, found.seeds) == (3, 3)


@pytest.mark.parametrize(
    ("first", "second", "verdict"),
    [
        ([0.97, 0.96, 0.98], [0.96, 0.95, 0.97], "holds"),
        ([0.96, 0.95, 0.97], [0.97, 0.96, 0.98], "does not hold"),
        ([0.97, 0.95, 0.99], [0.96, 0.97, 0.96], "cannot be told"),
        ([0.97], [0.11], "cannot be told"),  # one seed cannot tell a difference from luck
        ([0.97, 0.97, 0.97], [NAN, NAN, 0.97], "holds"),  # most of the others diverged
        ([NAN, NAN, NAN], [0.97, 0.97, 0.97], "does not hold"),
        ([0.97, 0.97, 0.97], [NAN, 0.5, 0.5], "cannot be told"),
        ([NAN, 0.97], [0.97, NAN], "cannot be told"),
    ],
)
def test_who_is_higher(first: list[float], second: list[float], verdict: str) -> None:
    assert difference(first, second).verdict == verdict


def test_differences_must_be_of_paired_seeds() -> None:
    with pytest.raises(ValueError, match=r"alike with S >= 1, but are \(2,\) and \(3,\)"):
        difference([1, 2], [1, 2, 3])


def test_the_best_must_beat_each() -> None:
    best, near, far = [0.97, 0.96, 0.98], [0.969, 0.9615, 0.978], [0.90, 0.89, 0.91]
    assert best_of(best, [far]) == "holds"
    assert best_of(best, [far, near]) == "cannot be told"
    assert best_of(far, [near, best]) == "does not hold"


def test_to_refute_the_best_takes_more_where_there_are_more_rivals() -> None:
    claimed = np.array([0.90, 0.90, 0.90])
    rival = claimed + np.array([0.010, 0.016, 0.022])  # t = 4.6: beyond 4.3 for one, not beyond 7.6 for three
    assert difference(claimed, rival).verdict == "does not hold"
    assert best_of(claimed, [rival]) == "does not hold"
    assert best_of(claimed, [rival, claimed - 0.1, claimed - 0.2]) == "cannot be told"


@pytest.mark.parametrize(
    ("early", "late", "verdict"),
    [
        ((0.01, 0.03), (-0.03, -0.01), "holds"),
        ((0.01, 0.03), (-0.03, 0.01), "cannot be told"),
        ((-0.03, -0.01), (-0.03, -0.01), "does not hold"),  # it never led
        ((0.01, 0.03), (0.01, 0.03), "does not hold"),  # it was never overtaken
        ((-0.01, 0.03), (0.01, 0.03), "does not hold"),
    ],
)
def test_overtaking_needs_both_ends(
    early: tuple[float, float], late: tuple[float, float], verdict: str
) -> None:
    assert overtaken(apart(*early), apart(*late)) == verdict


def test_a_statement_of_several_parts() -> None:
    assert all_of(["holds", "holds"]) == "holds"
    assert all_of(["holds", "cannot be told"]) == "cannot be told"
    assert all_of(["cannot be told", "does not hold", "holds"]) == "does not hold"
    with pytest.raises(ValueError, match="must not be empty"):
        all_of([])


def test_the_contrary() -> None:
    verdicts: tuple[Verdict, ...] = ("holds", "does not hold", "cannot be told")
    assert [opposite(v) for v in verdicts] == ["does not hold", "holds", "cannot be told"]


def test_columns_rise_one_after_the_other() -> None:
    low, middle, high = [0.1, 0.11, 0.12], [0.2, 0.21, 0.22], [0.3, 0.31, 0.33]
    assert rising([low, middle, high]) == "holds"
    assert rising([low, high, middle]) == "does not hold"
    assert rising([low, middle, [0.1, 0.9, 0.2]]) == "cannot be told"
    with pytest.raises(ValueError, match="at least two"):
        rising([low])


def test_numbers_that_are_computed() -> None:
    assert exact(0.0656, 0.065, tolerance=0.001) == "holds"
    assert exact(0.631, 0.62, tolerance=0.005) == "does not hold"


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (0.5, 0.7, "holds"),
        (0.3, 0.7, "cannot be told"),
        (1.1, 1.2, "does not hold"),
        (0.0, 0.1, "does not hold"),
    ],
)
def test_an_interval_within_another(low: float, high: float, verdict: str) -> None:
    assert within(low, high, 0.4, 1.0) == verdict


def test_two_things_are_the_same_if_the_interval_lies_within_the_margin() -> None:
    assert same(apart(-0.002, 0.004), margin=0.005) == "holds"
    assert same(apart(-0.002, 0.006), margin=0.005) == "cannot be told"
    assert same(apart(0.006, 0.007), margin=0.005) == "does not hold"


def test_run_by_run() -> None:
    assert [share(n, 3) for n in range(4)] == ["does not hold", "cannot be told", "cannot be told", "holds"]
    with pytest.raises(ValueError, match="count=4"):
        share(4, 3)


def test_a_mean_and_its_interval() -> None:
    values = np.array([1.0, 2.0, 4.0])
    expected = stats.t.interval(0.95, 2, values.mean(), stats.sem(values))
    assert mean_and_interval(values) == pytest.approx((values.mean(), *expected))
    assert mean_and_interval([1.0]) == (1.0, -math.inf, math.inf)
    assert all(math.isnan(value) for value in mean_and_interval([1.0, NAN]))
