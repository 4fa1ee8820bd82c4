"""Rehearsals keep the training losses of their first seed, rate by rate, through all that is done to them;
and what their held-out losses tell of over-fitting.
"""

from __future__ import annotations

import numpy as np
import pytest
from msgspec import structs

from stepsize._result import frozen
from stepsize.decide.rehearsal import TRACED, Rehearsal, Shape, at_rates, merged, rehearse, with_more_seeds
from stepsize.schedules import Schedule
from tests.tasks import digits_task

STEPS = 2 * TRACED


def made(lrs: list[float], seeds: tuple[int, ...] = (0,)) -> Rehearsal:
    task = digits_task(steps=4 * TRACED)
    return rehearse(task, Shape.of(Schedule.parse("fixed"), task), lrs, seeds=seeds, steps=STEPS)


@pytest.fixture(scope="module")
def low() -> Rehearsal:
    return made([0.01, 0.3])


@pytest.fixture(scope="module")
def high() -> Rehearsal:
    return made([0.1, 1e6])


def test_losses_are_kept_from_first_to_last(low: Rehearsal) -> None:
    assert low.training.shape == (2, TRACED)
    assert (low.traced[0], low.traced[-1]) == (0, STEPS - 1)
    assert low.training[0, 0] == low.training[1, 0] == pytest.approx(low.start_loss, rel=0.2)
    assert low.training[1, -20:].mean() < low.training[0, -20:].mean() < low.training[0, 0]


def test_a_rate_keeps_its_curve_where_rates_are_joined_and_chosen(low: Rehearsal, high: Rehearsal) -> None:
    both = merged(low, high)
    assert both.lrs.tolist() == [0.01, 0.1, 0.3, 1e6]
    for one in (low, high):
        for lr, curve in zip(one.lrs.tolist(), one.training, strict=True):
            np.testing.assert_array_equal(both.training[both.lrs.tolist().index(lr)], curve)
    np.testing.assert_array_equal(at_rates(both, [2]).training, low.training[[1]])
    assert not np.isfinite(both.training[3]).all()


def test_more_seeds_leave_the_curves_of_the_first(low: Rehearsal) -> None:
    more = with_more_seeds(low, made([0.01, 0.3], seeds=(1,)))
    np.testing.assert_array_equal(more.training, low.training)


def test_curves_come_back_from_json(low: Rehearsal, high: Rehearsal) -> None:
    for one in (low, high):
        again = Rehearsal.from_json(one.to_json())
        np.testing.assert_array_equal(again.training, one.training)


def with_curves(low: Rehearsal, updates: list[int], *curves: list[float]) -> Rehearsal:
    """One seed's held-out losses at these updates, rate by rate."""
    rates = 0.1 * 2.0 ** np.arange(len(curves))
    return structs.replace(low, updates=frozen(updates), curves=frozen([curves]), lrs=frozen(rates))


def test_a_loss_that_was_lower_long_before_the_end_has_risen(low: Rehearsal) -> None:
    updates = [0, STEPS // 4, STEPS // 2, 3 * STEPS // 4, STEPS]
    falls, rises = [2.0, 1.5, 1.2, 1.1, 1.0], [2.0, 1.0, 1.1, 1.3, 1.4]
    gone = [2.0, 1.0, np.nan, np.nan, np.nan]
    found = with_curves(low, updates, falls, rises, gone)
    np.testing.assert_allclose(found.risen, [0.0, 0.4, 0.0])


def test_a_loss_that_jumps_up_at_the_end_has_not(low: Rehearsal) -> None:
    """Three losses of the last tenth, one of which is out of line: their mean would be above all before."""
    updates = [0, STEPS // 4, STEPS // 2, 3 * STEPS // 4, 9 * STEPS // 10, 19 * STEPS // 20, STEPS]
    noisy = [2.4, 0.53, 0.57, 0.29, 0.26, 0.36, 0.27]
    rising = [2.4, 0.53, 0.26, 0.29, 0.34, 0.36, 0.32]
    np.testing.assert_allclose(with_curves(low, updates, noisy, rising).risen, [0.0, 0.06])


def test_too_few_losses_tell_nothing(low: Rehearsal) -> None:
    assert with_curves(low, [0, STEPS], [1.0, 2.0]).risen.tolist() == [0.0]
