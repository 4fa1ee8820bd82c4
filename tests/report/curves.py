"""Loss curves of each of the four regimes, and a history of runs that show them."""

from __future__ import annotations

import numpy as np

from stepsize._result import frozen
from stepsize.measure.diagnosis import Diagnosis, diagnose
from stepsize.training.history import History, Member
from tests.report.samples import cost

UPDATES = 400


def regimes() -> dict[float, np.ndarray]:
    """A curve (T,) for each of four rates: too slow, converging, oscillating and diverging."""
    u = np.arange(UPDATES) / UPDATES
    noise = np.random.default_rng(0).normal(size=(4, UPDATES))
    return {
        0.001: 2.3 - 0.2 * u + 0.02 * noise[0],
        0.1: 0.3 + 2.0 * np.exp(-8 * u) + 0.02 * noise[1],
        1.0: 2.0 + 0.4 * noise[2],
        4.0: np.where(u < 0.6, 2.3 * np.exp(5 * u) + 0.02 * noise[3], np.nan),
    }


def plateaued() -> Diagnosis:
    """A curve that stands still at 1.4 from update 200 to 1,200, and at 0.5 from 1,500 on."""
    at = np.arange(2000)
    curve = np.interp(at, [0, 200, 1200, 1500, 2000], [2.3, 1.4, 1.4, 0.5, 0.5])
    return diagnose(curve + 0.02 * np.random.default_rng(1).normal(size=at.size))


def lost() -> Diagnosis:
    """A curve that is no number from update 240 on."""
    return diagnose(regimes()[4.0])


def history(seeds: int = 1) -> History:
    """A run of each regime and seed."""
    curves = regimes()
    members = tuple(Member(lr, seed) for lr in curves for seed in range(seeds))
    losses = np.array([curves[member.lr] for member in members])
    nothing = np.empty((len(members), 0))
    return History(
        members=members,
        status=tuple("ok" if np.isfinite(row).all() else "diverged" for row in losses),
        rates=frozen([[member.lr] * UPDATES for member in members]),
        train_loss=frozen(losses),
        evaluated_at=frozen([]),
        val_loss=frozen(nothing),
        val_folds=frozen(nothing[:, :, None]),
        metrics={},
        updates_done=(UPDATES,) * len(members),
        engine="stack",
        engine_reason="",
        cost=cost(UPDATES * len(members), 4.0),
    )
