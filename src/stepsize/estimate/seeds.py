"""What several seeds say together: an interval for the best rate, and whether the rate matters at all."""

from __future__ import annotations

from itertools import combinations_with_replacement
from math import factorial

import msgspec
import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import f, rankdata

from stepsize.estimate.basin import lowest, minimising_rate
from stepsize.estimate.shape import check_curve
from stepsize.estimate.smoothing import Floats, mean_over_seeds

EXACT_SEEDS = 6
"""Up to here the bootstrap over seeds is enumerated: 462 resamples for 6 seeds."""


def minimising_rate_interval(
    lrs: ArrayLike,
    losses: ArrayLike,
    *,
    level: float = 0.9,
    draws: int = 1000,
    generator: np.random.Generator | None = None,
) -> tuple[float, float]:
    """The percentile bootstrap interval of `minimising_rate` over seeds.

    `lrs` (R,) rising, `losses` (S, R); a rate at which any seed diverged is never the best. Up to 6 seeds all
    resamples are enumerated with their multinomial weights, so nothing is random; with more, `draws` of them
    are taken from `generator`, which is then required. With two or three seeds the interval is too narrow:
    the bootstrap's variance is (S−1)/S of the true one.

    Raises `ValueError` when no rate is finite for all seeds, or `generator` is missing.
    """
    values = np.atleast_2d(np.asarray(losses, dtype=np.float64))
    rates, mean = check_curve(lrs, mean_over_seeds(values))
    lowest(mean)
    weights, chances = _resamples(values.shape[0], draws, generator)
    whole = np.isfinite(mean)
    means = np.full((len(weights), rates.size), np.inf)
    means[:, whole] = weights @ values[:, whole]
    best = np.array([minimising_rate(rates, resample) for resample in means])
    order = np.argsort(best)
    reached = np.cumsum(chances[order])
    tail = (1 - level) / 2
    low, high = np.searchsorted(reached, [tail, 1 - tail])
    return float(best[order][low]), float(best[order][min(high, best.size - 1)])


def _resamples(seeds: int, draws: int, generator: np.random.Generator | None) -> tuple[Floats, Floats]:
    """Weights of the seeds (M, S) in each bootstrap resample, and the resamples' probabilities (M,)."""
    if seeds <= EXACT_SEEDS:
        chosen = combinations_with_replacement(range(seeds), seeds)
        counts = np.array([np.bincount(one, minlength=seeds) for one in chosen])
        ways = [factorial(seeds) / np.prod([float(factorial(c)) for c in row]) for row in counts]
        return counts / seeds, np.array(ways) / float(seeds) ** seeds
    if generator is None:
        raise ValueError(
            f"generator is needed for more than {EXACT_SEEDS} seeds, but got {seeds} seeds and none: "
            "pass generator=np.random.default_rng(0)"
        )
    counts = generator.multinomial(seeds, np.full(seeds, 1 / seeds), size=draws)
    return counts / seeds, np.full(draws, 1 / draws)


class RateEffect(msgspec.Struct, frozen=True):
    """Whether the seeds agree that the rate matters.

    `agreement` is Kendall's W: 1 when all seeds put the rates in the same order, 0 when their orders have
    nothing in common. `p` is the chance of at least that much agreement if the rate did not matter.
    """

    agreement: float
    p: float


def rate_effect(losses: ArrayLike) -> RateEffect:
    """Friedman's test over `losses` (S, R), S ≥ 2 seeds and R ≥ 2 rates, with Iman & Davenport's (1980) F.

    With ranks r within each seed, W = 12 Σ_j (r̄_j − (R+1)/2)² / (R(R²−1)), corrected for ties, and
    F = (S−1) W / (1−W) has R−1 and (R−1)(S−1) degrees of freedom. Ranks make it blind to how far a diverged
    loss went: every non-finite loss ranks last.

    >>> rate_effect([[3.0, 1.0, 2.0], [6.0, 4.0, 5.0]]).agreement
    1.0
    """
    values = np.asarray(losses, dtype=np.float64)
    if values.ndim != 2 or min(values.shape) < 2:
        raise ValueError(
            f"losses must be (S, R) with at least 2 seeds and 2 rates, but got shape {values.shape}"
        )
    seeds, rates = values.shape
    ranks = rankdata(np.where(np.isfinite(values), values, np.inf), axis=1)
    between = seeds * float(np.square(ranks.mean(axis=0) - (rates + 1) / 2).sum())
    total = float(np.square(ranks - (rates + 1) / 2).sum())
    if total == 0:
        return RateEffect(agreement=0.0, p=1.0)
    agreement = between / total
    if agreement >= 1:
        return RateEffect(agreement=1.0, p=0.0)
    statistic = (seeds - 1) * agreement / (1 - agreement)
    return RateEffect(agreement=agreement, p=float(f.sf(statistic, rates - 1, (rates - 1) * (seeds - 1))))
