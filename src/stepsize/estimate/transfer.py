"""From a short rehearsal's loss over rate to what the full run should lose, with what is not known of it."""

from __future__ import annotations

import math

import msgspec
import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from stepsize.estimate.shape import check_curve
from stepsize.estimate.smoothing import Floats

SLOPE, SLOPE_SPREAD = -0.3, 0.35
"""d ln(best rate) / d ln(length) where noise or a cliff bounds the rate, when the data grow with the length:
mean and standard deviation over tasks. On 66 small ones, of which 58 are in no benchmark, the slope from a
half or a quarter of the run is −0.30 ± 0.31, and as much under a cliff (−0.33 on eleven, −0.27 on nine);
language models give −0.32 (Bjorck et al. 2024, 2409.19913). A quadratic's bound does not depend on the
length, but the curvature of a net grows while it trains (Cohen et al. 2021, 2103.00065). With ±0.3 the errors
of 67 tasks' forecasts were 1.2 to 1.7 times as large as reckoned, hence a little more."""

CONTINUED, CONTINUED_SPREAD = 0.2, 0.5
"""The same for a run that goes on from weights which are trained already: on eleven nets that had 75 to
99.5% of the way behind them 0.20 ± 0.65, without one of a slope of 1.7 0.05 ± 0.45 (docs/method.md)."""

SURE_UNDER_A_CLIFF = 0.5
"""Of the standard deviation, what holds where a cliff bounds the rate: ±0.20 on eleven of these tasks."""

CLIFF_SPREAD = 0.2
"""Standard deviation in ln(rate) of where a cliff lies, from seed to seed: 0.15 in the median over 35 nets,
0.22 in the mean square (docs/method.md)."""

OVERFITTED = -1.0
"""d ln(best rate) / d ln(length) where over-fitting bounds the rate: what it bounds is rate times updates,
how far the weights go from their start (as in gradient flow, whose time is the sum of the rates)."""

OVERFIT_FROM, OVERFIT_TO = 0.01, 0.6
"""Regret of the rates above the best one that tell over-fitting: less is noise, more is another failure."""

TELLING = 2
"""How many of these are asked, the nearest ones."""

HALF_WAY, BARELY = 0.5, 0.8
"""Share of a rehearsal's progress that is made in its second half: from the first on the run has only begun
to learn, at the second it barely has. A learning curve that flattens makes less than half of it there."""

LOST = 0.2
"""Regret whose distance above the best rate tells a cliff from a gentle rise."""

CLIFF, GENTLE = math.log(1.5), math.log(4.0)
"""ln(rate) from the best rate to that regret: up to the first it is a cliff, from the second on gentle."""

LEAST_FALL, LEAST_RISE = 0.01, 0.05
"""What is assumed at least of the curve below and above the tested rates: its steepness there, in shares of
the progress per unit of ln(rate)."""

NODES = 9
"""Points of the Gauss-Hermite rule."""

QUANTILES = 200
"""Equally likely shifts over which a chance is counted: it is known to half a percent."""


class Shift(msgspec.Struct, frozen=True):
    """How far the full run's curve lies from a rehearsal's, in ln(rate): a mean and a standard deviation."""

    mean: float
    spread: float

    @classmethod
    def to_full_length(
        cls,
        share: float,
        *,
        located: float = 0.0,
        room: float = math.inf,
        overfit: float = 0.0,
        late: float = 0.0,
        head_start: float = 0.0,
    ) -> Shift:
        """From a rehearsal of a share of the length, whose own best is known to ±`located` in ln(rate).

        `room` is the distance in ln(rate) up to where `LOST` of the progress is lost (`room_above`). With
        h rising from `SURE_UNDER_A_CLIFF` at room = `CLIFF` to 1 at `GENTLE`, d = −ln(share) and
        o = `overfit`, the part of over-fitting in what is lost above the best rate (`overfitting`),

            mean = d ((1 − o) e + o `OVERFITTED`)
            spread² = (d ((1 − o) h + o) b f)² + located²

        where e and f go from `SLOPE` and `SLOPE_SPREAD` to `CONTINUED` and `CONTINUED_SPREAD` with
        `head_start`, the share of the way that the weights are trained already, and b rises from 1 to 2 as
        `late`, the share of the rehearsal's progress that was made in its second half, goes from `HALF_WAY`
        to `BARELY`: what has only begun tells little of how it goes on.

        Raises `ValueError` unless 0 < share ≤ 1, 0 ≤ overfit ≤ 1 and 0 ≤ head_start ≤ 1.

        >>> Shift.to_full_length(1.0, located=0.1)
        Shift(mean=0.0, spread=0.1)
        >>> round(Shift.to_full_length(0.25, overfit=0.5).mean, 3)
        -0.901
        """
        if not 0 < share <= 1:
            raise ValueError(f"share must lie in (0, 1], but is {share}")
        if not 0 <= overfit <= 1:
            raise ValueError(f"overfit must lie in [0, 1], but is {overfit}")
        if not 0 <= head_start <= 1:
            raise ValueError(f"head_start must lie in [0, 1], but is {head_start}")
        distance = -math.log(share)
        slope = SLOPE + head_start * (CONTINUED - SLOPE)
        unknown = SLOPE_SPREAD + head_start * (CONTINUED_SPREAD - SLOPE_SPREAD)
        h = (1 - overfit) * (SURE_UNDER_A_CLIFF + (1 - SURE_UNDER_A_CLIFF) * _gentle(room))
        mean = distance * ((1 - overfit) * slope + overfit * OVERFITTED) + 0.0
        begun = 1 + min(max((late - HALF_WAY) / (BARELY - HALF_WAY), 0.0), 1.0)
        return cls(mean, math.hypot(distance * (h + overfit) * begun * unknown, located))

    def near_a_cliff(self, room: float, seeds: int = 1) -> Shift:
        """The same, with what another seed may change of where a cliff lies, seen with so many seeds.

        `room` as in `to_full_length`.

        >>> round(Shift(0.0, 0.15).near_a_cliff(0.2).spread, 3)
        0.25
        >>> round(Shift(0.0, 0.15).near_a_cliff(0.2, seeds=4).spread, 3)
        0.18
        """
        elsewhere = (1 - _gentle(room)) * CLIFF_SPREAD / math.sqrt(seeds)
        return Shift(self.mean, math.hypot(self.spread, elsewhere))


