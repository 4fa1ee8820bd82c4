"""The regret benchmark's arithmetic, on made-up numbers with known answers."""

from __future__ import annotations

import math

import numpy as np
import pytest

from benchmarks.regret.scores import coverage, regret, summary


@pytest.mark.parametrize(
    ("loss", "lost"),
    [
        (1.0, 0.0),
        (1.5, 0.25),
        (3.0, 1.0),
        (0.9, 0.0),
        (70.0, 1.0),
        (math.inf, 1.0),
        (math.nan, 1.0),
    ],
)
def test_regret_is_the_share_of_the_progress_lost(loss: float, lost: float) -> None:
    assert regret(loss, best=1.0, start=3.0) == pytest.approx(lost)


@pytest.mark.parametrize("best", [3.0, 4.0, math.inf, math.nan])
def test_regret_needs_progress(best: float) -> None:
    with pytest.raises(ValueError, match="best < start must hold"):
        regret(1.0, best=best, start=3.0)


def test_summary_of_runs_with_and_without_an_answer() -> None:
    found = summary([0.04, None, 0.0, 0.2, 0.01])
    assert found.runs == 5
    assert found.median == pytest.approx(0.025)
    assert found.worst == 0.2
    assert found.over_5 == 0.25
    assert found.none == pytest.approx(0.2)


def test_the_95th_percentile_is_one_of_the_regrets() -> None:
    twenty = [i / 100 for i in range(20)]
    assert summary(twenty).p95 == 0.18  # 19 of 20 do not exceed it
    assert summary(twenty[:10]).p95 == 0.09


def test_exactly_5_percent_is_not_above_it() -> None:
    assert summary([0.05, 0.050001]).over_5 == 0.5


def test_a_finder_that_never_answers_has_no_regret() -> None:
    found = summary([None, None])
    assert found.none == 1.0
    assert found.median is found.p95 is found.worst is found.over_5 is None


def test_nothing_cannot_be_summarised() -> None:
    with pytest.raises(ValueError, match="must not be empty"):
        summary([])


GRID = 2.0 ** np.arange(-3, 4)  # cells reach half an octave to either side
NEAR = np.array([0.5, 0.02, 0.01, 0.0, 0.005, 0.3, 1.0])  # 0.5, 1 and 2 lose at most 1%: from 0.354 to 2.83


def test_an_interval_over_all_of_the_near_best_set() -> None:
    found = coverage(2**-1.5, 2**1.5, GRID, NEAR)
    assert found.meets
    assert found.contained == pytest.approx(1.0)
    assert found.outside == pytest.approx(0.0, abs=1e-12)


def test_an_interval_over_a_part_and_beyond() -> None:
    found = coverage(1.0, 16.0, GRID, NEAR)  # 1.5 of its 4 octaves, of the 3 that the set has
    assert found.meets
    assert found.contained == pytest.approx(0.5)
    assert found.outside == pytest.approx(2.5 / 4)


def test_an_interval_beside_the_set() -> None:
    found = coverage(4.0, 8.0, GRID, NEAR)
    assert not found.meets
    assert found.contained == 0.0
    assert found.outside == pytest.approx(1.0)


def test_an_interval_that_is_one_rate() -> None:
    inside, outside = coverage(1.0, 1.0, GRID, NEAR), coverage(8.0, 8.0, GRID, NEAR)
    assert inside.meets
    assert inside.contained == inside.outside == 0.0
    assert not outside.meets
    assert outside.outside == 1.0


def test_a_hole_in_the_set_counts_as_outside() -> None:
    holed = np.array([1.0, 1.0, 0.0, 0.5, 0.0, 1.0, 1.0])
    found = coverage(2**-1.5, 2**1.5, GRID, holed)
    assert found.contained == pytest.approx(1.0)
    assert found.outside == pytest.approx(1 / 3)


@pytest.mark.parametrize(("low", "high"), [(2.0, 1.0), (0.0, 1.0)])
def test_an_interval_must_rise_from_above_zero(low: float, high: float) -> None:
    with pytest.raises(ValueError, match="0 < low <= high must hold"):
        coverage(low, high, GRID, NEAR)
