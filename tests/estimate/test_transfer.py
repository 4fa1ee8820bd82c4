"""From a rehearsal's curve to the full run's expected regret."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepsize.estimate import Regret, Shift, chance_of_losing, overfitting
from stepsize.estimate.transfer import (
    CLIFF,
    CLIFF_SPREAD,
    CONTINUED,
    CONTINUED_SPREAD,
    GENTLE,
    SLOPE,
    SLOPE_SPREAD,
    SURE_UNDER_A_CLIFF,
)

GRID = 0.01 * 1.25 ** np.arange(30)
START = 2.0


def bowl(curvature: float = 0.05, best: float = 0.2) -> np.ndarray:
    return np.asarray(1.0 + curvature * np.log(GRID / best) ** 2)


def best_rate(losses: np.ndarray, shift: Shift) -> float:
    rates = np.geomspace(GRID[0], GRID[-1], 2000)
    return float(rates[np.argmin(Regret.measured(GRID, losses, START).expected(rates, shift))])


def test_a_full_run_shifts_nothing_and_a_gentle_quarter_by_the_published_exponent() -> None:
    assert Shift.to_full_length(1.0) == Shift(0.0, 0.0)
    quarter = Shift.to_full_length(0.25, located=0.2)
    assert quarter.mean == pytest.approx(SLOPE * math.log(4))
    assert quarter.spread == pytest.approx(math.hypot(SLOPE_SPREAD * math.log(4), 0.2))


def test_a_head_start_turns_the_exponent_and_less_is_known() -> None:
    whole, half = (Shift.to_full_length(0.25, head_start=share) for share in (1.0, 0.5))
    assert whole.mean == pytest.approx(CONTINUED * math.log(4))
    assert whole.spread == pytest.approx(CONTINUED_SPREAD * math.log(4))
    assert half.mean == pytest.approx((CONTINUED + SLOPE) / 2 * math.log(4))
    assert (
        Shift.to_full_length(0.25, head_start=1.0, overfit=1.0).mean
        == Shift.to_full_length(0.25, overfit=1.0).mean
    )
    with pytest.raises(ValueError, match=r"head_start must lie in \[0, 1\], but is 1.1"):
        Shift.to_full_length(0.25, head_start=1.1)


def test_under_a_cliff_more_is_known_of_how_the_rate_falls() -> None:
    steep = Shift.to_full_length(0.25, room=CLIFF)
    assert steep.mean == Shift.to_full_length(0.25).mean
    assert steep.spread == pytest.approx(SURE_UNDER_A_CLIFF * SLOPE_SPREAD * math.log(4))
    between = Shift.to_full_length(0.25, room=(CLIFF + GENTLE) / 2)
    assert between.spread == pytest.approx((1 + SURE_UNDER_A_CLIFF) / 2 * SLOPE_SPREAD * math.log(4))


def test_near_a_cliff_less_is_known_and_far_from_one_nothing_changes() -> None:
    shift = Shift(-0.1, 0.15)
    assert shift.near_a_cliff(CLIFF) == Shift(-0.1, math.hypot(0.15, CLIFF_SPREAD))
    assert shift.near_a_cliff(GENTLE) == shift.near_a_cliff(math.inf) == shift
    between = shift.near_a_cliff((CLIFF + GENTLE) / 2)
    assert between.spread == pytest.approx(math.hypot(0.15, CLIFF_SPREAD / 2))
    assert shift.near_a_cliff(CLIFF, seeds=4).spread == pytest.approx(math.hypot(0.15, CLIFF_SPREAD / 2))


@pytest.mark.parametrize("share", [0.0, -1.0, 1.5, math.nan])
def test_a_share_outside_of_the_run_is_an_error(share: float) -> None:
    with pytest.raises(ValueError, match=r"share must lie in \(0, 1\]"):
        Shift.to_full_length(share)


@given(st.floats(-1, 1), st.floats(0, 0.5))
def test_the_best_of_a_bowl_moves_with_the_mean_shift(mean: float, spread: float) -> None:
    assert math.log(best_rate(bowl(), Shift(mean, spread)) / 0.2) == pytest.approx(mean, abs=0.12)


def test_expected_regret_of_a_parabola_is_its_value_plus_the_variance() -> None:
    """E (x − δ)² = (x − mean)² + spread²; linear pieces of width h add at most h²/8 each."""
    found = float(Regret.measured(GRID, bowl(), START).expected(0.2 * math.e**0.5, Shift(0.1, 0.3)))
    assert found == pytest.approx(0.05 * (0.4**2 + 0.3**2), abs=0.05 * math.log(1.25) ** 2 / 4 + 1e-4)


def test_the_answer_keeps_away_from_a_cliff_by_more_if_less_is_known() -> None:
    losses = np.where(GRID > 0.2, np.inf, bowl(0.01, 0.2))
    near, far = best_rate(losses, Shift(0.0, 0.05)), best_rate(losses, Shift(0.0, 0.3))
    assert far < 0.9 * near < near < 0.2


def test_room_is_the_distance_to_a_fifth_of_the_progress() -> None:
    regret = Regret.measured(GRID, bowl(), START)
    assert regret.room_above(math.log(0.2)) == pytest.approx(math.sqrt(0.2 / 0.05), abs=0.05)
    cliff = Regret.measured(GRID, np.where(GRID > 0.25, np.inf, bowl(0.001)), START)
    assert cliff.room_above(math.log(0.2)) < CLIFF
    short = Regret.measured(GRID[:15], bowl()[:15], START)
    assert short.room_above(math.log(0.2)) > 1.0


def test_beyond_the_tested_rates_regret_goes_on() -> None:
    regret = Regret.measured([1.0, 2.0, 4.0], [1.5, 1.0, 1.25], START)
    assert regret(np.log([0.5, 1.0, 2.0, 4.0, 8.0])) == pytest.approx([1.0, 0.5, 0.0, 0.25, 0.5])
    assert float(regret(np.log(1e9))) == 1.0


def test_no_progress_no_regret() -> None:
    with pytest.raises(ValueError, match=r"below start_loss, but got 1\.00045 and start_loss=0\.5"):
        Regret.measured(GRID, bowl(), 0.5)


def test_over_fitting_is_what_had_been_gained_before() -> None:
    ends = [1.5, 1.0, 1.2, 1.4, np.inf]
    assert overfitting(ends, np.zeros(5), START) == 0.0
    assert overfitting(ends, [0.0, 0.0, 0.2, 0.4, 0.0], START) == 1.0
    assert overfitting(ends, [0.0, 0.0, 0.1, 0.4, 0.0], START) == pytest.approx(0.5 / 0.6)
    assert overfitting(ends, [0.0, 0.0, 0.3, 0.4, 0.0], START) == 1.0  # no more than what is lost


def test_noise_at_the_best_and_broken_rates_do_not_tell_over_fitting() -> None:
    assert overfitting([1.5, 1.0, 1.005, 1.9], [0.0, 0.0, 0.105, 0.9], START) == 0.0
    assert overfitting([np.inf, np.inf], [0.0, 0.0], START) == 0.0
    assert overfitting([2.5, 2.4, 2.6], [1.5, 1.4, 1.6], START) == 0.0


def test_over_fitting_bounds_rate_times_updates() -> None:
    quarter = Shift.to_full_length(0.25, overfit=1.0)
    assert quarter.mean == pytest.approx(-math.log(4))
    half_way = Shift.to_full_length(0.25, overfit=0.5)
    assert quarter.mean < half_way.mean < Shift.to_full_length(0.25).mean
    with pytest.raises(ValueError, match=r"overfit must lie in \[0, 1\], but is 2"):
        Shift.to_full_length(0.25, overfit=2)


def test_a_run_that_has_only_begun_to_learn_tells_little() -> None:
    usual, begun, barely = (Shift.to_full_length(0.25, late=late) for late in (0.4, 0.65, 0.9))
    assert usual == Shift.to_full_length(0.25)
    assert usual.spread < begun.spread < barely.spread == pytest.approx(2 * usual.spread)
    assert usual.mean == begun.mean == barely.mean


def test_beyond_the_tested_rates_the_regret_goes_on_as_steeply_until_the_share_is_lost() -> None:
    steep = Regret.measured([0.1, 0.2, 0.4], [1.2, 1.0, 1.3], start_loss=2.0)
    assert steep.beyond(0.01) == (0.0, 0.0)
    below, above = steep.beyond(0.5)
    x = np.log(0.1) - below, np.log(0.4) + above
    np.testing.assert_allclose(steep(x), 0.5)
    assert Regret.measured([0.1, 0.2, 0.4], [1.0, 1.0, np.inf], start_loss=2.0).beyond(0.5)[1] == 0.0


def test_draws_that_name_another_best_cost_the_lowest_mean_something() -> None:
    """Two rates that win one draw each by 0.1 of the progress lose half of that, whichever is taken."""
    draws = [[1.0, 1.1, 2.0], [1.1, 1.0, 2.0]]
    assert Regret.measured([0.1, 0.2, 0.4], draws, 2.0).lost == pytest.approx([0.05, 0.05, 1.0])
    assert Regret.measured([0.1, 0.2, 0.4], np.mean(draws, axis=0), 2.0).lost[:2] == pytest.approx([0, 0])


def test_a_draw_without_progress_counts_and_none_with_it_is_an_error() -> None:
    draws = [[1.0, 1.5], [1e6, 2.2]]
    assert Regret.measured([0.1, 0.2], draws, 2.0).lost == pytest.approx([0.5, 0.25])
    assert chance_of_losing(0.6, 0.1, [0.1, 0.2], draws, 2.0, Shift(0.0, 0.0)) == 0.5
    with pytest.raises(ValueError, match="start_loss"):
        Regret.measured([0.1, 0.2], [[3.0, 4.0], [2.5, 2.2]], 2.0)


@given(st.floats(0.02, 0.5), st.floats(-0.3, 0.3))
def test_the_chance_is_that_of_the_normal_distribution(spread: float, mean: float) -> None:
    """Of a V of slope 1 the share lost is the distance |x − δ|, more than 0.2 where δ is further off."""
    x = np.linspace(-1, 1, 41)
    found = chance_of_losing(0.2, 1.0, np.exp(x), [1.0 + np.abs(x)], 2.0, Shift(mean, spread))

    def below(value: float) -> float:
        return 0.5 * (1 + math.erf((value - mean) / spread / math.sqrt(2)))

    assert found == pytest.approx(1 - below(0.2) + below(-0.2), abs=0.011)
