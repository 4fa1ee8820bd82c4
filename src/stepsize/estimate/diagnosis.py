"""What a loss curve says of its rate: too slow, converging, oscillating or diverging; and where it stood
still.

The curve is cut into blocks of consecutive losses. Block means tell the trend, and the scatter within blocks,
once each block's own line is taken off, tells the fluctuation. Everything is measured against the loss at the
start, so that the verdict does not depend on the loss's unit.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import ArrayLike

Verdict = Literal["too_slow", "converging", "oscillating", "diverging", "undetermined"]

BLOCKS = 20
"""Blocks that a curve is cut into: enough to see where it slows down, few enough to average noise away."""

SMALLEST = 8
"""Losses in a block, unless there would be fewer than four blocks."""

FEWEST = 12
"""Losses below which a curve is too short to be judged."""

CLEAR = 3.0
"""Standard errors from which a change of the mean is one."""

RISEN = 1.5
"""A curve whose end lies so many times above its lowest block, and still rises, diverges."""

SWINGS = 0.04
"""Fluctuation, as a share of the start's loss, from which on a curve that hardly falls is said to
oscillate."""

ALTERNATING = -0.3
"""Correlation of neighbours below which the loss goes up and down from one update to the next."""

STEADY = 0.5
"""A curve whose second half falls by more than this share of what its first half fell is at its beginning: an
exponential that still has half of its way to go."""

JUMP = 1.25
"""A curve that rises to so many times its start and does not come back below it was thrown off."""

STILL = 0.01
"""Change between blocks, as a share of the whole fall, up to which the loss stands still."""

PLATEAU = 0.1
"""Share of the curve that a plateau is long at least."""


class Plateau(msgspec.Struct, frozen=True):
    """Updates `start` to `end` (exclusive) where the loss stood still at `level`."""

    start: int
    end: int
    level: float


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """The verdict on a curve, with the figures that it rests on.

    `fall` is the share of the start's loss that is gone at the end, negative if it rose; `fall_error` its
    standard error. `late_fall` is the fall of the second half as a share of that of the first.
    `fluctuation` is the standard deviation about the trend in the second half, as a share of the start's
    loss, and `neighbours` the correlation of successive losses there. What the curve is too short for, or
    has no fall for, is None. `first_not_finite` is the first update without a finite loss, None if there is
    none.
    """

    verdict: Verdict
    why: str
    fall: float | None
    fall_error: float | None
    late_fall: float | None
    fluctuation: float | None
    neighbours: float | None
    first_not_finite: int | None
    plateaus: tuple[Plateau, ...]


def read_curve(losses: ArrayLike) -> Reading:
    """Read a loss curve, one loss an update or one at every so many, (T,).

    Raises:
        ValueError: `losses` is not one-dimensional or empty.
    """
    curve = np.asarray(losses, dtype=np.float64)
    if curve.ndim != 1 or not curve.size:
        raise ValueError(f"losses must be (T,) with T >= 1, but are {curve.shape}")
    bad = np.flatnonzero(~np.isfinite(curve))
    first = int(bad[0]) if bad.size else None
    known = curve if first is None else curve[:first]
    if len(known) < FEWEST:
        if first is not None:
            return _unmeasured("diverging", f"The loss is not finite from update {first} on.", first)
        return _unmeasured(
            "undetermined", f"{len(known)} losses are too few to judge: at least {FEWEST} are needed.", None
        )
    figures = _Figures.of(known)
    verdict, why = _verdict(figures)
    if first is not None:
        verdict, why = "diverging", f"The loss is not finite from update {first} on."
    return Reading(
        verdict=verdict,
        why=why,
        fall=figures.fall,
        fall_error=figures.fall_error,
        late_fall=figures.late_fall if math.isfinite(figures.late_fall) else None,
        fluctuation=figures.fluctuation,
        neighbours=figures.neighbours,
        first_not_finite=first,
        plateaus=_plateaus(figures),
    )


def _unmeasured(verdict: Verdict, why: str, first: int | None) -> Reading:
    return Reading(
        verdict=verdict,
        why=why,
        fall=None,
        fall_error=None,
        late_fall=None,
        fluctuation=None,
        neighbours=None,
        first_not_finite=first,
        plateaus=(),
    )


class _Figures(msgspec.Struct, frozen=True, kw_only=True):
    edges: np.ndarray
    means: np.ndarray
    errors: np.ndarray
    scale: float
    fall: float
    fall_error: float
    late_fall: float
    falls_late: bool
    fluctuation: float
    neighbours: float
    alternates: bool
    peak: float

    @classmethod
    def of(cls, curve: np.ndarray) -> _Figures:
        count = int(np.clip(len(curve) // SMALLEST, 4, BLOCKS))
        edges = np.linspace(0, len(curve), count + 1).round().astype(int)
        blocks = [curve[a:b] for a, b in pairwise(edges)]
        means = np.array([block.mean() for block in blocks])
        rest = np.concatenate([_detrended(block) for block in blocks])
        late = np.concatenate([_detrended(block) for block in blocks[count // 2 :]])
        errors = np.array([_detrended(block).std() / math.sqrt(len(block)) for block in blocks])
        errors = np.maximum(errors, rest.std() / math.sqrt(len(curve) / count) / 3)
        half = curve[len(curve) // 2 :]
        rest_of_half = half - np.polyval(np.polyfit(np.arange(len(half)), half, 2), np.arange(len(half)))
        square = float(rest_of_half @ rest_of_half)
        neighbours = float(rest_of_half[:-1] @ rest_of_half[1:]) / square if square > 0 else 0.0
        scale = max(abs(float(curve[: max(1, len(blocks[0]) // 2)].mean())), np.finfo(float).tiny)
        middle = float(means[(count - 1) // 2 : count // 2 + 1].mean())
        early, after = means[0] - middle, middle - means[-1]
        return cls(
            edges=edges,
            means=means,
            errors=errors,
            scale=scale,
            fall=float((means[0] - means[-1]) / scale),
            fall_error=float(math.hypot(errors[0], errors[-1]) / scale),
            late_fall=float(after / early) if early > 0 else math.nan,
            falls_late=bool(after > CLEAR * math.hypot(errors[count // 2], errors[-1])),
            fluctuation=float(late.std() / scale),
            neighbours=neighbours,
            alternates=bool(neighbours < min(ALTERNATING, -CLEAR / math.sqrt(len(half)))),
            peak=float(curve.max() / scale),
        )

    @property
    def lowest(self) -> int:
        return int(np.argmin(self.means))

    @property
    def rises_at_the_end(self) -> bool:
        """Whether the last quarter, past the lowest block, goes up by more than its noise."""
        tail = max(2, len(self.means) // 4)
        rise = self.means[-1] - self.means[-tail]
        clear = rise > CLEAR * math.hypot(self.errors[-1], self.errors[-tail])
        return bool(self.lowest < len(self.means) - 1 and rise > 0 and clear)


def _detrended(block: np.ndarray) -> np.ndarray:
    """What is left of a block without its straight line, scaled up for the line's two parameters."""
    if len(block) < 3:
        return np.zeros_like(block)
    x = np.arange(len(block)) - (len(block) - 1) / 2
    rest = block - block.mean() - x * (x @ block) / (x @ x)
    return np.asarray(rest * math.sqrt(len(block) / (len(block) - 2)))


