"""The gradient noise scale from the gradients of micro-batches: estimate, interval, examples needed.

G is the mean gradient, Σ the covariance of single samples' gradients. The noise scale tr Σ / |G|², in
samples, is the batch size at which signal and noise of a batch's gradient are alike (McCandlish et al.
2018, [1812.06162](https://arxiv.org/abs/1812.06162), eq. 2.9). With an inner product uᵀAv in the place of
uᵀv the same estimators give tr(AΣ) / (GᵀAG).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import special

NoiseStatus = Literal["ok", "lower_bound", "no_noise", "no_gradient", "too_little_data"]

CONFIDENCE = 0.95
"""Of every interval."""

FEWEST = 3
"""Micro-batches without which nothing is known of the estimate's own spread."""

ROUNDING = 1e-12
"""Share of a sum of squares in float64 below which a difference is rounding."""


@dataclass(frozen=True)
class NoiseEstimate:
    """A noise scale tr Σ / |G|², in samples, with its parts.

    `scale` is infinite where |G|² came out at or below zero, NaN where there is nothing to divide. `low`
    and `high` bound it; an infinite `high` means that the data leave it open. `trace` estimates tr Σ and
    `signal` |G|², both without bias, so that `signal` may be negative. `examples` samples were used;
    `examples_needed` are about those with which the standard deviation would be `precision` of the scale,
    infinite if nothing tells.
    """

    status: NoiseStatus
    scale: float
    low: float
    high: float
    trace: float
    signal: float
    examples: int
    examples_needed: float


def noise_estimate(
    squares: np.ndarray,
    products: np.ndarray,
    *,
    size: int,
    population: int | None = None,
    precision: float = 0.1,
    confidence: float = CONFIDENCE,
) -> NoiseEstimate:
    """The noise scale from K micro-batches of n = `size` samples each, all at the same weights.

    With s = mean |g_k|² and b = |ḡ|²: tr Σ = n K (s − b) / (K − 1) and |G|² = b − (1 − K n / N) tr Σ / (K
    n), where the batches come without repetition from N samples, whose mean gradient is G and whose
    covariance, divided by N − 1, is Σ. Interval: Fieller's, with the jackknife over micro-batches for the
    variances.

    Args:
        squares: |g_k|², the squared norm of each micro-batch's mean gradient, (K,).
        products: g_k · ḡ with ḡ the mean of the K gradients, (K,); their mean is |ḡ|².
        size: samples n in a micro-batch; 1 for the gradients of single samples.
        population: samples N in the data set; None for a stream, which never ends.
        precision: relative standard deviation that `examples_needed` is for.
        confidence: of the interval, within (0, 1).

    Raises:
        ValueError: arrays that are empty, of different lengths or not finite, or K n > N.
    """
    squares, products = np.asarray(squares, dtype=np.float64), np.asarray(products, dtype=np.float64)
    _check(squares, products, size, population)
    count = len(squares)
    examples = count * size
    unseen = 1.0 if population is None else 1.0 - examples / population
    if not squares.any():
        return NoiseEstimate("no_gradient", math.nan, 0.0, math.inf, 0.0, 0.0, examples, math.inf)
    if count < FEWEST:
        return noise_of_nothing(examples)
    trace, signal = _parts(squares.mean(), products.mean(), count, size, unseen)
    if trace <= ROUNDING * size * squares.mean():
        return NoiseEstimate("no_noise", 0.0, 0.0, 0.0, 0.0, signal, examples, examples)
    left = _leave_one_out(squares, products, size, unseen)
    scatter = left - left.mean(axis=1, keepdims=True)
    # All of the data leave |G|² nothing to vary by; tr Σ still varies by who shares a micro-batch with whom.
    known = np.sqrt([unseen if size == 1 else 1.0, unseen])
    covariance = (count - 1) / count * (scatter @ scatter.T) * np.outer(known, known)
    reach = float(special.stdtrit(count - 1, 0.5 + confidence / 2))
    low, high = fieller(trace, signal, covariance, reach)
    scale = trace / signal if signal > 0 else math.inf
    needed = _examples_needed(scale, signal, covariance, examples, precision)
    return NoiseEstimate(
        status="ok" if math.isfinite(high) else "lower_bound",
        scale=scale,
        low=low,
        high=high,
        trace=trace,
        signal=signal,
        examples=examples,
        examples_needed=needed if population is None else min(needed, population),
    )


