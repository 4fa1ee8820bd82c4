"""When a statement holds, does not hold, or cannot be told: stated rules on intervals over paired seeds.

Every rule is a pure function. A difference is taken seed by seed, since runs of one seed share their starting
weights and batches; its interval is Student's. With three seeds that interval is wide (t = 4.3 standard
errors), so that much cannot be told: the rules then say so.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from fractions import Fraction
from itertools import pairwise
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from stepsize.runs.statistics import paired_interval

Verdict = Literal["holds", "does not hold", "cannot be told"]

LEVEL = 0.95


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """The mean over `seeds` of first − second, its interval, and for how many seeds the first is higher."""

    mean: float
    low: float
    high: float
    ahead: int
    seeds: int

    @property
    def verdict(self) -> Verdict:
        """Whether the first is higher: by the side of 0 on which the interval lies."""
        if self.low > 0:
            return "holds"
        return "does not hold" if self.high < 0 else "cannot be told"


def difference(first: ArrayLike, second: ArrayLike, *, level: float = LEVEL) -> Difference:
    """First − second over paired seeds, (S,) each; NaN where a run diverged, which counts as lowest of all.

    With one seed, or where only some runs diverged, the interval is endless.
    """
    a, b = (np.asarray(values, dtype=np.float64) for values in (first, second))
    if a.shape != b.shape or a.ndim != 1 or not a.size:
        raise ValueError(f"first and second must be (S,) alike with S >= 1, but are {a.shape} and {b.shape}")
    seeds, gone = len(a), np.stack([np.isnan(a), np.isnan(b)])
    if gone.any():
        values = np.where(gone.all(axis=0), 0.0, np.where(gone[1], np.inf, np.where(gone[0], -np.inf, a - b)))
        ahead = int((values > 0).sum())
        share = gone.mean(axis=1)
        if seeds > 1 and share.min() == 0 and share.max() > 0.5:
            side = math.inf if share[1] else -math.inf
            return Difference(mean=side, low=side, high=side, ahead=ahead, seeds=seeds)
        return Difference(mean=math.nan, low=-math.inf, high=math.inf, ahead=ahead, seeds=seeds)
    values = a - b
    low, high = (-math.inf, math.inf) if seeds == 1 else map(float, paired_interval(values, level))
    return Difference(
        mean=float(values.mean()), low=low, high=high, ahead=int((values > 0).sum()), seeds=seeds
    )


def best_of(claimed: ArrayLike, others: Sequence[ArrayLike]) -> Verdict:
    """Whether `claimed` (S,) ends higher than each of the others.

    Holds if it is higher than every one at 95% (all must agree, so no correction is needed). Does not hold if
    one of the k others is higher at 1 − 5%/k (Bonferroni: one of several is easily higher by chance).
    """
    if all(difference(claimed, other).verdict == "holds" for other in others):
        return "holds"
    level = 1 - (1 - LEVEL) / len(others)
    beaten = any(difference(claimed, other, level=level).verdict == "does not hold" for other in others)
    return "does not hold" if beaten else "cannot be told"


def rising(columns: Sequence[ArrayLike]) -> Verdict:
    """Whether each of several (S,) is higher than the one before it, by the rule of `all_of`."""
    if len(columns) < 2:
        raise ValueError("columns must hold at least two")
    return all_of(difference(b, a).verdict for a, b in pairwise(columns))


def overtaken(early: Difference, late: Difference) -> Verdict:
    """Whether the first leads early and the second at the end; both differences are first − second.

    Holds if both intervals say so; does not hold if one says the opposite.
    """
    return all_of([early.verdict, opposite(late.verdict)])


def opposite(verdict: Verdict) -> Verdict:
    """The verdict on the contrary statement."""
    turned: dict[Verdict, Verdict] = {"holds": "does not hold", "does not hold": "holds"}
    return turned.get(verdict, "cannot be told")


def all_of(verdicts: Iterable[Verdict]) -> Verdict:
    """Of a statement with several parts: one that fails is enough to refute it, all must hold."""
    parts = list(verdicts)
    if not parts:
        raise ValueError("verdicts must not be empty")
    if "does not hold" in parts:
        return "does not hold"
    return "holds" if all(part == "holds" for part in parts) else "cannot be told"


def exact(value: float | Fraction, stated: float, *, tolerance: float) -> Verdict:
    """Whether a number that is computed, not measured, is the one that was stated."""
    return "holds" if abs(value - stated) <= tolerance else "does not hold"


def within(low: float, high: float, least: float, most: float) -> Verdict:
    """Whether an interval lies within [least, most]; does not hold if it lies outside altogether."""
    if least <= low and high <= most:
        return "holds"
    return "does not hold" if high < least or low > most else "cannot be told"


def same(found: Difference, *, margin: float) -> Verdict:
    """Whether two things differ by less than `margin` either way: the interval must lie within it."""
    return within(found.low, found.high, -margin, margin)


def share(count: int, of: int) -> Verdict:
    """Of a statement checked run by run, without an interval: all show it, none does, or it is mixed."""
    if of < 1 or not 0 <= count <= of:
        raise ValueError(f"0 <= count <= of and of >= 1 must hold, but got count={count}, of={of}")
    if count == of:
        return "holds"
    return "does not hold" if count == 0 else "cannot be told"


def mean_and_interval(values: ArrayLike, *, level: float = LEVEL) -> tuple[float, float, float]:
    """Mean over seeds (S,) with Student's interval; NaN if one is missing, endless with one seed."""
    found = np.asarray(values, dtype=np.float64)
    if not np.isfinite(found).all():
        return math.nan, math.nan, math.nan
    mean = float(found.mean())
    if len(found) < 2:
        return mean, -math.inf, math.inf
    half = float(special.stdtrit(len(found) - 1, (1 + level) / 2) * found.std(ddof=1) / math.sqrt(len(found)))
    return mean, mean - half, mean + half
