"""What a sweep's seeds say: means with intervals, whether two arms differ, and which leads when."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations_with_replacement
from typing import Literal

import msgspec
import numpy as np
from scipy import special

EXACT_SEEDS = 6
"""Up to here every resample is enumerated (462 for 6 seeds), and nothing is random."""

DRAWS = 2000


class Arm(msgspec.Struct, frozen=True, kw_only=True):
    """A rate at a batch size and a schedule: what several seeds repeat."""

    lr: float
    batch_size: int
    schedule: str

    def __str__(self) -> str:
        return f"lr {self.lr:g}, batch {self.batch_size:,}, {self.schedule}"


class ArmSummary(msgspec.Struct, frozen=True, kw_only=True):
    """An arm's value after `updates`: `mean` over `seeds`, and its bootstrap interval [`low`, `high`] at 90%.

    `updates` is the horizon, or less where a halving stopped the arm. `diverged` counts the seeds that
    diverged; if there are any, the three values are None. With one seed there is no interval. With two or
    three it is too narrow: the bootstrap's variance is (S−1)/S of the true one.
    """

    arm: Arm
    by: str
    updates: int
    stopped: bool
    seeds: int
    diverged: int
    mean: float | None
    low: float | None
    high: float | None


class ArmCurve(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """An arm over the run: `updates` (E,), the `mean` over seeds (E,) and its bootstrap interval (E,) each.

    NaN from where a seed had diverged.
    """

    arm: Arm
    by: str
    seeds: int
    updates: np.ndarray
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray


class Heatmap(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """Mean values at the end over rate and batch size, for one schedule.

    `values` (B, R), NaN where a cell is missing; `diverged` (B, R) is the share of seeds that diverged, and
    where it is not 0 the value is NaN.
    """

    schedule: str
    by: str
    lrs: tuple[float, ...]
    batch_sizes: tuple[int, ...]
    values: np.ndarray
    diverged: np.ndarray


Answer = Literal["first", "second", "not distinguishable"]


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """Whether one arm ends better than another, over the seeds that both have.

    `difference` is the mean of first − second over `seeds` pairs and [`low`, `high`] its 95% interval by
    Student's t; None where runs diverged or there is only one pair.
    """

    first: Arm
    second: Arm
    by: str
    seeds: int
    difference: float | None
    low: float | None
    high: float | None
    better: Answer
    why: str

    def __str__(self) -> str:
        return self.why


class Crossings(msgspec.Struct, frozen=True, kw_only=True):
    """Who leads when: `leaders` one after another, each from the update in `since` on.

    An arm leads where the 95% interval of the paired difference leaves out 0 at two evaluations running;
    with one seed, where its curve is ahead at two. From `until` on the arms are not distinguishable; None
    where the last leader leads to the end. No leader at all: not distinguishable anywhere.
    """

    first: Arm
    second: Arm
    by: str
    leaders: tuple[Arm, ...]
    since: tuple[float, ...]
    until: float | None
    text: str

    def __str__(self) -> str:
        return self.text


def mean_interval(values: np.ndarray, level: float = 0.9) -> tuple[np.ndarray, np.ndarray]:
    """The percentile bootstrap interval of the mean over seeds; `values` (S, …), a row a seed.

    Up to 6 seeds all resamples are enumerated with their multinomial weights; with more, 2,000 are drawn from
    a generator of their own, the same ones at each call. (Efron & Tibshirani 1993, chapter 13.)
    """
    seeds = len(values)
    if seeds <= EXACT_SEEDS:
        chosen = list(combinations_with_replacement(range(seeds), seeds))
        counts = np.array([np.bincount(one, minlength=seeds) for one in chosen])
        chances = np.array(
            [math.factorial(seeds) / math.prod(map(math.factorial, row)) for row in counts.tolist()]
        )
        chances /= chances.sum()
    else:
        counts = np.random.default_rng(0).multinomial(seeds, np.full(seeds, 1 / seeds), size=DRAWS)
        chances = np.full(DRAWS, 1 / DRAWS)
    means = np.tensordot(counts / seeds, values, axes=1)
    order = np.argsort(means, axis=0)
    ranked = np.take_along_axis(means, order, axis=0)
    reached = np.cumsum(chances[order], axis=0)
    tail = (1 - level) / 2
    # A sum of chances falls short of its exact value by rounding; 1e-12 keeps an exact tie on its own side.
    low = np.argmax(reached >= tail - 1e-12, axis=0)
    high = np.argmax(reached >= 1 - tail - 1e-12, axis=0)
    return (
        np.take_along_axis(ranked, low[None], axis=0)[0],
        np.take_along_axis(ranked, high[None], axis=0)[0],
    )


def paired_interval(differences: np.ndarray, level: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
    """Student's interval of a mean difference, d̄ ± t·s/√S with S−1 degrees of freedom; (S, …), S ≥ 2."""
    seeds = len(differences)
    mean = differences.mean(axis=0)
    half = special.stdtrit(seeds - 1, (1 + level) / 2) * differences.std(axis=0, ddof=1) / math.sqrt(seeds)
    return mean - half, mean + half


