"""Rules that read a learning rate off a range-test curve, each a pure function of (lrs, losses).

To add one: write a function that takes the rates (n,), rising, and the raw losses (n,), returns a
`Suggestion`, and put it into `RULES`. The contract test then covers it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from stepsize.estimate.shape import check_curve, read_shape
from stepsize.estimate.smoothing import Floats, debiased_average
from stepsize.estimate.suggestion import Suggestion, SuggestionStatus

BACK_OFF = 0.75 / 0.8
"""The textbook finds 0.8 at the turn and takes 0.75, because the rise has a build-up (chapter 12.3.2)."""


def turn(lrs: ArrayLike, losses: ArrayLike) -> Suggestion:
    """Just below where the loss turns up: 15/16 of the last rate at which it is at its lowest.

    The loss is averaged without lag; "at its lowest" means within its noise, or 1% of its fall, of the
    minimum. A loss that becomes non-finite has turned up. Source: the staged design of chapter 12.3.2,
    which backs off from 0.8 to 0.75.
    """
    rates, values = check_curve(lrs, losses)
    shape = read_shape(values)
    if shape.form != "turns":
        return _none("turn", shape.form, rates)
    edge = rates[shape.turn]
    what = "diverges" if shape.diverges and shape.turn == shape.length - 1 else "turns up"
    return _at("turn", BACK_OFF * edge, rates, f"above {edge:.3g} the loss {what}; 15/16 of that")


def steepest(lrs: ArrayLike, losses: ArrayLike) -> Suggestion:
    """Where the loss falls fastest per factor of rate: argmin ΔL / Δ ln lr (fastai's `steep`)."""
    return _fastai("steepest", lrs, losses, _steepest)


def valley(lrs: ArrayLike, losses: ArrayLike) -> Suggestion:
    """Half-way down the longest valley (fastai's default).

    The longest strictly decreasing subsequence has D entries and ends at index e; with s = e − D the
    answer is the rate at s + ⌊(e−s)/3⌋ + ⌊(e−s)/6⌋.
    """
    return _fastai("valley", lrs, losses, _valley)


def slide(lrs: ArrayLike, losses: ArrayLike) -> Suggestion:
    """Left end of the steep stretch at the right: fastai's `slide`.

    An interval of 16 entries walks back from the right end for as long as the loss gradients at its two
    ends differ by more than 0.005. That threshold is absolute, so this rule alone depends on the
    loss's scale.
    """
    return _fastai("slide", lrs, losses, _slide)


def minimum_over_10(lrs: ArrayLike, losses: ArrayLike) -> Suggestion:
    """A tenth of the rate with the lowest loss (fastai's `minimum`)."""
    return _fastai("minimum_over_10", lrs, losses, _minimum_over_10)


RULES: dict[str, Callable[[ArrayLike, ArrayLike], Suggestion]] = {
    "turn": turn,
    "steepest": steepest,
    "valley": valley,
    "slide": slide,
    "minimum_over_10": minimum_over_10,
}


def suggest(lrs: ArrayLike, losses: ArrayLike) -> dict[str, Suggestion]:
    """Every rule's answer on one curve: `lrs` (n,) rising and positive, `losses` (n,) raw.

    Raises `ValueError` for rates that are not positive, finite and strictly rising, and for arrays of
    different length. Non-finite losses are divergence and no error.
    """
    return {name: rule(lrs, losses) for name, rule in RULES.items()}


_Reading = tuple[float, str]


def _fastai(
    rule: str,
    lrs: ArrayLike,
    losses: ArrayLike,
    read: Callable[[Floats, Floats], _Reading | SuggestionStatus],
) -> Suggestion:
    """Read a rate off fastai's view of the curve, unless the whole curve has no answer."""
    rates, values = check_curve(lrs, losses)
    form = read_shape(values).form
    if form != "turns":
        return _none(rule, form, rates)
    seen, smoothed = _as_fastai_sees_it(rates, values)
    if smoothed.size > 1 and np.ptp(smoothed) <= 1e-9 * np.abs(smoothed).max():  # rounding, not a change
        return _none(rule, "flat", rates)
    reading = read(seen, smoothed)
    if isinstance(reading, str):
        return _none(rule, reading, rates)
    lr, why = reading
    return _at(rule, lr, rates, why)


def _as_fastai_sees_it(rates: Floats, losses: Floats) -> tuple[Floats, Floats]:
    """Debiased average, β = 0.98, up to 4 times the best, less the first N//10 and last 5, until NaN."""
    smoothed = debiased_average(losses, 0.98)
    best = np.fmin.accumulate(smoothed)
    blown = np.flatnonzero((smoothed > 4 * best) & (best > 0))
    recorded = int(blown[0]) + 1 if blown.size else losses.size
    kept = slice(losses.size // 10, max(recorded - 5, 0))
    finite = np.isfinite(smoothed[kept])
    end = kept.start + (int(np.argmin(finite)) if not finite.all() else finite.size)
    return rates[kept.start : end], smoothed[kept.start : end]


def _steepest(rates: Floats, smoothed: Floats) -> _Reading | SuggestionStatus:
    if rates.size < 2:
        return "too_few_points"
    slopes = np.diff(smoothed) / np.diff(np.log(rates))
    return float(rates[slopes.argmin()]), "the averaged loss falls fastest here"


def _valley(rates: Floats, smoothed: Floats) -> _Reading | SuggestionStatus:
    if rates.size < 2:
        return "too_few_points"
    end, length = _longest_descent(smoothed)
    if length < 2:
        return "rising"
    start = end - length
    at = start + (end - start) // 3 + (end - start) // 6
    return float(rates[max(at, 0)]), f"half-way down a valley of {length} falling losses"


def _longest_descent(values: Floats) -> tuple[int, int]:
    """End and length of the longest strictly decreasing subsequence, the first of several."""
    lengths = np.ones(values.size, dtype=np.int64)
    for i in range(1, values.size):
        above = lengths[:i][values[:i] > values[i]]
        lengths[i] = 1 + (above.max() if above.size else 0)
    end = int(lengths.argmax())
    return end, int(lengths[end])


def _slide(rates: Floats, smoothed: Floats) -> _Reading | SuggestionStatus:
    interval, threshold = 15, 0.005  # fastai's defaults
    if rates.size <= interval:
        return "too_few_points"
    slopes = np.gradient(smoothed)
    right = rates.size - 1
    left = at = right - interval
    while left >= 0 and abs(slopes[right] - slopes[left]) > threshold:
        at = left
        left, right = left - 1, right - 1
    return float(rates[at]), "left end of the steep stretch at the right"


def _minimum_over_10(rates: Floats, smoothed: Floats) -> _Reading | SuggestionStatus:
    if not rates.size:
        return "too_few_points"
    lowest = float(rates[smoothed.argmin()])
    return lowest / 10, f"a tenth of {lowest:.3g}, where the averaged loss is lowest"


def _at(rule: str, lr: float, rates: Floats, why: str) -> Suggestion:
    if rates[0] <= lr <= rates[-1]:
        return Suggestion(rule, float(lr), "ok", why)
    return Suggestion(
        rule, None, "out_of_range", f"{why}: {lr:.3g} lies outside the tested rates; start the test below it"
    )


def _none(rule: str, status: SuggestionStatus, rates: Floats) -> Suggestion:
    low, high = (f"{rates[0]:.3g}", f"{rates[-1]:.3g}") if rates.size else ("nothing", "nothing")
    return Suggestion(rule, None, status, _REASONS[status].format(low=low, high=high))


_REASONS: dict[SuggestionStatus, str] = {
    "too_few_points": "too few rates before the loss diverges or the test ends: test more rates",
    "diverged": "the loss diverges at once, from {low} on: test smaller rates, and check the first loss",
    "flat": "from {low} to {high} the loss does not change by more than its noise: widen the range, give "
    "each rate more iterations, or check that the loss depends on the weights",
    "rising": "the loss never falls below its start: test rates smaller than {low}",
    "falling": "the loss still falls at {high}, the largest rate: test larger rates",
}
