"""Best rates of grids whose basins are known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from stepsize.estimate.optimum import LEAST_LOCATED, Grid, optima

START = 1.1


def basin(x: np.ndarray, skew: float) -> np.ndarray:
    """Lowest, 0.1, at x = 0 and steeper on one side."""
    values: np.ndarray = 0.1 + 0.04 * (np.exp(skew * x) - 1 - skew * x) / skew**2
    return values


def grid(off: float, skew: float, noise: float = 0.0, seed: int = 0) -> Grid:
    """Seven rates a factor 1.5 apart about rate 1, three seeds."""
    x = (np.arange(-3, 4) + off) * math.log(1.5)
    scatter = np.random.default_rng(seed).normal(0, noise, (3, len(x)))
    return Grid(np.exp(x), basin(x, skew) + scatter, START)


@pytest.mark.parametrize("skew", [-3.0, -1.0, 1.0, 3.0])
@pytest.mark.parametrize("off", [-0.2, 0.0, 0.2])
def test_a_basin_steeper_on_one_side_is_located(skew: float, off: float) -> None:
    (found,) = optima([grid(off, skew)])
    assert found.lr == pytest.approx(1, rel=0.07)
    assert (found.spread, found.edge) == (LEAST_LOCATED, "")


def test_noise_moves_it_by_no_more_than_the_spread_says() -> None:
    errors = [
        math.log(found.lr) / found.spread
        for seed in range(60)
        for found in optima([grid(0.2, skew, 0.003, seed) for skew in (-2.0, 2.0)])
    ]
    assert np.mean(np.abs(errors) < 2) > 0.9


def test_a_rate_that_loses_much_does_not_move_it() -> None:
    lrs, losses, start = grid(0.2, 1.0)
    far = losses.copy()
    far[:, 0] += 0.05
    (before,), (after,) = optima([Grid(lrs, losses, start)]), optima([Grid(lrs, far, start)])
    assert after.lr == pytest.approx(before.lr, rel=0.06)


def test_a_cliff_beside_the_best_is_left_out() -> None:
    lrs, losses, start = grid(-0.2, 1.0)
    losses[1, 5:] = np.inf
    (found,) = optima([Grid(lrs, losses, start)])
    assert found.lr == pytest.approx(1, rel=0.1)


def test_the_best_at_an_end_is_named() -> None:
    lrs, losses, start = grid(0.0, 1.0)
    assert optima([Grid(lrs[:3], losses[:, :3], start)])[0].edge == "highest"
    assert optima([Grid(lrs[4:], losses[:, 4:], start)])[0].edge == "lowest"
