"""Candidates for a column of rates: one function a family, a closed form or a small least-squares fit."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from stepsize.schedules.annealing import cosine, inverse_sqrt, linear, noam, piecewise, rex
from stepsize.schedules.classic import exp, fixed, inv, multistep, poly, sigmoid, step
from stepsize.schedules.clock import Array
from stepsize.schedules.cycles import one_cycle, triangular, warm_restarts
from stepsize.schedules.phases import decay, hold, warmup
from stepsize.schedules.schedule import Schedule
from stepsize.schedules.units import Length


def whole(rates: Array, steps: int) -> Iterator[Schedule]:
    """Schedules of one shape that these rates may come from, on a run of `steps`."""
    for fit in _FITS:
        try:
            with np.errstate(divide="raise", invalid="raise"):
                found = list(fit(rates, steps))
        except (ValueError, FloatingPointError, OverflowError):
            continue  # parameters that no schedule admits are no candidate
        yield from found


@dataclass(frozen=True, slots=True)
class Warmup:
    """A warm-up phase and its length in updates."""

    schedule: Schedule
    steps: int


def warmups(rates: Array) -> Iterator[Warmup]:
    """Straight rises from the first update: W with (t + 1)/W, and with t/W."""
    rise = np.diff(rates)
    if rise[0] <= 0:
        return
    bent = np.flatnonzero(np.abs(rise - rise[0]) > 1e-4 * rise[0])
    straight = int(bent[0]) if bent.size else len(rise)
    for width, zero_first in ((straight + 1, False), (straight, True), (straight + 1, True)):
        if width < 1 or width >= len(rates):
            continue
        peak = _tidy(float(rates[0] + rise[0] * (width if zero_first else width - 1)))
        begin = float(rates[0] if zero_first else rates[0] - rise[0])
        start = 0.0 if abs(begin) < 1e-5 * peak else _tidy(begin / peak)
        if 0 <= start < 1:
            yield Warmup(warmup(width, lr=peak, start=start, zero_first=zero_first), width)


def _tidy(value: float) -> float:
    """The nearest short decimal, if it is within what a float32 log can tell."""
    for digits in range(1, 8):
        short = float(f"{value:.{digits}g}")
        if abs(short - value) <= 2e-6 * abs(value):
            return short
    return float(value)


def _constant(rates: Array, steps: int) -> Iterator[Schedule]:
    yield fixed(_tidy(float(np.median(rates))))


def _stairs(rates: Array, steps: int) -> Iterator[Schedule]:
    scale = np.maximum(rates[:-1], 1e-300)
    drops = np.flatnonzero(np.abs(np.diff(rates)) > 1e-6 * scale) + 1
    if not 1 <= len(drops) <= len(rates) // 2:
        return
    gamma = _tidy(float(rates[drops[0]] / rates[drops[0] - 1]))
    every = int(drops[0])
    if (drops == every * np.arange(1, len(drops) + 1)).all():
        yield step(_tidy(rates[0]), gamma=gamma, every=every)
    yield multistep(_tidy(rates[0]), milestones=drops.tolist(), gamma=gamma)


def _exponential(rates: Array, steps: int) -> Iterator[Schedule]:
    if rates.min() > 0:
        gamma = float((rates[-1] / rates[0]) ** (1.0 / (len(rates) - 1)))
        yield exp(_tidy(rates[0]), gamma=_tidy(gamma))
        yield exp(_tidy(rates[0]), gamma=gamma)


def _line(rates: Array, steps: int) -> Iterator[Schedule]:
    slope = (rates[-1] - rates[0]) / (len(rates) - 1)
    end = rates[0] + slope * steps
    peak = _tidy(float(max(rates[0], end)))
    ends = [_tidy(v / peak) if v > 1e-5 * peak else 0.0 for v in (float(rates[0]), float(end))]
    yield linear(peak, start=min(ends[0], 1.0), end=min(ends[1], 1.0))


def _floors(rates: Array, shape: Array) -> float:
    """The floor e in rate/peak = e + (1 − e)·shape, by least squares."""
    drop = 1.0 - shape
    floor = 1.0 - float(drop @ (1.0 - rates / rates[0]) / (drop @ drop))
    return _tidy(floor) if 1e-6 < floor < 1 else 0.0


def _anneals(rates: Array, steps: int) -> Iterator[Schedule]:
    z = np.arange(len(rates)) / steps
    peak = _tidy(rates[0])
    yield cosine(peak, floor=_floors(rates, (1 + np.cos(np.pi * z)) / 2))
    yield rex(peak, floor=_floors(rates, (1 - z) / (1 - z / 2)))


def _polynomial(rates: Array, steps: int) -> Iterator[Schedule]:
    left = 1.0 - np.arange(len(rates)) / steps
    height = rates / rates[0]
    if rates[-1] >= rates[0]:
        return
    from scipy.optimize import least_squares  # a third of a second, paid only here

    fit = least_squares(
        lambda p: p[1] + (1 - p[1]) * left ** p[0] - height, [1.0, 0.0], xtol=1e-15, ftol=1e-15, gtol=1e-15
    )
    power, floor = float(fit.x[0]), float(fit.x[1])
    yield poly(_tidy(rates[0]), power=_tidy(power), floor=_tidy(floor) if floor > 1e-6 else 0.0)


def _inverse(rates: Array, steps: int) -> Iterator[Schedule]:
    t = np.arange(len(rates), dtype=np.float64)
    if rates.min() <= 0 or rates[-1] >= rates[0]:
        return
    target = np.log(rates / rates[0])
    begin = [math.log(10.0 / len(t)), 0.0]
    from scipy.optimize import least_squares  # a third of a second, paid only here

    fit = least_squares(
        lambda p: -np.exp(p[1]) * np.log1p(np.exp(p[0]) * t) - target,
        begin,
        xtol=1e-15,
        ftol=1e-15,
        gtol=1e-15,
    )
    gamma, power = (float(v) for v in np.exp(fit.x))
    yield inv(_tidy(rates[0]), gamma=float(f"{gamma:.4g}"), power=float(f"{power:.4g}"))
    yield inv(_tidy(rates[0]), gamma=gamma, power=power)


def _sigmoidal(rates: Array, steps: int) -> Iterator[Schedule]:
    from scipy.optimize import least_squares

    t = np.arange(len(rates), dtype=np.float64)
    top = float(rates.max())
    centre = float(np.abs(rates - top / 2).argmin())
    slope = float(np.gradient(rates)[int(centre)]) * 4 / top
    if rates.min() <= 0 or slope == 0:
        return
    fit = least_squares(
        lambda p: -np.logaddexp(0, -p[1] * (t - p[2])) + p[0] - np.log(rates),
        [math.log(top), slope, centre],
        x_scale=[1.0, abs(slope), 1 / abs(slope)],
        xtol=1e-15,
        ftol=1e-15,
        gtol=1e-15,
    )
    peak, gamma, middle = math.exp(fit.x[0]), float(fit.x[1]), float(fit.x[2])
    if middle > 0:
        yield sigmoid(_tidy(peak), gamma=_tidy(gamma), centre=Length(_tidy(middle), "steps"))


def _roots(rates: Array, steps: int) -> Iterator[Schedule]:
    top = int(rates.argmax())
    if 0 < top < len(rates) - 2:
        yield noam(_tidy(rates[top]), warmup=top + 1)
        for width in (top, top + 1):
            yield inverse_sqrt(_tidy(rates[top]), warmup=width)
            yield inverse_sqrt(_tidy(rates[top]), warmup=width, zero_first=True)


def _cycles(rates: Array, steps: int) -> Iterator[Schedule]:
    jumps = np.flatnonzero(np.diff(rates) > 0.3 * rates.max()) + 1
    if jumps.size:
        first = int(jumps[0])
        ahead = (int(jumps[1]) - first) / first if jumps.size > 1 else 1.0
        shape = (1 + np.cos(np.pi * np.arange(first) / first)) / 2
        yield warm_restarts(
            _tidy(rates[0]),
            first=first,
            growth=_tidy(ahead),
            decay=_tidy(min(rates[first] / rates[0], 1.0)),
            floor=_floors(rates[:first], shape),
        )
    turns = np.flatnonzero(np.diff(np.sign(np.diff(rates)))) + 1
    if len(turns) and rates[0] < rates[turns[0]]:
        up = int(turns[0])
        down = int(turns[1]) - up if len(turns) > 1 else up
        yield triangular(_tidy(rates[up]), up=up, down=down, floor=_tidy(rates[0] / rates[up]))


def _one_cycle(rates: Array, steps: int) -> Iterator[Schedule]:
    top = int(rates.argmax())
    if not 0 < top < len(rates) - 2:
        return
    peak = float(rates[top])
    z = (np.arange(top, len(rates)) - top) / (steps - top)
    start = _tidy(rates[0] / peak)
    for last in (_floors(rates[top:], (1 + np.cos(np.pi * z)) / 2), 4e-6):
        yield one_cycle(_tidy(peak), top=top, start=start, end=last)
    for last in (_floors(rates[top:], 1 - z), 4e-6):
        yield one_cycle(_tidy(peak), top=top, start=start, end=last, anneal="linear")


def hold_decay(rates: Array, steps: int) -> Iterator[Schedule]:
    """A constant phase and a decay to the end of the run."""
    falls = np.flatnonzero(np.abs(rates - rates[0]) > 1e-6 * rates[0])
    if not falls.size or falls[0] < 2:
        return
    peak = _tidy(rates[0])
    for stay in (int(falls[0]) - 1, int(falls[0])):
        fall = rates[stay:]
        z = np.arange(len(fall)) / (steps - stay)
        for shape, curve in _FALLS.items():
            floor = _floors(fall, curve(z))
            yield hold(stay, lr=peak) | decay(lr=peak, shape=shape, floor=floor)  # type: ignore[arg-type]


def pieces(rates: Array) -> Iterator[Schedule]:
    """Straight pieces, if there are at most eight."""
    bend = np.flatnonzero(np.abs(np.diff(rates, 2)) > 1e-5 * rates.max()) + 1
    knots = [0, *bend.tolist(), len(rates) - 1]
    if len(knots) <= 9:
        peak = float(rates.max())
        yield piecewise(peak, at=knots, factors=[float(rates[k] / peak) for k in knots])


_FALLS: dict[str, Callable[[Array], Array]] = {
    "linear": lambda z: 1 - z,
    "1-sqrt": lambda z: 1 - np.sqrt(z),
    "cosine": lambda z: (1 + np.cos(np.pi * z)) / 2,
    "1-square": lambda z: 1 - z**2,
}
_FITS = (
    _constant,
    _stairs,
    _exponential,
    _line,
    _anneals,
    _polynomial,
    _inverse,
    _sigmoidal,
    _roots,
    _cycles,
    _one_cycle,
)
