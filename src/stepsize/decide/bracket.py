"""The rates worth rehearsing, from one range test: all that a search takes from it."""

from __future__ import annotations

import math

import numpy as np

from stepsize.measure.curve import Curve
from stepsize.measure.range_test import spaced_plan
from stepsize.measure.rising import measure_curve
from stepsize.training.engine import Progress
from stepsize.training.probed import Trainable

FEWEST_BRACKET, MOST_BRACKET = 30, 60
"""Updates of the range test: an eighth of the run, within these; six per decade over its ten decades."""

BELOW_CEILING = 3e4
"""The first grid reaches this far below the rate at which the range test broke down, at most."""

STIRRED = 0.25
"""Share of the range test's fall by which it has begun to learn."""

BROKEN = 0.5
"""Share of its fall below which it has broken down for good."""

JUMPS = 2.0
"""Usual differences between successive batches' losses that a loss may rise by without having broken down."""

CLEAR = 2.0
"""Ranges of the range test's first losses that a fall must exceed to be one."""


def bracket(
    task: Trainable, lr_min: float, lr_max: float, *, seed: int, progress: Progress
) -> tuple[Curve, float, float]:
    """A range test between `lr_min` and `lr_max`, with the smallest and the largest rate worth rehearsing."""
    steps = int(np.clip(task.steps // 8, FEWEST_BRACKET, MOST_BRACKET))
    plan = spaced_plan(lr_min, lr_max, steps)
    curve = measure_curve(task, plan, seeds=[seed], loss="train", engine="loop", progress=progress)
    stirred, broken = limits(curve)
    high = min(broken, lr_max)
    # Rates that grow by a factor q with each update sum up to lr / ln q. A quarter of the real run at `low`
    # moves no further than the range test did until it began to learn: less is not worth a try.
    moved = stirred / math.log(plan.lrs[1] / plan.lrs[0])
    low = max(4 * moved / task.steps, high / BELOW_CEILING, lr_min)
    return curve, min(low, high), high


def limits(curve: Curve) -> tuple[float, float]:
    """Where the range test had begun to learn, and where it broke down: diverged or lost half of its fall.

    The first is the rate from which on a quarter of the loss's fall was kept until its lowest; the second is
    the one after the last at which half of the fall was kept. The start is the median of the first tenth,
    since one batch may be unlike the others. A fall that does not clearly exceed the spread of that tenth
    tells neither: then it has learned from the first rate on, and broken down once it stays above them all by
    more than batches differ.
    """
    loss, lrs = curve.smoothed, curve.lrs
    known = np.flatnonzero(np.isfinite(loss))
    if not known.size:
        return float(lrs[0]), float(lrs[0])
    first = loss[known[: max(3, len(lrs) // 10)]]
    start, lowest = float(np.median(first)), int(np.nanargmin(loss))
    fall = start - float(loss[lowest])
    clear = fall > CLEAR * float(np.ptp(first))
    before = np.flatnonzero(loss[:lowest] > start - STIRRED * fall) if clear else np.array([])
    stirred = int(before[-1]) + 1 if before.size else 0
    raw = curve.losses.mean(axis=0)
    usual = float(np.nanmedian(np.abs(np.diff(raw[np.isfinite(raw)])))) if known.size > 1 else 0.0
    kept = np.flatnonzero(
        loss <= (start - BROKEN * fall if clear else max(first.max(), start + JUMPS * usual))
    )
    broken = min(int(kept[-1]) + 1, len(lrs) - 1)
    return float(lrs[stirred]), float(lrs[broken])
