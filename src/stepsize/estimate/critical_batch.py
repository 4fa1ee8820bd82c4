"""The critical batch from updates to a target over batch sizes: S = S_min (1 + B_crit / B).

Below B_crit twice the batch saves half of the updates; above it saves next to none (McCandlish et al. 2018,
[1812.06162](https://arxiv.org/abs/1812.06162), eq. 2.11: (S/S_min − 1)(E/E_min − 1) = 1 with E = B S and
B_crit = E_min / S_min).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import optimize, special

FitStatus = Literal["ok", "no_saturation", "no_gain", "undetermined", "too_few_batch_sizes"]
"""`no_saturation`: the data allow that updates fall as 1/B throughout; B_crit has a lower end alone.
`no_gain`: they allow that a larger batch saved none; B_crit has an upper end alone. `undetermined`: both."""

FEWEST = 5
"""Batch sizes below which two parameters and their error cannot be told apart."""

REACH = 9.0
"""How far beyond the smallest and largest batch size B_crit is looked for, in e-foldings; past that the curve
does not differ from its limits by more than 0.02%."""

GRID = 600
"""Values of log B_crit tried before the best is refined."""


@dataclass(frozen=True)
class CriticalFit:
    """S_min and B_crit with intervals; None where there is no such end or no estimate.

    `low`s of 0 and `high`s of None are open ends. `error` is the standard deviation of log S about the
    curve that the intervals rest on.
    """

    status: FitStatus
    updates_min: float | None
    updates_low: float
    updates_high: float | None
    batch: float | None
    batch_low: float
    batch_high: float | None
    error: float | None

    def updates(self, batch_size: float) -> float:
        """S at a batch size; NaN without an estimate."""
        if self.updates_min is None or self.batch is None:
            return math.nan
        return self.updates_min * (1.0 + self.batch / batch_size)


def fit_critical_batch(batch_sizes: np.ndarray, updates: np.ndarray, confidence: float = 0.95) -> CriticalFit:
    """Fit log S = log S_min + log(1 + B_crit / B) by least squares, with profile-likelihood intervals.

    For each B_crit the best S_min is a mean, so that the profile of B_crit is a function of one variable. A
    value belongs to the interval where the sum of squares exceeds the smallest by at most σ² F(1, n − 2). σ²
    is the variance about the curve, or that of the mean over seeds where it is larger: a curve that n points
    happen to fit well does not make them exact.

    Args:
        batch_sizes: B, (n,), all different.
        updates: S, (n,) or (n, seeds), all above 0.
        confidence: of the intervals.

    Raises:
        ValueError: shapes disagree, batch sizes repeat, or a value is not finite and above 0.
    """
    B, y, of_means = _checked(batch_sizes, updates)
    n = len(B)
    if n < FEWEST:
        return CriticalFit("too_few_batch_sizes", None, 0.0, None, None, 0.0, None, None)
    profile = _Profile(B, y)
    best = profile.minimum()
    at_zero, at_infinity = profile.without_gain(), profile.without_saturation()
    cut, variance = profile.cut(best, of_means, confidence)
    low = None if at_zero <= cut else profile.crossing(best, profile.lowest, cut)
    high = None if at_infinity <= cut else profile.crossing(best, profile.highest, cut)
    ended = profile.squares(best) <= min(at_zero, at_infinity)
    s_low, s_high = profile.intercepts(best, cut)
    return CriticalFit(
        status=_status(low, high),
        updates_min=math.exp(profile.intercept(best)) if ended else None,
        updates_low=0.0 if high is None else s_low,
        updates_high=s_high,
        batch=math.exp(best) if ended else None,
        batch_low=0.0 if low is None else math.exp(low),
        batch_high=None if high is None else math.exp(high),
        error=math.sqrt(variance),
    )


def curve_interval(
    batch_sizes: np.ndarray, updates: np.ndarray, at: np.ndarray, confidence: float = 0.95
) -> tuple[np.ndarray, np.ndarray]:
    """The fitted curve's interval at batch sizes `at` (m,): ends of S (m,) each, by profile likelihood.

    The lowest and highest S that a pair of S_min and B_crit gives whose sum of squares lies within the same
    cut as for `fit_critical_batch`, which takes the same arguments.

    Raises `ValueError` as that does, and for fewer than five batch sizes, to which nothing is fitted.
    """
    B, y, of_means = _checked(batch_sizes, updates)
    if len(B) < FEWEST:
        raise ValueError(f"a curve needs at least {FEWEST} batch sizes, but got {len(B)}")
    profile = _Profile(B, y)
    best = profile.minimum()
    cut, _ = profile.cut(best, of_means, confidence)
    grid, centre, half = profile.within(best, cut)
    rise = np.logaddexp(0.0, grid[:, None] - np.log(np.asarray(at, dtype=np.float64)))
    lows, highs = (centre - half)[:, None] + rise, (centre + half)[:, None] + rise
    return np.exp(lows.min(axis=0)), np.exp(highs.max(axis=0))


class _Profile:
    """Sums of squares as a function of b = log B_crit, the best log S_min taken at each."""

    def __init__(self, B: np.ndarray, y: np.ndarray) -> None:
        self._log_batch, self._y = np.log(B), y
        self.lowest = float(self._log_batch.min()) - REACH
        self.highest = float(self._log_batch.max()) + REACH

    def intercept(self, b: float) -> float:
        return float(self._rest(np.array([b])).mean())

    def squares(self, b: float) -> float:
        return _scatter(self._rest(np.array([b])))

    def squares_at(self, values: np.ndarray) -> np.ndarray:
        rest = self._rest(values)
        squares: np.ndarray = np.square(rest - rest.mean(axis=1, keepdims=True)).sum(axis=1)
        return squares

    def without_gain(self) -> float:
        """In the limit B_crit → 0: the same S for every B."""
        return _scatter(self._y)

    def without_saturation(self) -> float:
        """In the limit B_crit → ∞: S falls as 1/B."""
        return _scatter(self._y + self._log_batch)

    def minimum(self) -> float:
        grid = np.linspace(self.lowest, self.highest, GRID)
        at = int(np.argmin(self.squares_at(grid)))
        ends = float(grid[max(at - 1, 0)]), float(grid[min(at + 1, GRID - 1)])
        found = optimize.minimize_scalar(
            self.squares, bounds=ends, method="bounded", options={"xatol": 1e-10}
        )
        return float(found.x)

    def crossing(self, best: float, end: float, cut: float) -> float:
        """Where the sum of squares first exceeds `cut` on the way from the best value to an end."""
        path = np.linspace(best, end, GRID)
        beyond = np.flatnonzero(self.squares_at(path) > cut)
        if not beyond.size:
            return end
        at = int(beyond[0])
        if at == 0:  # a limit, B_crit → 0 or ∞, fits so well that no value inside comes up to it
            return best
        return float(optimize.brentq(lambda b: self.squares(b) - cut, path[at - 1], path[at]))

    def cut(self, best: float, of_means: float, confidence: float) -> tuple[float, float]:
        """The sum of squares up to which pairs belong to the interval, and the variance behind it."""
        n = len(self._y)
        smallest = min(self.squares(best), self.without_gain(), self.without_saturation())
        variance = max(smallest / (n - 2), of_means)
        return smallest + variance * float(special.fdtri(1, n - 2, confidence)) + 1e-15 * n, variance

    def within(self, best: float, cut: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """All pairs within the cut, SS + n (log S_min − intercept)² <= cut: values of b, the middle of
        log S_min at each, and how far it may lie from that.
        """
        grid = np.append(np.linspace(self.lowest, self.highest, 8 * GRID), best)
        room = cut - self.squares_at(grid)
        inside = room >= 0
        return grid[inside], self._rest(grid[inside]).mean(axis=1), np.sqrt(room[inside] / len(self._y))

    def intercepts(self, best: float, cut: float) -> tuple[float, float]:
        """Smallest and largest S_min of all pairs within the cut."""
        _, centre, half = self.within(best, cut)
        return math.exp(float((centre - half).min())), math.exp(float((centre + half).max()))

    def _rest(self, values: np.ndarray) -> np.ndarray:
        """What log(1 + B_crit / B) leaves of log S, (values, n)."""
        rest: np.ndarray = self._y - np.logaddexp(0.0, values[:, None] - self._log_batch)
        return rest


def _scatter(residuals: np.ndarray) -> float:
    return float(np.square(residuals - residuals.mean()).sum())


def _status(low: float | None, high: float | None) -> FitStatus:
    if low is None and high is None:
        return "undetermined"
    if high is None:
        return "no_saturation"
    return "no_gain" if low is None else "ok"


def _checked(batch_sizes: np.ndarray, updates: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """B, mean log S, and the variance of such a mean over seeds (0 for one seed)."""
    B, S = np.asarray(batch_sizes, dtype=np.float64), np.asarray(updates, dtype=np.float64)
    if B.ndim != 1 or S.ndim not in (1, 2) or len(S) != len(B):
        raise ValueError(
            f"batch_sizes must be (n,) and updates (n,) or (n, seeds), but are {B.shape} and {S.shape}"
        )
    if not (np.isfinite(B).all() and (B > 0).all() and np.isfinite(S).all() and (S > 0).all()):
        raise ValueError(
            "batch_sizes and updates must be finite and above 0: leave out where no target was reached"
        )
    if len(set(B.tolist())) < len(B):
        raise ValueError("batch_sizes must all be different: give the seeds of one size as a row of updates")
    logs = np.log(S if S.ndim == 2 else S[:, None])
    seeds = logs.shape[1]
    of_means = float(logs.var(axis=1, ddof=1).mean() / seeds) if seeds > 1 and len(B) else 0.0
    return B, logs.mean(axis=1), of_means
