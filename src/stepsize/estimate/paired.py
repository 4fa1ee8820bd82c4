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
