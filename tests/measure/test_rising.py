"""The average drawn over a range test."""

from __future__ import annotations

import numpy as np

from stepsize.measure.rising import averaged


def test_an_explosion_does_not_reach_back() -> None:
    falling = np.linspace(2.0, 1.0, 60)
    exploding = np.concatenate([falling, [10.0, 1e3, 1e6, np.inf, np.nan]])
    smooth = averaged(exploding)
    assert np.all(np.abs(smooth[10:40] - falling[10:40]) < 0.07)
    assert np.isnan(smooth[-2:]).all()


def test_nothing_finite_is_nothing() -> None:
    assert np.isnan(averaged(np.array([np.nan, 1.0]))).all()
