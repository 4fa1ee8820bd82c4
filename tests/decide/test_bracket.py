"""What a search takes from a range test, on curves that are made up."""

from __future__ import annotations

import numpy as np
from msgspec import structs

from stepsize._result import frozen
from stepsize.decide.bracket import limits
from stepsize.estimate import smooth
from stepsize.measure.curve import Curve
from tests.report.samples import curve

LRS = np.geomspace(1e-7, 1e3, 60)


def range_test(losses: np.ndarray) -> Curve:
    return structs.replace(
        curve(), lrs=frozen(LRS), losses=frozen(losses[None, :]), smoothed=frozen(smooth(losses))
    )


def falling(noise: float) -> np.ndarray:
    fall = 2.3 - 1.5 * np.clip((np.log10(LRS) + 3) / 2, 0, 1)
    losses = np.where(LRS < 0.5, fall, np.where(LRS < 2, 4.0, np.nan))
    return np.asarray(losses + noise * np.random.default_rng(1).normal(size=LRS.size))


def test_a_clear_fall_tells_where_it_learns_and_where_it_breaks() -> None:
    stirred, broken = limits(range_test(falling(0.01)))
    assert 1e-3 < stirred < 0.02
    assert 0.2 < broken < 1.0


def test_batches_that_differ_are_no_break_down() -> None:
    """A run from a checkpoint: its loss hardly falls, and one batch differs from the next by more."""
    generator = np.random.default_rng(3)
    losses = 0.4 + 0.1 * generator.normal(size=LRS.size)
    losses[:6] = 0.31, 0.23, 0.37, 0.26, 0.31, 0.34  # the first ones happen to be easy
    losses[LRS > 0.05] = np.linspace(1.5, 9.0, int((LRS > 0.05).sum()))
    _, broken = limits(range_test(losses))
    assert 1e-3 < broken < 0.2


def test_a_curve_without_a_number_tells_the_smallest_rate() -> None:
    assert limits(range_test(np.full(LRS.size, np.nan))) == (LRS[0], LRS[0])
