"""The textbook's policies: fixed, step, multistep, exp, inv, poly, and sigmoid.

In all formulas t is the update from 0, T the length of the run, η the peak rate `lr`; the functions
give the factor that multiplies η.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np

from stepsize.schedules.clock import Array, Clock, blend
from stepsize.schedules.parameters import Factor, Interval, Positive, Share
from stepsize.schedules.policy import shape
from stepsize.schedules.robbins_monro import Tail
from stepsize.schedules.units import Length, LengthLike, number_text

CAFFE = "Caffe, SGDSolver::GetLearningRate; Jia et al. 2014"


def _constant(_: dict[str, Any]) -> Tail:
    return Tail()


def per_update(gamma: float, every: Any) -> Tail | None:
    """The tail of gamma^(t / every); None when `every` is not a number of steps, and so follows the run."""
    if every.unit == "%":
        return None
    return Tail(ratio=gamma ** (1 / every.amount)) if every.unit == "steps" else Tail(ratio=gamma)


@shape(example="fixed(0.1)", source="textbook, fig. 12-11", tail=_constant)
def fixed(clock: Clock) -> Array:
    """The same rate throughout: η."""
    return np.ones_like(clock.t)


@shape(
    example="step(0.1, gamma=0.9, every=50)",
    source=f"textbook, eq. 4 and table 12-5; {CAFFE}",
    tail=lambda a: per_update(a["gamma"], a["every"]),
)
def step(clock: Clock, gamma: Factor = 0.1, every: LengthLike = "30%") -> Array:
    """Times γ after every s updates: η·γ^⌊t/s⌋."""
    return np.power(gamma, np.floor(clock.t / clock.updates(every)))


def _ascending(milestones: tuple[Length, ...]) -> str | None:
    if not milestones:
        return "milestones: needs at least one"
    for before, after in zip((Length(0, milestones[0].unit), *milestones), milestones, strict=False):
        if before.unit == after.unit and not before.amount < after.amount:
            shown = ", ".join(map(repr, milestones))
            return f"milestones: must be above zero and rise, but got [{shown}]"
    return None


def places(clock: Clock, lengths: Sequence[LengthLike], name: str) -> Array:
    """Lengths as updates (m,); raises `ValueError` unless they rise, which mixed units can hide until now."""
    updates = np.array([clock.place(length) for length in lengths], dtype=np.float64)
    if (np.diff(updates) <= 0).any():
        raise ValueError(f"{name} must rise, but come to {', '.join(map(number_text, updates))} updates")
    return updates


@shape(
    example="multistep(0.1, milestones=[3000, 5500, 8000], gamma=0.1)",
    source=f"textbook, fig. 12-11; {CAFFE}",
    tail=_constant,
    requires=lambda a: _ascending(a["milestones"]),
)
def multistep(clock: Clock, milestones: Sequence[LengthLike] = ("50%", "75%"), gamma: Factor = 0.1) -> Array:
    """Times γ at each milestone: η·γ^(number of milestones ≤ t)."""
    passed = np.searchsorted(places(clock, milestones, "milestones"), clock.t, side="right")
    return np.power(gamma, passed.astype(np.float64))


@shape(
    example="exp(0.1, gamma=0.999)",
    source=f"textbook, fig. 12-11; {CAFFE}",
    tail=lambda a: per_update(a["gamma"], a["every"]),
)
def exp(clock: Clock, gamma: Factor, every: LengthLike = 1) -> Array:
    """Exponential decay, times γ per `every` (one update unless said otherwise): η·γ^(t/D)."""
    return np.power(gamma, clock.t / clock.updates(every))


@shape(
    example="inv(0.1, gamma=0.0001, power=0.5)",
    source=f"textbook, fig. 12-11 (p = 0.5 unless said otherwise); {CAFFE}",
    tail=lambda a: None if a["every"].unit == "%" else Tail(power=a["power"]),
)
def inv(clock: Clock, gamma: Positive, power: Positive = 0.5, every: LengthLike = 1) -> Array:
    """Inverse decay: η·(1 + γ·t/D)^(−p), with D = `every`, one update unless said otherwise."""
    return np.power(1.0 + gamma * (clock.t / clock.updates(every)), -power)


@shape(example="poly(0.1, power=0.9)", source=f"textbook, fig. 12-11; {CAFFE}", end="floor")
def poly(clock: Clock, power: Positive = 1.0, floor: Share = 0.0) -> Array:
    """Polynomial decay to a floor e: e + (η − e)·(1 − t/T)^p."""
    return blend(floor, 1.0, np.power(1.0 - clock.z, power))


def _sigmoid_tail(a: dict[str, Any]) -> Tail:
    return Tail() if a["gamma"] > 0 else Tail(ratio=math.exp(a["gamma"]))


@shape(
    example="sigmoid(0.1, gamma=-0.01, centre=500)",
    source=f"textbook's figures; {CAFFE}",
    trend=lambda a: "rising" if a["gamma"] > 0 else "falling",
    tail=_sigmoid_tail,
    requires=lambda a: None if a["gamma"] else "gamma: must not be 0 (the rate would be constant: use fixed)",
)
def sigmoid(
    clock: Clock, gamma: Annotated[float, Interval(-math.inf, math.inf, "()")], centre: LengthLike = "50%"
) -> Array:
    """Sigmoid around the update s = `centre`: η/(1 + e^(−γ(t − s))); it rises for γ > 0, falls for γ < 0."""
    with np.errstate(over="ignore"):  # e^x = ∞ gives the right limit, 0
        return 1.0 / (1.0 + np.exp(-gamma * (clock.t - clock.updates(centre))))
