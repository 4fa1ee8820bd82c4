"""The best of a few rates, the rates around it that lose little, and the loss between them.

Everything works in x = ln lr. A non-finite loss is a cliff: nothing is interpolated across it.
"""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.interpolate import PchipInterpolator
from scipy.optimize import brentq

from stepsize.estimate.shape import check_curve
from stepsize.estimate.smoothing import Floats, mean_over_seeds


class Basin(msgspec.Struct, frozen=True, kw_only=True):
    """The rates around the best one that lose little.

    `lr` has the lowest loss, `best_loss`; all rates in `[low, high]` lose at most the given share of the
    progress. `low_open` and `high_open` tell that the basin reaches the smallest or largest tested rate, so
    that it may go on beyond. `cliff` is the smallest tested rate above `lr` at which a seed diverged.
    """

    lr: float
    low: float
    high: float
    low_open: bool
    high_open: bool
    cliff: float | None
    best_loss: float


def minimising_rate(lrs: ArrayLike, losses: ArrayLike) -> float:
    """The rate with the lowest loss, refined between its neighbours.

    `lrs` (R,) rising, `losses` (R,). The vertex of the parabola in ln lr through the lowest point and its two
    neighbours; for rises a and b to the left and right, equally spaced by h, that is x + h (a−b) / (2(a+b)).
    It may move by a quarter of the gap at most: rises that differ by more than a factor of 3 are a wall and
    no parabola, and the best rate often stands right under one. At the edge of the grid and beside a
    non-finite loss the answer is the tested rate itself.

    Raises `ValueError` when no loss is finite.

    >>> round(minimising_rate([0.1, 0.2, 0.4], [2.0, 1.0, 2.0]), 12)
    0.2
    """
    rates, values = check_curve(lrs, losses)
    at = lowest(values)
    if at in (0, rates.size - 1) or not np.isfinite(values[at - 1 : at + 2]).all():
        return float(rates[at])
    left, here, right = np.log(rates[at - 1 : at + 2])
    a, b = (values[at - 1] - values[at]) / (here - left), (values[at + 1] - values[at]) / (right - here)
    if a + b == 0:
        return float(rates[at])
    vertex = (a * (right - here) - b * (here - left)) / (2 * (a + b))
    return float(np.exp(here + np.clip(vertex, (left - here) / 4, (right - here) / 4)))


def loss_at(lrs: ArrayLike, losses: ArrayLike, at: ArrayLike) -> Floats:
    """The loss between tested rates, by monotone cubic interpolation in ln lr (Fritsch & Butland 1984).

    `lrs` (R,) rising, `losses` (R,), `at` any shape, and so the result. It never leaves the range of the two
    neighbouring losses, so it invents no minimum beside a wall. NaN outside the tested rates and next to a
    non-finite loss.

    >>> loss_at([0.1, 0.2, 0.4], [3.0, 1.0, float("inf")], [0.1, 0.2, 0.3]).tolist()
    [3.0, 1.0, nan]
    """
    rates, values = check_curve(lrs, losses)
    wanted = np.asarray(at, dtype=np.float64)
    result = np.full(wanted.shape, np.nan)
    for start, end in _stretches(np.isfinite(values)):
        here = (wanted >= rates[start]) & (wanted <= rates[end - 1])
        if end - start > 1:
            # slopes are averaged through their reciprocals, which overflow to the right limit for tiny ones
            with np.errstate(over="ignore"):
                line = PchipInterpolator(np.log(rates[start:end]), values[start:end])
            result[here] = line(np.log(wanted[here]))
        else:
            result[here] = values[start]
    return result


def basin(lrs: ArrayLike, losses: ArrayLike, start_loss: float, *, share: float = 0.01) -> Basin:
    """The connected set of rates that lose at most `share` of the progress.

    `lrs` (R,) rising; `losses` (S, R) or (R,), of which the mean over seeds counts; progress is `start_loss`
    less the lowest mean loss. Both bounds are where the interpolated loss (`loss_at`) leaves best +
    share · progress; beside a diverged rate the bound is the last rate at which no seed diverged.

    Raises `ValueError` when no rate is finite for all seeds, or the lowest loss is not below `start_loss`.
    """
    rates, mean = check_curve(lrs, mean_over_seeds(losses))
    at = lowest(mean)
    best = float(mean[at])
    if not best < start_loss:
        raise ValueError(
            f"the lowest loss must lie below start_loss, but got {best:g} and start_loss={start_loss:g}: "
            "nothing was learned, so no rate is better than another"
        )
    limit = best + share * (start_loss - best)
    low, low_open = _bound(rates, mean, at, limit, step=-1)
    high, high_open = _bound(rates, mean, at, limit, step=1)
    above = rates[at + 1 :][~np.isfinite(mean[at + 1 :])]
    return Basin(
        lr=float(np.clip(minimising_rate(rates, mean), low, high)),
        low=low,
        high=high,
        low_open=low_open,
        high_open=high_open,
        cliff=float(above[0]) if above.size else None,
        best_loss=best,
    )


def _bound(rates: Floats, mean: Floats, at: int, limit: float, step: int) -> tuple[float, bool]:
    """Where the loss first exceeds the limit, going in steps of ±1; True if the grid ends before."""
    here = at
    while 0 <= here + step < rates.size:
        following = here + step
        if not np.isfinite(mean[following]):
            return float(rates[here]), False
        if mean[following] > limit:
            return _crossing(rates, mean, limit, float(rates[here]), float(rates[following])), False
        here = following
    return float(rates[here]), True


def _crossing(rates: Floats, mean: Floats, limit: float, near: float, far: float) -> float:
    """The rate from `near` to its neighbour `far` at which the interpolated loss exceeds the limit."""

    def excess(x: float) -> float:
        return float(loss_at(rates, mean, np.clip(np.exp(x), min(near, far), max(near, far)))) - limit

    ends = np.log(near), np.log(far)
    if excess(ends[0]) >= 0:  # the limit is the loss at `near` itself, to rounding
        return near
    if excess(ends[1]) <= 0:
        return far
    return float(np.clip(np.exp(brentq(excess, *ends)), min(near, far), max(near, far)))


def lowest(values: Floats) -> int:
    """Index of the smallest finite value; raises `ValueError` when there is none."""
    finite = np.isfinite(values)
    if not finite.any():
        raise ValueError(
            "losses must hold a finite value, but every rate diverged for some seed: test smaller rates"
        )
    return int(np.where(finite, values, np.inf).argmin())


def _stretches(finite: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Half-open index ranges of the runs of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], finite, [False]]).astype(np.int8)))
    return [(int(start), int(end)) for start, end in zip(edges[::2], edges[1::2], strict=True)]
