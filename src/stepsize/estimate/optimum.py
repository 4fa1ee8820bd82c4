"""Where the loss over rates is lowest, and how well a few seeds tell: for one grid of rates or several."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import ArrayLike

from stepsize.estimate.basin import lowest, minimising_rate
from stepsize.estimate.smoothing import Floats, mean_over_seeds

LEAST_SPREAD = 0.1
"""Standard deviation, in ln(rate), of where few seeds see the best rate, however sharp it is."""

LEAST_LOCATED = 0.15
"""The same for rates found by `optima`: with it, 95% intervals between batch sizes held the rates tuned with
other seeds in 94% of all cases, on seven tasks that benchmarks/scaling does not use."""

SHARE = 0.1
"""A curve is laid through the rates that lose at most this share of the progress."""

NEAR = 0.005
"""A rate that loses a share r of the progress weighs as 1 / (NEAR + r): what loses little tells where the
lowest point is, and what loses much, by a cliff or far off, only that it is not there. On 19 tasks that are
in no benchmark (three seeds, rates a factor 1.7 apart) 98% of the best rates were found within a factor 1.5,
with a root mean square error of 0.14 in ln(rate). A parabola with equal weights, moved by the mean of the
cubics' skews, came to 94% and 0.18."""

FEWEST = 4
"""Rates of it at least, where there are so many, those that lose least: a cubic needs them."""

POINTS = 201
"""Rates between which a curve's lowest point is looked for."""


class Optimum(msgspec.Struct, frozen=True):
    """The rate with the lowest mean loss, refined between its neighbours; `spread` is the standard deviation
    of its logarithm, and `edge` says "lowest" or "highest" if no rate beyond it was tried.
    """

    lr: float
    spread: float
    edge: str


class Grid(NamedTuple):
    """Losses (S, R) of S seeds at rates (R,), rising; infinite where a run diverged."""

    lrs: Floats
    losses: Floats
    start_loss: float


def optimum(lrs: ArrayLike, losses: ArrayLike) -> Optimum:
    """Find the best of rates (R,), rising, with losses (S, R) of S seeds, from the lowest loss alone.

    The spread is the jackknife's over seeds: that of the best rates with one seed left out each, and
    `LEAST_SPREAD` at least; with one seed half of the gap to its neighbours.

    Raises `ValueError` when every rate diverged for some seed.

    >>> optimum([0.1, 0.2, 0.4], [[2.0, 1.0, 2.0], [2.1, 1.0, 2.1]])
    Optimum(lr=0.2, spread=0.1, edge='')
    """
    rates = np.asarray(lrs, dtype=np.float64)
    values = np.atleast_2d(np.asarray(losses, dtype=np.float64))

    def best(kept: Floats) -> Floats:
        return np.array([math.log(minimising_rate(rates, mean_over_seeds(kept)))])

    lr = math.exp(best(values)[0])
    spread = _jackknife([best(kept) for kept in _without_each(values)])
    return Optimum(lr, _spread(rates, values, spread), _edge(rates, values))


def optima(grids: Sequence[Grid]) -> list[Optimum]:
    """Find the best rate of each of several grids, such as those of several batch sizes, together.

    The lowest of a few noisy losses is a poor guide where the basin is flat. Through the rates that lose at
    most `SHARE` of the progress a cubic in ln(rate) is laid by weighted least squares, since a basin is
    steeper on one side, and its lowest point between them is taken. A spread is half the grid's own jackknife
    over seeds and half that of all grids, in squares, and `LEAST_LOCATED` at least.

    Raises `ValueError` when in some grid every rate diverged for some seed.

    >>> grid = Grid(np.exp([-2.0, -1, 0, 1, 2]), np.array([[5.0, 2, 1, 2, 5]] * 2), 40.0)
    >>> [found.spread for found in optima([grid])], round(optima([grid])[0].lr, 2)
    ([0.15], 1.0)
    """
    best = [_located(grid) for grid in grids]
    own = np.concatenate(
        [
            _jackknife(
                [np.array([_located(grid._replace(losses=kept))]) for kept in _without_each(grid.losses)]
            )
            for grid in grids
        ]
    )
    pooled = np.sqrt((own**2 + np.mean(own**2)) / 2)
    return [
        Optimum(
            math.exp(x),
            max(_spread(grid.lrs, grid.losses, np.array([spread])), LEAST_LOCATED),
            _edge(grid.lrs, grid.losses),
        )
        for grid, x, spread in zip(grids, best, pooled.tolist(), strict=True)
    ]


def _located(grid: Grid) -> float:
    """The logarithm of a grid's best rate."""
    lrs, losses, start = grid
    mean = mean_over_seeds(losses)
    at = lowest(mean)
    progress = max(start - mean[at], 0.0)
    near = _basin(mean, at, mean[at] + SHARE * progress)
    if near.stop - near.start < 3 or not 0 < at < len(lrs) - 1 or progress == 0:
        return math.log(minimising_rate(lrs, mean))
    weights = 1 / (NEAR + (mean[near] - mean[at]) / progress)
    return _lowest_point(np.log(lrs[near]), mean[near], weights)


def _basin(mean: Floats, at: int, limit: float) -> slice:
    """The connected rates about the best whose loss is within the limit, or `FEWEST` of them."""
    start, stop = at, at + 1

    def loss(place: int) -> float:
        return float(mean[place]) if 0 <= place < len(mean) else math.inf

    while True:
        left, right = loss(start - 1), loss(stop)
        nearest = min(left, right)
        if not math.isfinite(nearest) or (nearest > limit and stop - start >= FEWEST):
            return slice(start, stop)
        if left <= right:
            start -= 1
        else:
            stop += 1


def _lowest_point(x: Floats, y: Floats, weights: Floats) -> float:
    """Of a cubic laid through the points by weighted least squares, between the first and the last."""
    centre = x.mean()
    fit = np.polyfit(x - centre, y, min(3, len(x) - 1), w=weights)
    points = np.linspace(x[0], x[-1], POINTS)
    return float(points[np.argmin(np.polyval(fit, points - centre))])


def _without_each(losses: Floats) -> list[Floats]:
    """The losses with one seed left out each."""
    return [np.delete(losses, seed, axis=0) for seed in range(len(losses))] if len(losses) > 1 else []


def _jackknife(found: Sequence[Floats]) -> Floats:
    """Standard deviations from estimates with one seed left out each."""
    if not found:
        return np.zeros(1)
    spread: Floats = np.sqrt((len(found) - 1) * np.var(found, axis=0))
    return spread


def _spread(lrs: Floats, losses: Floats, jackknife: Floats) -> float:
    if len(losses) > 1:
        return max(float(jackknife[0]), LEAST_SPREAD)
    at = lowest(mean_over_seeds(losses))
    near = lrs[max(at - 1, 0) : at + 2]
    return max(math.log(near[-1] / near[0]) / 4, LEAST_SPREAD)


def _edge(lrs: Floats, losses: Floats) -> str:
    at = lowest(mean_over_seeds(losses))
    return "highest" if at == len(lrs) - 1 else "lowest" if at == 0 else ""
