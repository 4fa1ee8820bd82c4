"""How much one treatment ends above another, seed by seed, and whether that is beyond what seeds scatter."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from scipy import special

LEVEL = 0.05
"""Chance of detecting some difference where there is none, over all comparisons together."""


class Difference(NamedTuple):
    """Mean over seeds with its interval; `low` and `high` are None with one seed."""

    mean: float
    low: float | None
    high: float | None

    @property
    def detected(self) -> bool:
        """Whether the first lies above the second beyond what seeds scatter."""
        return self.low is not None and self.low > 0


def paired_difference(losses: np.ndarray, others: np.ndarray, *, comparisons: int = 1) -> Difference:
    """Losses (S,) less others (S,) of the same seeds, with Student's t interval.

    The interval's level is 95% for all `comparisons` together (Bonferroni). What the seeds have in common
    drops out of it.
    """
    return mean_interval(np.asarray(losses) - np.asarray(others), comparisons=comparisons)


def differences(losses: np.ndarray, best: int) -> list[Difference]:
    """How much each of K treatments ends above the `best`: losses (S, K) of S seeds, with intervals.

    That of two alone has the S − 1 degrees of freedom of their own differences, which is little for three
    seeds. What the seeds leave of all treatments, r = l_sk − l_s· − l_·k + l_··, has (S − 1)(K − 1) (a
    randomised block design), σ² = Σ r² / ((S − 1)(K − 1)), and the half-width is

        t(1 − α / (2 (K − 1)), (S − 1)(K − 1)) √(v / S)

    with v the larger of 2 σ² and the pair's own variance: treatments may scatter differently. The level is
    95% for all of them together (Bonferroni); where the best scatters three times as much as the others it is
    still 92%.
    """
    values = np.asarray(losses, dtype=np.float64)
    seeds, count = values.shape
    rows = values - values[:, [best]]
    means = rows.mean(axis=0)
    if seeds < 2 or count < 2:
        return [Difference(float(mean), None, None) for mean in means]
    rest = values - values.mean(axis=0) - values.mean(axis=1, keepdims=True) + values.mean()
    freedom = (seeds - 1) * (count - 1)
    common = 2 * float(np.square(rest).sum()) / freedom
    reach = float(special.stdtrit(freedom, 1 - LEVEL / (2 * (count - 1))))
    halves = reach * np.sqrt(np.maximum(rows.var(axis=0, ddof=1), common) / seeds)
    halves[best] = 0.0
    return [
        Difference(mean, mean - half, mean + half)
        for mean, half in zip(means.tolist(), halves.tolist(), strict=True)
    ]


def falls(start: np.ndarray, end: np.ndarray, *, tries: float = 1.0) -> bool:
    """Whether a held-out loss fell from `start` to `end`, (S, F) of S seeds on F folds, beyond luck.

    A paired t-test over the folds, each the mean over seeds, one-sided: which samples were held out is the
    luck meant. The level is `LEVEL` for all `tries` together, of which the best was picked.

    >>> falls(np.array([[2.0, 2.1, 1.9]]), np.array([[1.0, 1.2, 0.9]]))
    True
    """
    gains = (np.asarray(start) - np.asarray(end)).mean(axis=0)
    mean = float(gains.mean())
    if len(gains) < 2 or not math.isfinite(mean):
        return mean > 0 and math.isfinite(mean)
    error = float(np.std(gains, ddof=1)) / math.sqrt(len(gains))
    return mean > -float(special.stdtrit(len(gains) - 1, LEVEL / max(1.0, tries))) * error


def mean_interval(values: np.ndarray, *, comparisons: int = 1) -> Difference:
    """The mean of values (S,) with Student's t interval, 95% for all `comparisons` together."""
    mean = float(np.mean(values))
    if len(values) < 2:
        return Difference(mean, None, None)
    error = float(np.std(values, ddof=1)) / math.sqrt(len(values))
    half = float(special.stdtrit(len(values) - 1, 1 - LEVEL / (2 * max(1, comparisons)))) * error
    return Difference(mean, mean - half, mean + half)