def _verdict(f: _Figures) -> tuple[Verdict, str]:
    end, lowest, start = f.means[-1], f.means[f.lowest], f.means[0]
    above = (end - lowest) / f.scale
    if f.rises_at_the_end and (end > RISEN * abs(lowest) or end > start + CLEAR * f.fall_error * f.scale):
        return "diverging", f"The loss ends {end / lowest:.3g} times above its lowest, and still rises."
    falls = f.fall > CLEAR * f.fall_error
    swings = f.fluctuation >= SWINGS and not f.falls_late and not (falls and f.fall > 4 * f.fluctuation)
    alternates = f.alternates and f.fluctuation >= SWINGS / 4
    if swings or alternates:
        how = "from one update to the next" if alternates else "without getting lower"
        return "oscillating", f"The loss swings by {f.fluctuation:.1%} of its start {how}."
    if -f.fall > CLEAR * f.fall_error and above > SWINGS:
        return "diverging", f"The loss ends {-f.fall:.1%} of its start above it."
    if f.peak > JUMP and not falls:
        return "diverging", f"The loss jumped to {f.peak:.3g} times its start and did not come back below it."
    if not falls:
        return (
            "too_slow",
            f"The loss has hardly moved: by {f.fall:.1%} of its start, give or take {f.fall_error:.1%}.",
        )
    if f.late_fall > STEADY:
        return (
            "too_slow",
            f"The loss has fallen by {f.fall:.1%}, the second half {f.late_fall:.0%} as far as the first.",
        )
    return "converging", f"The loss has fallen by {f.fall:.1%}, most of it early: it levels out."


def _plateaus(f: _Figures) -> tuple[Plateau, ...]:
    """Runs of blocks whose means differ by no more than noise and `STILL` of the whole fall."""
    span = float(f.means.max() - f.means.min())
    found: list[Plateau] = []
    first = 0
    for b in range(1, len(f.means) + 1):
        still = b < len(f.means) and abs(f.means[b] - f.means[first:b].mean()) <= max(
            CLEAR * float(f.errors[b]), 2 * STILL * span, 1e-9 * f.scale
        )
        if still:
            continue
        length = f.edges[b] - f.edges[first]
        if b - first >= 2 and length >= PLATEAU * f.edges[-1]:
            level = float(f.means[first:b].mean())
            found.append(Plateau(int(f.edges[first]), int(f.edges[b]), level))
        first = b
    return tuple(found)
