"""Schedules that come back: warm restarts, the cyclical three, one-cycle and its momentum.

In all formulas t is the update from 0, T the length of the run, η the peak rate `lr`; the functions
give the factor that multiplies η, and floors are fractions of η.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

import numpy as np

from stepsize.schedules.clock import Array, Clock, blend
from stepsize.schedules.parameters import Factor, Interval, Optional, Share
from stepsize.schedules.policy import shape
from stepsize.schedules.robbins_monro import Tail
from stepsize.schedules.units import LengthLike

SMITH = "Smith 2017 (cyclical learning rates)"
OpenShare = Annotated[float, Interval(0, 1, "[)")]


def _restart_tail(a: dict[str, Any]) -> Tail | None:
    if a["floor"] > 0 or a["decay"] == 1:
        return Tail()
    if a["first"].unit != "steps":
        return None
    if a["growth"] == 1:
        return Tail(ratio=a["decay"] ** (1 / a["first"].amount))
    return Tail(power=-math.log(a["decay"]) / math.log(a["growth"]))


@shape(
    example="warm_restarts(0.1, first='10%', growth=2)",
    source="Loshchilov and Hutter 2017 (SGDR), eq. 5; the decay of peaks as in timm",
    trend="neither",
    tail=_restart_tail,
)
def warm_restarts(
    clock: Clock,
    first: LengthLike = "25%",
    growth: Annotated[float, Interval(1, math.inf, "[)")] = 1.0,
    decay: Factor = 1.0,
    floor: Share = 0.0,
) -> Array:
    """Cosine over cycles of T₀·μ^i updates, from peaks η·m^i: `first` = T₀, `growth` = μ, `decay` = m.

    When the run ends with a cycle, the last value is that cycle's floor, not a new peak.
    """
    length = clock.updates(first)
    if growth == 1.0:
        index = np.floor(clock.t / length)
        begin, span = index * length, np.full_like(clock.t, length)
    else:
        index = np.floor(np.log1p(clock.t / length * (growth - 1.0)) / math.log(growth))
        # The logarithm may land one cycle off where a cycle begins; the sums decide.
        index += clock.t >= length * (np.power(growth, index + 1.0) - 1.0) / (growth - 1.0)
        index -= clock.t < length * (np.power(growth, index) - 1.0) / (growth - 1.0)
        begin = length * (np.power(growth, index) - 1.0) / (growth - 1.0)
        span = length * np.power(growth, index)
    over = (clock.t >= clock.T) & (clock.t == begin) & (index > 0)
    index = index - over
    part = np.where(over, 1.0, (clock.t - begin) / span)
    peaks = np.maximum(np.power(decay, index), floor)
    return blend(floor, peaks, (1.0 + np.cos(np.pi * part)) / 2.0)


def _wave(clock: Clock, up: LengthLike, down: LengthLike | None) -> tuple[Array, Array]:
    """The triangle in [0, 1] and the number of finished cycles."""
    rise = clock.updates(up)
    fall = rise if down is None else clock.updates(down)
    cycle = np.floor(clock.t / (rise + fall))
    place = clock.t - cycle * (rise + fall)
    triangle = np.where(place <= rise, place / rise, (rise + fall - place) / fall)
    return np.clip(triangle, 0.0, 1.0), cycle


def _cycle_tail(shrink: str | None) -> Any:
    def tail(a: dict[str, Any]) -> Tail | None:
        if a["floor"] > 0 or shrink is None:
            return Tail()
        if shrink == "gamma":
            return Tail(ratio=a["gamma"])
        sides = [a["up"], a["down"] or a["up"]]
        if any(side.unit != "steps" for side in sides):
            return None
        return Tail(ratio=0.5 ** (1 / sum(side.amount for side in sides)))

    return tail


@shape(
    example="triangular(0.1, up='5%', floor=0.1)",
    source=f"{SMITH}, sec. 3.1",
    trend="neither",
    tail=_cycle_tail(None),
)
def triangular(clock: Clock, up: LengthLike = "10%", down: Optional = None, floor: OpenShare = 0.1) -> Array:
    """Up from the floor in `up` updates and down in `down` (the same unless given), again and again."""
    triangle, _ = _wave(clock, up, down)
    return blend(floor, 1.0, triangle)


@shape(
    example="triangular2(0.1, up='5%', floor=0.1)",
    source=f"{SMITH}, sec. 3.1",
    trend="neither",
    tail=_cycle_tail("cycle"),
)
def triangular2(clock: Clock, up: LengthLike = "10%", down: Optional = None, floor: OpenShare = 0.1) -> Array:
    """Like `triangular`, with half the height in each new cycle: e + (η − e)·tri/2^c, c cycles finished."""
    triangle, cycle = _wave(clock, up, down)
    return blend(floor, 1.0, triangle * np.power(0.5, cycle))


@shape(
    example="exp_range(0.1, gamma=0.999, up='5%', floor=0.1)",
    source=f"{SMITH}, sec. 3.1",
    trend="neither",
    tail=_cycle_tail("gamma"),
)
def exp_range(
    clock: Clock, gamma: Factor, up: LengthLike = "10%", down: Optional = None, floor: OpenShare = 0.1
) -> Array:
    """Like `triangular`, with a height that falls at every update: e + (η − e)·tri·γ^t."""
    triangle, _ = _wave(clock, up, down)
    return blend(floor, 1.0, triangle * np.power(gamma, clock.t))


def _bend(part: Array, anneal: str) -> Array:
    """From 0 to 1 over part in [0, 1]."""
    part = np.clip(part, 0.0, 1.0)
    return (1.0 - np.cos(np.pi * part)) / 2.0 if anneal == "cosine" else part


def _one_cycle_place(clock: Clock, at: LengthLike) -> float:
    top = clock.updates(at)
    if not 0 < top < clock.T:
        raise ValueError(f"its turn comes at update {top:g} of {clock.T:g}: it must lie inside the run")
    return top


@shape(
    example="one_cycle(0.1)",
    source="Smith and Topin 2018 (super-convergence); cosine as in fastai",
    trend="neither",
    end="end",
)
def one_cycle(
    clock: Clock,
    top: LengthLike = "30%",
    start: OpenShare = 0.04,
    end: OpenShare = 4e-6,
    anneal: Literal["cosine", "linear"] = "cosine",
    three_phase: bool = False,
) -> Array:
    """Up from η·`start` to the peak η at `top`, then down to η·`end` when the run ends.

    With `three_phase` it first falls back to η·`start`, as long as it rose, and then to the end. The
    defaults are torch's: start 1/25, end start/10⁴. `dip` is the momentum that goes with it.
    """
    rise = _one_cycle_place(clock, top)
    turn = 2.0 * rise if three_phase else clock.T
    if turn > clock.T:
        raise ValueError(
            f"three_phase needs top below half of the run, but got {rise:g} of {clock.T:g} updates"
        )
    middle = start if three_phase else end
    up = blend(start, 1.0, _bend(clock.t / rise, anneal))
    down = blend(1.0, middle, _bend((clock.t - rise) / (turn - rise), anneal))
    values = np.where(clock.t < rise, up, down)
    if three_phase and turn < clock.T:
        last = blend(start, end, _bend((clock.t - turn) / (clock.T - turn), anneal))
        values = np.where(clock.t > turn, last, values)
    return values


@shape(
    example="dip(0.95, low=0.9)",
    source="Smith 2018 (a disciplined approach): momentum falls while the rate rises",
    trend="neither",
)
def dip(
    clock: Clock,
    low: Share = 0.85 / 0.95,
    bottom: LengthLike = "30%",
    anneal: Literal["cosine", "linear"] = "cosine",
) -> Array:
    """Down from η to η·`low` at `bottom` and back: the momentum that mirrors `one_cycle`."""
    fall = _one_cycle_place(clock, bottom)
    part = np.where(clock.t < fall, clock.t / fall, (clock.T - clock.t) / (clock.T - fall))
    return blend(1.0, low, _bend(part, anneal))
