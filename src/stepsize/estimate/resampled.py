"""What held-out losses might have been on other held-out samples and with other seeds: the bootstrap."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from stepsize.estimate.smoothing import Floats, mean_over_seeds

DRAWS = 200
"""Sets of folds that are drawn; twice as many change an expected regret by a tenth of itself or less."""


def resampled(losses: ArrayLike, folds: ArrayLike, *, draws: int = DRAWS) -> Floats:
    """Mean losses over seeds as they might have come out (draws, R).

    Each draw takes as many folds and as many seeds as there are, with replacement, the same ones for every
    rate (Efron 1979): what the rates have in common drops out of their differences. The draws are the same
    in every call.

    Args:
        losses: (S, R) over S seeds and R rates, not finite where a run diverged: such a rate is infinite in
            every draw.
        folds: (S, R, F), the same losses on each of F folds of the held-out data.
        draws: how many; one, the losses themselves, where there is one seed and one fold.

    >>> resampled([[1.0, 2.0]], [[[0.5, 1.5], [1.5, 2.5]]], draws=4).round(1).tolist()
    [[1.5, 2.5], [1.0, 2.0], [0.5, 1.5], [0.5, 1.5]]
    """
    mean = mean_over_seeds(losses)
    parts = np.asarray(folds, dtype=np.float64)
    seeds, _, count = parts.shape
    if seeds == count == 1:
        return mean[None]
    known = np.isfinite(mean) & np.isfinite(parts).all(axis=(0, 2))
    parts = parts[:, known]
    generator = np.random.default_rng(0)
    of_folds, of_seeds = _drawn(generator, draws, count), _drawn(generator, draws, seeds)
    result = np.full((draws, mean.size), np.inf)
    off = np.einsum("ds,srf,df->dr", of_seeds, parts, of_folds, optimize=True) - parts.mean(axis=(0, 2))
    result[:, known] = mean[known] + off
    return result


def _drawn(generator: np.random.Generator, draws: int, count: int) -> Floats:
    """How much each of `count` things weighs in a draw of as many with replacement, (draws, count)."""
    chosen = generator.integers(count, size=(draws, count))
    return np.asarray((chosen[:, :, None] == np.arange(count)).mean(axis=1))
