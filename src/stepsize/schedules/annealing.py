"""Decay over the whole run, or without end: linear, cosine, REX, inverse square root, Noam, power,
piecewise, plateau.

In all formulas t is the update from 0, T the length of the run, z = t/T, η the peak rate `lr`; the
functions give the factor that multiplies η, and floors are fractions of η.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import numpy as np

from stepsize.schedules.classic import places
from stepsize.schedules.clock import Array, Clock, blend
from stepsize.schedules.parameters import Factor, Interval, Optional, Share
from stepsize.schedules.policy import Trend, shape
from stepsize.schedules.robbins_monro import Tail
from stepsize.schedules.units import LengthLike


def _line_trend(a: dict[str, Any]) -> Trend:
    return "rising" if a["end"] > a["start"] else "falling"


@shape(
    example="linear(0.1)",
    source="Goyal et al. 2017 for the warm-up; Devlin et al. 2019 for the decay",
    trend=_line_trend,
    end="end",
    requires=lambda a: None if max(a["start"], a["end"]) > 0 else "start and end: must not both be 0",
)
def linear(clock: Clock, start: Share = 1.0, end: Share = 0.0) -> Array:
    """A straight line from factor a = `start` to b = `end`: η·(a + (b − a)·z)."""
    return blend(start, end, clock.z)


@shape(example="cosine(0.1, floor=0.01)", source="Loshchilov and Hutter 2017, eq. 5", end="floor")
def cosine(clock: Clock, floor: Share = 0.0) -> Array:
    """Half a cosine from the peak to a floor e: e + (η − e)·(1 + cos πz)/2."""
    return blend(floor, 1.0, (1.0 + np.cos(np.pi * clock.z)) / 2.0)


@shape(example="rex(0.1)", source="Chen, Wolfe and Kyrillidis 2022 (REX)", end="floor")
def rex(clock: Clock, floor: Share = 0.0) -> Array:
    """Reflected exponential: e + (η − e)·(1 − z)/(1 − z/2), high for long, then a steep fall."""
    return blend(floor, 1.0, (1.0 - clock.z) / (1.0 - clock.z / 2.0))


@shape(
    example="inverse_sqrt(0.1, warmup='5%')",
    source="Raffel et al. 2020, sec. 3.1.2; transformers.get_inverse_sqrt_schedule for the time-scale",
    trend="neither",
    tail=lambda _: Tail(power=0.5),
)
def inverse_sqrt(
    clock: Clock, warmup: LengthLike = "5%", timescale: Optional = None, zero_first: bool = False
) -> Array:
    """Linear warm-up over W updates, then η·√(τ/(t + τ − W)), with τ = `timescale`, W unless given.

    The warm-up is (t + 1)/W, or t/W with `zero_first`.
    """
    width = clock.updates(warmup)
    scale = width if timescale is None else clock.updates(timescale)
    rising = (clock.t if zero_first else clock.t + 1.0) / width
    falling = np.sqrt(scale / (np.maximum(clock.t, width) + scale - width))
    return np.where(clock.t < width, np.minimum(rising, 1.0), falling)


@shape(
    example="noam(0.1, warmup=400)",
    source="Vaswani et al. 2017, eq. 3, with its step counted from 1",
    trend="neither",
    tail=lambda _: Tail(power=0.5),
)
def noam(clock: Clock, warmup: LengthLike = 4000) -> Array:
    """The Transformer's schedule scaled to its peak: η·min(n/W, √(W/n)), n = t + 1.

    The paper's rate d^(−1/2)·min(n^(−1/2), n·W^(−3/2)) is `noam((d * W) ** -0.5, warmup=W)`.
    """
    width = clock.updates(warmup)
    n = clock.t + 1.0
    return np.minimum(n / width, np.sqrt(width / n))


@shape(
    example="power(0.1, exponent=-0.51, knee='10%')",
    source="Shen et al. 2024 (Power scheduler, arXiv:2408.13359)",
    tail=lambda a: None if a["knee"].unit == "%" else Tail(power=-a["exponent"]),
)
def power(
    clock: Clock,
    exponent: Annotated[float, Interval(-math.inf, 0, "()")] = -0.51,
    knee: LengthLike = "10%",
) -> Array:
    """A ceiling, then a power law: min(η, a·n^b), n the updates, samples or tokens so far.

    The paper's a is given by where the two meet, `knee` = (η/a)^(1/b), in any unit.
    """
    return np.power(np.maximum(clock.t / clock.updates(knee), 1.0), exponent)


def _knots_complaint(a: dict[str, Any]) -> str | None:
    if len(a["at"]) != len(a["factors"]) or not a["at"]:
        got = f"{len(a['at'])} places and {len(a['factors'])} factors"
        return f"at and factors: need one factor per place, but got {got}"
    if max(a["factors"]) == 0:
        return "factors: must not all be 0"
    for before, after in zip(a["at"], a["at"][1:], strict=False):
        if before.unit == after.unit and not before.amount < after.amount:
            return f"at: must rise, but got {', '.join(map(str, a['at']))}"
    return None


def _knots_trend(a: dict[str, Any]) -> Trend:
    steps = np.diff(a["factors"])
    return "falling" if (steps <= 0).all() else "rising" if (steps >= 0).all() else "neither"


@shape(
    example="piecewise(0.1, at=['0%', '10%', '80%', '100%'], factors=[0.1, 1, 1, 0])",
    source="common practice; keras.optimizers.schedules.PiecewiseConstantDecay for 'previous'",
    trend=_knots_trend,
    tail=lambda a: Tail() if a["factors"][-1] > 0 else None,
    requires=_knots_complaint,
)
def piecewise(
    clock: Clock,
    at: Sequence[LengthLike],
    factors: Sequence[Share],
    between: Literal["linear", "previous"] = "linear",
) -> Array:
    """Through given points: factor f_i at place t_i, joined by lines or held until the next place."""
    knots = places(clock, at, "at")
    heights = np.asarray(factors, dtype=np.float64)
    if between == "linear":
        return np.interp(clock.t, knots, heights)
    return heights[np.maximum(np.searchsorted(knots, clock.t, side="right") - 1, 0)]


def _cuts_complaint(a: dict[str, Any]) -> str | None:
    amounts = [cut.amount for cut in a["cuts"]]
    if any(cut.unit != "steps" for cut in a["cuts"]) or amounts != sorted(amounts):
        return f"cuts: must be updates in rising order, but got {', '.join(map(str, a['cuts']))}"
    return None


@shape(
    example="plateau(0.1, factor=0.5, cuts=[300, 700])",
    source="torch ReduceLROnPlateau as an event list; see stepsize.schedules.watch_plateau",
    tail=lambda _: Tail(),
    requires=_cuts_complaint,
)
def plateau(clock: Clock, factor: Factor = 0.1, cuts: Sequence[LengthLike] = (), floor: Share = 0.0) -> Array:
    """Cut by `factor` at each recorded event: η·max(factor^(number of cuts ≤ t), floor).

    The events come from a loss curve through `watch_plateau`, so feedback is data that replays exactly.
    """
    events = np.array([clock.place(cut) for cut in cuts], dtype=np.float64)
    passed = np.searchsorted(events, clock.t, side="right")
    return np.maximum(np.power(factor, passed.astype(np.float64)), floor)
