"""The arithmetic of the tables, on plain numbers: regret, its statistics, and what an interval covers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

NEAR_BEST = 0.01
"""Regret up to which a rate belongs to the set that an interval should name (issue 5: "lose at most 1%")."""


def regret(loss: float, *, best: float, start: float) -> float:
    """Share of the progress that is lost, in [0, 1]: (loss − best) / (start − best).

    A loss that is not finite counts as untrained, 1; one below `best`, from a rate between those of the grid,
    as 0.

    Raises:
        ValueError: `best` is not below `start`, so that there is no progress to lose.
    """
    if not best < start:
        raise ValueError(f"best < start must hold, but got best={best}, start={start}")
    if not math.isfinite(loss):
        return 1.0
    return min(max((loss - best) / (start - best), 0.0), 1.0)


@dataclass(frozen=True)
class Summary:
    """What a finder's answers lost over many runs; None where there was no answer at all.

    `median`, `p95` and `worst` are over the runs with an answer, `over_5` the share of these that lost more
    than 5%; `none` is the share of all runs without an answer. The 95th percentile is the smallest regret
    that at least 95% of the answers do not exceed.
    """

    runs: int
    median: float | None
    p95: float | None
    worst: float | None
    over_5: float | None
    none: float


def summary(regrets: Sequence[float | None]) -> Summary:
    """Statistics over runs; None stands for a run without an answer."""
    if not regrets:
        raise ValueError("regrets must not be empty: there is nothing to summarise")
    given = np.sort([value for value in regrets if value is not None])
    none = 1 - len(given) / len(regrets)
    if not len(given):
        return Summary(len(regrets), None, None, None, None, none)
    return Summary(
        runs=len(regrets),
        median=float(np.median(given)),
        p95=float(np.quantile(given, 0.95, method="inverted_cdf")),
        worst=float(given[-1]),
        over_5=float(np.mean(given > 0.05)),
        none=none,
    )


@dataclass(frozen=True)
class Coverage:
    """How an interval of rates compares with the set of near-best ones, lengths taken in log rate.

    `meets`: they have a rate in common. `contained`: share of the set inside of the interval. `outside`:
    share of the interval outside of the set.
    """

    meets: bool
    contained: float
    outside: float


def coverage(low: float, high: float, rates: np.ndarray, regrets: np.ndarray) -> Coverage:
    """Compare [low, high] with the rates of a geometric grid that lose at most `NEAR_BEST`.

    Args:
        low, high: the interval; equal ends are a single rate.
        rates: (n,) a rising grid of constant ratio; each rate stands for its cell, half-way to the next
            ones in log rate.
        regrets: (n,) what each of them loses.
    """
    if not 0 < low <= high:
        raise ValueError(f"0 < low <= high must hold, but got low={low}, high={high}")
    logs = np.log(np.asarray(rates, dtype=np.float64))
    half = float(np.median(np.diff(logs))) / 2
    near = logs[np.asarray(regrets) <= NEAR_BEST]
    left, right = math.log(low), math.log(high)
    shared = np.clip(np.minimum(near + half, right) - np.maximum(near - half, left), 0.0, None)
    touched = (near - half <= right) & (near + half >= left)
    width = right - left
    outside = 1 - float(shared.sum()) / width if width > 0 else float(not touched.any())
    contained = float(shared.sum() / (2 * half * len(near))) if len(near) else 0.0
    return Coverage(bool(touched.any()), contained, max(outside, 0.0))
