"""Moving averages over a curve, unbiased at its start and never poisoned by a divergence."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


def finite_length(losses: ArrayLike) -> int:
    """How many leading entries of `losses` (n,) are finite: what follows is divergence."""
    bad = np.flatnonzero(~np.isfinite(np.asarray(losses, dtype=np.float64)))
    return int(bad[0]) if bad.size else int(np.size(losses))


def debiased_average(losses: ArrayLike, beta: float = 0.98) -> Floats:
    """The exponential moving average, divided by its missing weight.

    v_0 = 0, v_i = β v_(i−1) + (1−β) L_i, and the result is v_i / (1−β^i) for i = 1 … n, so that a
    constant curve stays constant from its first entry on (Kingma & Ba 2015, section 3).

    `losses` is (n,), and so is the result. From the first non-finite loss on, the result is NaN; what
    stands before it is untouched. `beta` must lie in [0, 1), and `ValueError` is raised if it does not.

    >>> debiased_average([4.0, 4.0, 1.0], beta=0.5).tolist()
    [4.0, 4.0, 2.2857142857142856]
    """
    values, length = _curve(losses, beta)
    smoothed = np.full(values.shape, np.nan)
    smoothed[:length] = _total(values[:length], beta) / _total(np.ones(length), beta)
    return smoothed


def centred_average(losses: ArrayLike, beta: float = 0.98) -> Floats:
    """The two-sided exponential average, which has no lag.

    s_i = Σ_j β^|i−j| L_j / Σ_j β^|i−j| over the finite part of the curve. A straight line keeps its
    place away from the ends, where the forward average trails by β/(1−β) entries.

    `losses` is (n,), and so is the result, which is NaN from the first non-finite loss on. `beta` must
    lie in [0, 1), and `ValueError` is raised if it does not.

    >>> centred_average([4.0, 1.0, 4.0], beta=0.5).tolist()
    [3.142857142857143, 2.5, 3.142857142857143]
    """
    values, length = _curve(losses, beta)
    smoothed = np.full(values.shape, np.nan)
    smoothed[:length] = _both_ways(values[:length], beta) / _both_ways(np.ones(length), beta)
    return smoothed


def mean_over_seeds(losses: ArrayLike) -> Floats:
    """The mean of `losses` (S, n) over its seeds; infinite where any seed is non-finite.

    Leaving a diverged seed out would make the rate that it diverged at look better than it is.

    >>> mean_over_seeds([[1.0, 2.0], [3.0, float("nan")]]).tolist()
    [2.0, inf]
    """
    values = np.atleast_2d(np.asarray(losses, dtype=np.float64))
    whole = np.isfinite(values).all(axis=0)
    mean = np.full(values.shape[1], np.inf)
    mean[whole] = values[:, whole].mean(axis=0)
    return mean


def _curve(losses: ArrayLike, beta: float) -> tuple[Floats, int]:
    values = np.asarray(losses, dtype=np.float64)
    if values.ndim != 1:
        raise ValueError(f"losses must be one curve of shape (n,), but got shape {values.shape}")
    if not 0 <= beta < 1:
        raise ValueError(f"beta must lie in [0, 1), but got beta={beta}")
    return values, finite_length(values)


def _total(values: Floats, beta: float) -> Floats:
    """Σ_(j≤i) β^(i−j) x_j for every i."""
    running, totals = 0.0, np.empty_like(values)
    for i, value in enumerate(values):
        running = beta * running + value
        totals[i] = running
    return totals


def _both_ways(values: Floats, beta: float) -> Floats:
    return _total(values, beta) + _total(values[::-1], beta)[::-1] - values
