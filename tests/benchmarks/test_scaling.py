"""The truth that `benchmarks.scaling` judges by."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks import scaling
from benchmarks.scaling import FEWEST, NEAR, Truth, kept, near_best
from stepsize._result import frozen
from stepsize.decide.rehearsal import Rehearsal
from stepsize.training import Cost
from tests.tasks import digits_task

BEST = 0.1
LRS = BEST * 1.25 ** np.arange(-5.3, 6)


def grid(losses: np.ndarray, start: float = 2.0) -> Rehearsal:
    """Whole runs at these rates that end with losses (S, R)."""
    curves = np.stack([np.full(losses.shape, start), losses], axis=2)
    return Rehearsal(
        steps=10,
        horizon=10,
        seeds=tuple(range(len(losses))),
        lrs=frozen(LRS),
        updates=frozen([0, 10]),
        curves=frozen(curves),
        losses=frozen(losses),
        folds=frozen(losses[:, :, None]),
        start_folds=frozen(np.full((len(losses), 1), start)),
        engine="stack",
        engine_reason="",
        cost=Cost(updates=0, samples=0, seconds=0.0, runs=0.0),
    )


def noisy(seeds: int, noise: float, draw: int = 0) -> Rehearsal:
    way = np.log(LRS / BEST)
    basin = 0.1 + 0.02 * way**2 + 0.004 * way**3
    return grid(basin + np.random.default_rng(draw).normal(0, noise, (seeds, len(LRS))))


def test_without_noise_the_lowest_point_of_a_skewed_basin_is_found() -> None:
    found = Truth.of(noisy(4, 0.0), noisy(4, 0.0))
    assert found.lr == pytest.approx(BEST, rel=0.01)
    assert found.error < 1e-9
    assert found.lost(found.lowest) == pytest.approx(0, abs=1e-4)


def test_the_error_is_that_of_other_seeds() -> None:
    found = [Truth.of(noisy(8, 0.01, draw), noisy(8, 0.01, draw)) for draw in range(40)]
    scatter = float(np.std([np.log(one.lr) for one in found]))
    assert np.median([one.error for one in found]) == pytest.approx(scatter, rel=0.4)


def test_near_the_best_are_the_rates_that_lose_little_their_neighbours_and_five_at_least() -> None:
    flat = near_best(noisy(4, 0.0))
    lost = (flat.mean - flat.mean.min()) / (flat.start_loss - flat.mean.min())
    assert (lost[1:-1] <= NEAR).all()
    assert (lost[[0, -1]] > NEAR).all()
    assert len(flat.lrs) < len(LRS)
    sharp = near_best(grid(100 * noisy(4, 0.0).losses, start=20.0))
    assert FEWEST <= len(sharp.lrs) <= FEWEST + 1
    assert sharp.lrs[0] < BEST < sharp.lrs[-1]


def test_rates_that_diverged_are_not_near() -> None:
    losses = noisy(4, 0.0).losses.copy()
    losses[0, 6:] = np.inf
    near = near_best(grid(losses))
    assert np.isfinite(near.losses).all()
    assert len(near.lrs) == FEWEST
    assert Truth.of(near, near).lr == pytest.approx(BEST, rel=0.1)


def test_what_a_rate_far_from_the_best_loses_is_read_off_the_whole_grid() -> None:
    whole = noisy(4, 0.0)
    found = Truth.of(near_best(whole), whole)
    assert LRS[0] < found.grid.lrs[0]
    assert found.lost(float(LRS[0])) > NEAR


def test_what_was_trained_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scaling, "OUT", tmp_path)
    made: list[int] = []

    def make() -> Rehearsal:
        made.append(1)
        return noisy(2, 0.0)

    task = digits_task()
    first = kept(task, Rehearsal, make, 1)
    np.testing.assert_array_equal(kept(task, Rehearsal, make, 1).losses, first.losses)
    assert len(made) == 1
    kept(task, Rehearsal, make, 2)
    monkeypatch.setattr(scaling, "training_code", lambda: "another")
    kept(task, Rehearsal, make, 1)
    assert len(made) == 3