def _gentle(room: float) -> float:
    """From 0 under a cliff to 1 where the loss rises gently above the best rate."""
    return min(max((room - CLIFF) / (GENTLE - CLIFF), 0.0), 1.0)


def overfitting(losses: ArrayLike, risen: ArrayLike, start_loss: float) -> float:
    """How much of what the rates above the best one lose is over-fitting, from 0 to 1.

    `losses` (R,) over rising rates are held-out losses at the end, infinite where a run diverged, and `risen`
    (R,) by how much each has risen again, in the same unit: a run that over-fits has been better. Rates
    that lose between `OVERFIT_FROM` and `OVERFIT_TO` of the progress tell, the nearest `TELLING` of them; 0
    where none does.

    >>> round(overfitting([1.5, 1.0, 1.2, 1.4], [0.0, 0.0, 0.1, 0.4], start_loss=2.0), 3)
    0.833
    """
    ends, rises = np.asarray(losses, dtype=np.float64), np.asarray(risen, dtype=np.float64)
    finite = np.isfinite(ends)
    if not finite.any():
        return 0.0
    best = int(np.where(finite, ends, np.inf).argmin())
    progress = start_loss - ends[best]
    if not progress > 0:
        return 0.0
    with np.errstate(invalid="ignore"):
        regret = (ends - ends[best]) / progress
        telling = (regret >= OVERFIT_FROM) & (regret <= OVERFIT_TO) & (np.arange(ends.size) > best)
    places = np.flatnonzero(telling)[:TELLING]
    if not places.size:
        return 0.0
    lost = ends[places] - ends[best]
    return float(np.clip(rises[places], 0.0, lost).sum() / lost.sum())


