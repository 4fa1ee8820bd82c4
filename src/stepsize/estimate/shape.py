"""What a loss-over-rate curve looks like: does it fall, does it turn up, or is it only noise?"""

from __future__ import annotations

from typing import Literal

import msgspec
import numpy as np
from numpy.typing import ArrayLike

from stepsize.estimate.smoothing import Floats, centred_average, finite_length

Form = Literal["too_few_points", "diverged", "flat", "rising", "falling", "turns"]

FEWEST = 8
"""Points below which noise cannot be told from change: its estimate would rest on five differences."""

SIGNIFICANT = 8.0
"""Noise standard deviations that a change must exceed. The range of pure noise is about 5 of them, and they
are estimated: at 8, 1% of flat curves with 40 points, and 3% with 10, pass for anything else."""

RISE = 0.05
"""Share of the fall that a rise must reach to count as a turn, on a curve without noise."""

LEVEL = 0.01
"""Share of the fall within which a curve without noise still counts as being at its lowest."""


class Shape(msgspec.Struct, frozen=True, kw_only=True):
    """A curve, read.

    `length` entries precede divergence; `smoothed` (length,) is their average without lag, and `noise` its
    standard deviation. `lowest` is the index of its minimum, `turn` the last index from there on at
    which it has not yet risen. `diverges` tells whether anything follows.
    """

    form: Form
    length: int
    smoothed: Floats
    noise: float
    lowest: int
    turn: int
    diverges: bool


def check_curve(lrs: ArrayLike, losses: ArrayLike) -> tuple[Floats, Floats]:
    """Both as float64 arrays (n,); raises `ValueError` unless the rates are positive and rise strictly."""
    rates, values = np.asarray(lrs, dtype=np.float64), np.asarray(losses, dtype=np.float64)
    if rates.ndim != 1 or rates.shape != values.shape:
        raise ValueError(
            "lrs and losses must be two curves of the same length, "
            f"but got shapes {rates.shape} and {values.shape}"
        )
    if not (np.isfinite(rates).all() and (rates > 0).all()):
        bad = rates[~(np.isfinite(rates) & (rates > 0))][0]
        raise ValueError(f"lrs must be positive and finite, but got {bad}")
    if not (np.diff(rates) > 0).all():
        at = int(np.flatnonzero(np.diff(rates) <= 0)[0])
        raise ValueError(
            f"lrs must rise strictly, but lrs[{at}]={rates[at]:g} is followed by "
            f"lrs[{at + 1}]={rates[at + 1]:g}: sort both arrays by rate first"
        )
    return rates, values


def read_shape(losses: ArrayLike) -> Shape:
    """Tell whether a curve (n,) over rising rates falls, turns, or says nothing.

    The losses are cut where they become non-finite, or exceed their start for good: what follows is
    divergence, and must not leak into the average. The noise comes from second differences, σ = median|Δ²L|
    / (0.6745 √6), which a straight line leaves at zero; a change counts when it exceeds 8 standard
    deviations of the smoothed curve.
    """
    values = np.asarray(losses, dtype=np.float64)
    length, start = _before_divergence(values)
    diverges = length < values.size
    if length < FEWEST:
        form: Form = "diverged" if diverges else "too_few_points"
        if finite_length(values) >= FEWEST:
            form = "rising"
        return Shape(
            form=form,
            length=length,
            smoothed=values[:length].copy(),
            noise=0.0,
            lowest=0,
            turn=0,
            diverges=diverges,
        )
    values = np.minimum(values[:length], start)
    beta = _smoothing(values)
    smoothed = centred_average(values, beta)
    noise = _noise(values) * _averaging(beta)
    floor = max(
        SIGNIFICANT * noise, 1e-9 * float(np.abs(smoothed).max())
    )  # below 1e-9: rounding, not a change
    lowest = int(smoothed.argmin())
    fall = float(smoothed[: lowest + 1].max() - smoothed[lowest])
    rise = float(smoothed[lowest:].max() - smoothed[lowest])
    risen = np.flatnonzero(smoothed[lowest:] > smoothed[lowest] + max(noise, LEVEL * fall))
    turn = lowest + int(risen[0]) - 1 if risen.size else length - 1
    if fall <= floor:
        form = "rising" if rise > floor or diverges else "flat"
    elif diverges or rise > max(floor, RISE * fall):
        form = "turns"
    else:
        form = "falling"
    return Shape(
        form=form, length=length, smoothed=smoothed, noise=noise, lowest=lowest, turn=turn, diverges=diverges
    )


def smooth(losses: ArrayLike) -> Floats:
    """The curve (n,) without its noise: the average without lag, as wide as the noise asks for.

    That is at most two entries per hundred either way, and none for a curve without noise. Before the loss
    exceeds its start for good it is clipped there; from there on it is left as it is, so that a blow-up does
    not reach back. NaN from the first non-finite loss on.
    """
    values = np.asarray(losses, dtype=np.float64)
    length, start = _before_divergence(values)
    result = np.full(values.shape, np.nan)
    finite = finite_length(values)
    result[:finite] = values[:finite]
    if length >= FEWEST:
        clipped = np.minimum(values[:length], start)
        result[:length] = centred_average(clipped, _smoothing(clipped))
    return result


def _before_divergence(values: Floats) -> tuple[int, float]:
    """How many entries precede the first that is non-finite or above the start for good, and that start.

    The start is the largest of the first tenth, plus four standard deviations of the noise.
    """
    finite = values[: finite_length(values)]
    if finite.size < FEWEST:
        return finite.size, np.inf
    start = float(finite[: max(1, finite.size // 10)].max() + 4 * _noise(finite))
    return int(np.flatnonzero(finite <= start)[-1]) + 1, start


def _smoothing(values: Floats) -> float:
    """β of the average: no wider than the noise asks for, and at most two entries per hundred."""
    spread = float(np.ptp(values))
    if spread == 0:
        return 0.0
    width = min(values.size / 50, (_noise(values) / spread / (2 * LEVEL)) ** 2)
    return width / (1 + width)


def _noise(values: Floats) -> float:
    """Standard deviation of one entry, from second differences (Gasser, Sroka & Jennen-Steinmetz 1986)."""
    return float(np.median(np.abs(np.diff(values, 2))) / (0.6745 * np.sqrt(6)))


def _averaging(beta: float) -> float:
    """√Σw² of the centred average's weights w_j = β^|j| (1−β)/(1+β)."""
    total, squares = (1 + beta) / (1 - beta), (1 + beta**2) / (1 - beta**2)
    return float(np.sqrt(squares) / total)
