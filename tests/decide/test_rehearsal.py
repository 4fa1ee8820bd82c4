"""Rehearsals keep the training losses of their first seed, rate by rate, through all that is done to them."""

from __future__ import annotations

import numpy as np
import pytest

from stepsize.decide.rehearsal import TRACED, Rehearsal, Shape, at_rate, merged, rehearse, with_more_seeds
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
    np.testing.assert_array_equal(at_rate(both, 2).training, low.training[[1]])
    assert not np.isfinite(both.training[3]).all()


def test_more_seeds_leave_the_curves_of_the_first(low: Rehearsal) -> None:
    more = with_more_seeds(low, made([0.01, 0.3], seeds=(1,)))
    np.testing.assert_array_equal(more.training, low.training)


def test_curves_come_back_from_json(low: Rehearsal, high: Rehearsal) -> None:
    for one in (low, high):
        again = Rehearsal.from_json(one.to_json())
        np.testing.assert_array_equal(again.training, one.training)
