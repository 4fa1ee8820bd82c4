"""Phases with a duration: warm-up, hold, decay, and the warmup-stable-decay schedule made of them.

t counts from the beginning of the phase, T is its length, z = t/T; a duration of None takes what the
other phases leave.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from stepsize.schedules.clock import Array, Clock, blend
from stepsize.schedules.combine import sequence
from stepsize.schedules.parameters import Share
from stepsize.schedules.policy import composition, phase
from stepsize.schedules.robbins_monro import Tail
from stepsize.schedules.schedule import Schedule
from stepsize.schedules.units import LengthLike


def _constant(_: dict[str, Any]) -> Tail:
    return Tail()


def _needs_start(a: dict[str, Any]) -> str | None:
    if a["shape"] == "exponential" and a["start"] == 0:
        return "start: an exponential warm-up cannot start from 0; give start=0.01, say"
    return None


@phase(
    example="warmup('5%')",
    source="Goyal et al. 2017, sec. 2.2; the first update has rate η/W, not 0",
    trend="rising",
    tail=_constant,
    requires=_needs_start,
)
def warmup(
    clock: Clock,
    shape: Literal["linear", "exponential", "cosine"] = "linear",
    start: Share = 0.0,
    zero_first: bool = False,
) -> Array:
    """Up to the peak in W updates: s + (1 − s)·(t + 1)/W, or s^(1 − (t + 1)/W), with s = `start`.

    The last of the W updates has the full rate. With `zero_first` it is t/W, as in transformers, optax,
    keras and timm: the first update has rate η·s.
    """
    part = np.minimum(clock.z if zero_first else (clock.t + 1.0) / clock.T, 1.0)
    if shape == "exponential":
        return np.power(start, 1.0 - part)
    if shape == "cosine":
        part = (1.0 - np.cos(np.pi * part)) / 2.0
    return blend(start, 1.0, part)


@phase(example="hold('30%')", source="a constant phase", trend="falling", tail=_constant)
def hold(clock: Clock) -> Array:
    """Keep the rate: η."""
    return np.ones_like(clock.t)


def _needs_floor(a: dict[str, Any]) -> str | None:
    if a["shape"] == "exponential" and a["floor"] == 0:
        return "floor: an exponential decay never reaches 0; give floor=0.01, say"
    return None


@phase(
    example="decay('20%', shape='1-sqrt')",
    source="Hägele et al. 2024 for 1-sqrt; Hu et al. 2024 (MiniCPM)",
    trend="falling",
    end="floor",
    requires=_needs_floor,
)
def decay(
    clock: Clock,
    shape: Literal["linear", "1-sqrt", "1-square", "cosine", "exponential"] = "linear",
    floor: Share = 0.0,
) -> Array:
    """Down from the peak to a floor e: e + (1 − e)·g(z), or e^z when exponential.

    g is 1 − z (linear), 1 − √z (1-sqrt), 1 − z² (1-square) or (1 + cos πz)/2 (cosine).
    """
    z = clock.z
    if shape == "exponential":
        return np.power(floor, z)
    if shape == "linear":
        fall = 1.0 - z
    elif shape == "1-sqrt":
        fall = 1.0 - np.sqrt(z)
    elif shape == "1-square":
        fall = 1.0 - z * z
    else:
        fall = (1.0 + np.cos(np.pi * z)) / 2.0
    return blend(floor, 1.0, fall)


@composition
def wsd(
    lr: float = 1.0,
    warm: LengthLike = "2%",
    cool: LengthLike = "20%",
    shape: Literal["linear", "1-sqrt", "1-square", "cosine", "exponential"] = "1-sqrt",
    floor: float = 0.0,
) -> Schedule:
    """Warmup-stable-decay (trapezoid): warm up for `warm`, hold, decay over the last `cool`.

    Source: Hu et al. 2024 (MiniCPM); Hägele et al. 2024 for 1-sqrt.
    """
    phases = sequence(warmup(warm), hold(), decay(cool, shape=shape, floor=floor))
    return phases if lr == 1 else phases * lr