class Regret(msgspec.Struct, frozen=True):
    """Regret over x = ln(rate) as measured: (L − min L) / (start − min L), 1 where training diverged.

    Linear between the tested rates `x` (R,); beyond them it goes on as steeply as at the last ones, by
    `LEAST_FALL` and `LEAST_RISE` at least. It never exceeds 1. Where the losses are known as several draws,
    it is the mean of what a rate loses in each, against that draw's own best: the rate with the lowest mean
    then loses something too, the more the less is known of which one is best.
    """

    x: Floats
    lost: Floats
    fall: float
    rise: float

    @classmethod
    def measured(cls, lrs: ArrayLike, losses: ArrayLike, start_loss: float) -> Regret:
        """From `lrs` (R,), rising, and `losses` (R,) or draws of them (D, R), infinite where a run diverged.

        Raises `ValueError` when no loss is below `start_loss`, or in no draw. A draw in which none is counts
        with a regret of 0 at its best and 1 elsewhere.

        >>> Regret.measured([0.1, 0.2], [[1.0, 1.1], [1.3, 1.0]], start_loss=2.0).lost.round(3).tolist()
        [0.15, 0.05]
        """
        x, lost = _shares_lost(lrs, losses, start_loss)
        mean = lost.mean(axis=0)
        fall, rise = _slopes(x, mean)
        return cls(x, mean, float(fall), float(rise))

    def __call__(self, x: ArrayLike) -> Floats:
        """The regret at ln(rate) `x`, any shape."""
        where = np.asarray(x, dtype=np.float64)
        outside = np.maximum(self.x[0] - where, 0) * self.fall + np.maximum(where - self.x[-1], 0) * self.rise
        regret: Floats = np.minimum(np.interp(where, self.x, self.lost) + outside, 1.0)
        return regret

    def beyond(self, share: float) -> tuple[float, float]:
        """How far below the smallest and above the largest tested rate, in ln(rate), at most `share` is lost.

        0 where more is lost at that rate already.

        >>> regret = Regret.measured([0.1, 0.2, 0.4], [1.004, 1.0, 1.005], start_loss=2.0)
        >>> below, above = regret.beyond(0.01)
        >>> round(below, 3), round(above, 3)
        (0.6, 0.1)
        """
        spare = np.maximum(share - self.lost[[0, -1]], 0.0)
        return float(spare[0] / self.fall), float(spare[1] / self.rise)

    def room_above(self, x: float) -> float:
        """How far above `x` the regret reaches `LOST`, in ln(rate)."""
        above = np.flatnonzero((self.lost >= LOST) & (self.x > x))
        if not above.size:
            return float(self.x[-1] - x + max(LOST - self.lost[-1], 0.0) / self.rise)
        at = int(above[0])
        left = max(x, float(self.x[at - 1])) if at else x
        before = float(self(left))
        if before >= LOST:
            return left - x
        return float(left - x + (LOST - before) / (self.lost[at] - before) * (self.x[at] - left))

    def expected(self, at: ArrayLike, shift: Shift) -> Floats:
        """What rates `at` (any shape) should lose in the full run: E r(ln at − δ), δ ~ N(mean, spread²).

        Where one side is steep, as under a cliff, the rate that minimises it keeps away from that side.
        """
        nodes, weights = np.polynomial.hermite_e.hermegauss(NODES)
        where = np.log(np.asarray(at, dtype=np.float64))[..., None] - shift.mean - shift.spread * nodes
        result: Floats = self(where) @ weights / weights.sum()
        return result


def chance_of_losing(
    share: float, lr: float, lrs: ArrayLike, draws: ArrayLike, start_loss: float, shift: Shift
) -> float:
    """How likely `lr` is to lose more than `share` of the progress in the full run.

    `draws` (D, R) of the losses at `lrs` (R,), as for `Regret.measured` and with its errors, each with every
    shift.

    >>> chance_of_losing(0.05, 0.2, [0.1, 0.2, 0.4], [[1.5, 1.0, 1.5]], 2.0, Shift(0.0, 0.1))
    0.49
    """
    x, lost = _shares_lost(lrs, draws, start_loss)
    fall, rise = _slopes(x, lost)
    levels = (np.arange(QUANTILES) + 0.5) / QUANTILES
    where = math.log(lr) - shift.mean - shift.spread * special.ndtri(levels)
    place = np.interp(where, x, np.arange(x.size))
    left = place.astype(int)
    right = np.minimum(left + 1, x.size - 1)
    inside = lost[:, left] + (place - left) * (lost[:, right] - lost[:, left])
    below, above = np.maximum(x[0] - where, 0), np.maximum(where - x[-1], 0)
    regrets = inside + below * fall[:, None] + above * rise[:, None]
    return float((regrets > share).mean())


def _shares_lost(lrs: ArrayLike, losses: ArrayLike, start_loss: float) -> tuple[Floats, Floats]:
    """ln(rate) (R,), and the shares of the progress that the rates lose in each draw (D, R)."""
    draws = np.atleast_2d(np.asarray(losses, dtype=np.float64))
    rates, _ = check_curve(lrs, draws[0])
    values = np.where(np.isfinite(draws), draws, np.inf)
    best = values.min(axis=1, keepdims=True)
    if not best.min() < start_loss:
        raise ValueError(
            f"the lowest loss must lie below start_loss, but got {best.min():g} and start_loss={start_loss:g}"
        )
    progress = np.maximum(start_loss - best, np.finfo(np.float64).tiny)
    with np.errstate(over="ignore"):
        return np.log(rates), np.minimum((values - best) / progress, 1.0)


def _slopes(x: Floats, lost: Floats) -> tuple[Floats, Floats]:
    """How steeply `lost` (…, R) over `x` (R,) is assumed to go on below and above the tested rates, (…)."""
    slopes = np.diff(lost) / np.diff(x) if x.size > 1 else np.zeros((*lost.shape[:-1], 1))
    return np.maximum(LEAST_FALL, -slopes[..., 0]), np.maximum(LEAST_RISE, slopes[..., -1])