def compare(first: Arm, second: Arm, by: str, pairs: np.ndarray, *, lower_is_better: bool) -> Comparison:
    """Compare final values `pairs` (2, S) over the same seeds, NaN where a run diverged."""
    seeds = pairs.shape[1]
    gone = np.isnan(pairs).sum(axis=1)

    def answer(better: Answer, why: str, values: Sequence[float | None] = (None, None, None)) -> Comparison:
        difference, low, high = values
        return Comparison(
            first=first, second=second, by=by, seeds=seeds, difference=difference, low=low, high=high,
            better=better, why=why,
        )  # fmt: skip

    if seeds == 0:
        return answer("not distinguishable", "not distinguishable: the two have no seed in common")
    if gone.any():
        told = f"{first} diverged for {gone[0]} of {seeds} seeds, {second} for {gone[1]}"
        if gone.min() == 0 and gone.max() > seeds / 2:
            return answer(
                "first" if gone[0] == 0 else "second",
                f"{first if gone[0] == 0 else second} is better: {told}",
            )
        return answer("not distinguishable", f"not distinguishable: {told}")
    differences = pairs[0] - pairs[1]
    mean = float(differences.mean())
    if seeds == 1:
        return answer(
            "not distinguishable", "not distinguishable: one seed cannot tell a difference from luck"
        )
    low, high = (float(end) for end in paired_interval(differences))
    told = f"{by} {mean:+.4g} on average over {seeds} seeds, 95% interval [{low:.4g}, {high:.4g}]"
    if low <= 0 <= high:
        return answer("not distinguishable", f"not distinguishable: {told}", (mean, low, high))
    is_first = (mean < 0) == lower_is_better
    return answer(
        "first" if is_first else "second",
        f"{first if is_first else second} is better than {second if is_first else first}: {told}",
        (mean, low, high),
    )


def crossings(
    first: Arm, second: Arm, by: str, updates: np.ndarray, pairs: np.ndarray, *, lower_is_better: bool
) -> Crossings:
    """Who leads when, from the values `pairs` (2, S, E) of both arms over the same seeds at `updates` (E,).

    Where more than half of the seeds of one arm have diverged and none of the other's, the other leads.
    """
    gone = np.isnan(pairs).mean(axis=1)
    whole = gone.max(axis=0) == 0
    differences = np.where(whole, pairs[0] - pairs[1], 0.0) * (1 if lower_is_better else -1)
    mean = differences.mean(axis=0)
    sign = np.sign(mean)
    if len(differences) > 1:
        low, high = paired_interval(differences)
        sign[(low <= 0) & (high >= 0)] = 0
    beside = (sign[1:] == sign[:-1]) & whole[1:] & whole[:-1]
    sign[~(np.append(beside, False) | np.append(False, beside))] = 0
    one_is_gone = (gone.min(axis=0) == 0) & (gone.max(axis=0) > 0.5)
    lead = np.where(one_is_gone, gone[0] - gone[1], sign)
    leaders: list[Arm] = []
    since: list[float] = []
    last = -1
    for i in np.flatnonzero(lead).tolist():
        arm = first if lead[i] < 0 else second
        if not leaders or arm != leaders[-1]:
            since.append(_crossing(updates, mean, last, i) if leaders and whole[i] else float(updates[i]))
            leaders.append(arm)
        last = i
    # The evaluation after the last clear one, where there is one.
    until = float(updates[last + 1]) if leaders and last + 1 < len(updates) else None
    return Crossings(
        first=first,
        second=second,
        by=by,
        leaders=tuple(leaders),
        since=tuple(since),
        until=until,
        text=_told(first, second, leaders, since, until),
    )


def _crossing(at: np.ndarray, mean: np.ndarray, before: int, after: int) -> float:
    """Where the mean difference changes its sign for the last time between two evaluations."""
    for i in range(after, before, -1):
        if mean[i - 1] == 0 or mean[i - 1] * mean[i] < 0:
            share = mean[i - 1] / (mean[i - 1] - mean[i])
            return float(at[i - 1] + share * (at[i] - at[i - 1]))
    return float(at[after])


def _told(first: Arm, second: Arm, leaders: list[Arm], since: list[float], until: float | None) -> str:
    if not leaders:
        return f"{_short(first, second)} and {_short(second, first)} are not distinguishable at any update"
    names = [_short(arm, second if arm == first else first) for arm in leaders]
    text = f"{names[0]} leads from update {since[0]:,.0f} on"
    if len(names) > 1:
        text = f"{names[0]} leads until update {since[1]:,.0f}, then {names[1]}"
    for name, update in zip(names[2:], since[2:], strict=True):
        text += f" until update {update:,.0f}, then {name}"
    return text if until is None else f"{text}; from update {until:,.0f} on they are not distinguishable"


def _short(arm: Arm, other: Arm) -> str:
    """An arm by what tells it from another."""
    parts = []
    if arm.lr != other.lr:
        parts.append(f"{arm.lr:g}")
    if arm.batch_size != other.batch_size:
        parts.append(f"batch {arm.batch_size:,}")
    if arm.schedule != other.schedule:
        parts.append(arm.schedule)
    return " ".join(parts)