def noise_of_nothing(examples: int = 0) -> NoiseEstimate:
    """What fewer than `FEWEST` micro-batches tell."""
    nan = math.nan
    return NoiseEstimate("too_little_data", nan, 0.0, math.inf, nan, nan, examples, math.inf)


def fieller(top: float, bottom: float, covariance: np.ndarray, reach: float) -> tuple[float, float]:
    """The ratios β >= 0 with |top − β bottom| <= reach · sd(top − β bottom): an interval, or [low, ∞).

    `covariance` (2, 2) is that of (top, bottom). Unlike a delta method, this covers also where `bottom` is
    not clearly above zero (Fieller 1954).
    """
    (v_top, v_both), (_, v_bottom) = covariance.tolist()
    a = bottom**2 - reach**2 * v_bottom
    b = top * bottom - reach**2 * v_both
    c = top**2 - reach**2 * v_top
    root = b**2 - a * c
    if a > 0 and bottom > 0:
        half = math.sqrt(max(root, 0.0))
        return max(0.0, (b - half) / a), max(0.0, (b + half) / a)
    if root < 0:
        return 0.0, math.inf
    half = math.sqrt(root)
    # The accepted ratios lie outside of the two roots; those above the positive one are meant.
    roots = sorted(((b - half) / a, (b + half) / a)) if a != 0 else [c / (2 * b)] * 2
    return max(0.0, roots[1] if c > 0 else 0.0), math.inf


def two_batch_estimate(small: float, big: float, small_size: int, big_size: int) -> tuple[float, float]:
    """(tr Σ, |G|²) from the squared gradient norms of batches of two sizes, each without bias.

    |G|² = (B_big · big − B_small · small) / (B_big − B_small), tr Σ = (small − big) / (1/B_small − 1/B_big)
    (McCandlish et al. 2018, appendix A.1). The ratio is biased: average both over many batches, then divide.
    """
    if not 0 < small_size < big_size:
        raise ValueError(f"0 < small_size < big_size must hold, but got {small_size} and {big_size}")
    signal = (big_size * big - small_size * small) / (big_size - small_size)
    return (small - big) / (1 / small_size - 1 / big_size), signal


def _check(squares: np.ndarray, products: np.ndarray, size: int, population: int | None) -> None:
    if squares.ndim != 1 or not squares.size or squares.shape != products.shape:
        raise ValueError(
            f"squares and products must both be (K,), K >= 1, but are {squares.shape} and {products.shape}"
        )
    if not (np.isfinite(squares).all() and np.isfinite(products).all()):
        raise ValueError("squares and products must be finite, but hold NaN or infinities")
    if size < 1:
        raise ValueError(f"size must be at least 1, but is {size}")
    if population is not None and len(squares) * size > population:
        raise ValueError(
            f"micro-batches must not exceed the data, but {len(squares)} of {size} samples were drawn from "
            f"{population}: draw without repetition, or pass population=None"
        )


def _parts(s: float, b: float, count: int, size: int, unseen: float) -> tuple[float, float]:
    """Tr Σ and |G|²."""
    trace = size * count * (s - b) / (count - 1)
    return float(trace), float(b - unseen * trace / (count * size))


def _leave_one_out(squares: np.ndarray, products: np.ndarray, size: int, unseen: float) -> np.ndarray:
    """Tr Σ and |G|² without each micro-batch in turn, (2, K).

    |ḡ without k|² = (K² |ḡ|² − 2 K g_k·ḡ + |g_k|²) / (K − 1)². What is unseen stays what it was: the
    jackknife is to find how the estimate varies, not what a smaller sample would have given.
    """
    count = len(squares)
    rest = count - 1
    s = (squares.sum() - squares) / rest
    b = (count**2 * products.mean() - 2 * count * products + squares) / rest**2
    trace = size * rest * (s - b) / (rest - 1)
    return np.stack([trace, b - unseen * trace / (rest * size)])


def _examples_needed(
    scale: float, signal: float, covariance: np.ndarray, examples: int, precision: float
) -> float:
    """Where noise hides the gradient, the ratio's standard deviation falls as 1 / examples."""
    if not math.isfinite(scale):
        return math.inf
    weights = np.array([1.0, -scale])
    deviation = math.sqrt(max(0.0, float(weights @ covariance @ weights))) / signal
    return float(max(examples, math.ceil(examples * deviation / scale / precision)))
