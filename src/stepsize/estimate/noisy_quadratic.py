"""The noisy quadratic: a model of training in which updates to a target can be had exactly.

SGD on ½ Σ h_i θ_i² with gradient noise of variance σ_i²/B in each coordinate (Zhang et al. 2019,
[1907.04164](https://arxiv.org/abs/1907.04164), eq. 2). What `critical_batch` measures on a task is here
known to the last digit, so that the fit can be held to it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from stepsize.estimate.critical_batch import fit_critical_batch

REFERENCE = ((1, 231, 0.124), (4, 62, 0.440), (16, 21, 1.07), (64, 12, 1.45), (512, 9, 1.68))
"""Batch, updates to a tenth of the start's loss at the best constant rate, and that rate: of `textbook()`."""

REFERENCE_FIT = (8.70, 24.6)
"""S_min and B_crit fitted to `textbook()` over the twelve batch sizes `FITTED`."""

FITTED = (*(2**i for i in range(11)), 4096)
"""1, 2, 4, … 1024 and 4096."""

TARGET = 0.1
"""Share of the start's loss that is to be reached."""

MOST = 20
"""Halvings; 2^20 updates count as never."""

RATES = 2000
"""Rates tried, evenly in log rate over three decades below the largest stable one."""


class Check(NamedTuple):
    """A reference figure, the one found here, and whether they agree."""

    name: str
    expected: float
    found: float
    ok: bool


@dataclass(frozen=True)
class NoisyQuadratic:
    """Curvatures h_i, variances σ_i² of one sample's gradient, and E[θ_i²] at the start, (d,) each."""

    curvatures: np.ndarray
    variances: np.ndarray
    start: np.ndarray

    @classmethod
    def textbook(cls, dimensions: int = 50) -> NoisyQuadratic:
        """h_i = σ_i² = 1/i and E[θ_i²] = 1 at the start."""
        inverse = 1.0 / np.arange(1, dimensions + 1)
        return cls(inverse, inverse, np.ones(dimensions))

    def loss(self, updates: np.ndarray, lrs: np.ndarray, batch: float) -> np.ndarray:
        """Expected loss ½ Σ h_i E[θ_i²] after `updates` (R,) at the constant rates `lrs` (R,).

        E[θ_i²] moves by E ← (1 − η h_i)² E + η² σ_i²/B, so that its distance from the fixed point falls by
        (1 − η h_i)² at every update.
        """
        shrink = (1.0 - np.outer(lrs, self.curvatures)) ** 2
        rest = np.square(lrs)[:, None] * self.variances / batch / (1.0 - shrink)
        moments = rest + (self.start - rest) * shrink ** np.asarray(updates, dtype=np.float64)[:, None]
        loss: np.ndarray = 0.5 * moments @ self.curvatures
        return loss

    def updates_to(self, share: float, lrs: np.ndarray, batch: float) -> np.ndarray:
        """Fewest updates (R,) with an expected loss of at most `share` of the start's; infinite if over 2^20.

        The rates must be stable, below 2 / max h. Found by halving, which asks that a loss at the target
        stays there. It does in `textbook()` for shares up to 0.2: each E[θ_i²] moves one way only, and were
        one to rise, the first would, which alone is above the target from the start.
        """
        target = share * float(0.5 * self.start @ self.curvatures)
        low, high = np.zeros(len(lrs)), np.full(len(lrs), float(2**MOST))
        reached = self.loss(high, lrs, batch) <= target
        for _ in range(MOST):
            middle = (low + high) / 2
            there = self.loss(middle, lrs, batch) <= target
            low, high = np.where(there, low, middle), np.where(there, middle, high)
        return np.where(reached, high, np.inf)

    def best(self, share: float, batch: float) -> tuple[float, float, float]:
        """(updates, low, high): the fewest updates over all constant rates, and which rates need no more."""
        ceiling = 2.0 / float(self.curvatures.max())
        rates = np.geomspace(ceiling / 1000, ceiling, RATES, endpoint=False)
        counts = self.updates_to(share, rates, batch)
        near = rates[counts == counts.min()]
        return float(counts.min()), float(near[0]), float(near[-1])


def check_noisy_quadratic() -> tuple[Check, ...]:
    """The reference figures, found anew: what `stepsize selftest` prints."""
    model = NoisyQuadratic.textbook()
    found = {batch: model.best(TARGET, batch) for batch in FITTED}
    checks = []
    for batch, updates, lr in REFERENCE:
        fewest, low, high = found[batch]
        checks.append(Check(f"updates at batch {batch}", float(updates), fewest, fewest == updates))
        nearest = min(max(lr, low), high)
        # A reference rate has three digits.
        checks.append(Check(f"best rate at batch {batch}", lr, nearest, abs(nearest / lr - 1) < 0.005))
    fit = fit_critical_batch(np.array(FITTED), np.array([found[batch][0] for batch in FITTED]))
    for name, expected, value in zip(
        ("S_min", "B_crit"), REFERENCE_FIT, (fit.updates_min, fit.batch), strict=True
    ):
        got = math.nan if value is None else value
        checks.append(Check(f"{name} of the fit", expected, got, abs(got / expected - 1) < 0.003))
    return tuple(checks)
