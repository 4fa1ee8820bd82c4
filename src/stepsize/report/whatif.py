"""What another batch size would mean: rate, updates, time and regime at each, and how each is known."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Literal

import msgspec
import numpy as np

from stepsize._result import Result
from stepsize._words import duration
from stepsize.decide.batch_advice import BatchAdvice
from stepsize.decide.critical_batch_result import BatchRow, CriticalBatch, Target
from stepsize.decide.scale_result import RateScaling
from stepsize.decide.training_advice import TrainingAdvice
from stepsize.report.numbers import count, number, percent, rate
from stepsize.report.picture import Table

BEYOND = 4
"""Factor beyond the batch sizes tried over which the fitted curve is still shown, marked as such."""

How = Literal["measured", "between", "fitted", "beyond", "counted", "not reached", "not measured"]
"""How a number is known: measured at that batch size; drawn between two that were; read off the fitted curve
between them, or beyond all of them; counted out, so that as many samples are seen; not known, since no run
reached the loss, or none was tried."""


class Known(msgspec.Struct, frozen=True):
    """A number with its 95% interval, None where there is none, and how it is known."""

    how: How
    value: float | None = None
    low: float | None = None
    high: float | None = None


class Stop(msgspec.Struct, frozen=True, kw_only=True):
    """One batch size: the rate to use, updates and seconds to the loss, the regime, what doubling it does."""

    batch_size: int
    rate: Known
    updates: Known
    seconds: Known
    regime: str
    doubled: str


class WhatIf(msgspec.Struct, frozen=True, kw_only=True):
    """Every batch size, rising, and the place of the one to begin with; `lead` says what is counted."""

    lead: str
    start: int
    stops: tuple[Stop, ...]


NOTHING = Known("not measured")


def what_if(result: Result) -> WhatIf | None:
    """Of a result that knows two batch sizes or more."""
    if isinstance(result, TrainingAdvice):
        return None if result.batch is None else _of_batch(result.batch, result.batch_size)
    if isinstance(result, BatchAdvice):
        return _of_batch(result, result.batch_size)
    if isinstance(result, CriticalBatch):
        return _of_critical(result, result.base_batch_size, {}, {})
    return _of_scaling(result) if isinstance(result, RateScaling) else None


def _of_batch(advice: BatchAdvice, start: int | None) -> WhatIf | None:
    times = {row.batch_size: Known("measured", row.seconds, row.low, row.high) for row in advice.times}
    per_update = {row.batch_size: row.seconds for row in advice.throughput.rows if row.seconds is not None}
    base = advice.critical.base_batch_size
    return _of_critical(advice.critical, base if start is None else start, times, per_update)


def _of_critical(
    critical: CriticalBatch, start: int, times: dict[int, Known], per_update: dict[int, float]
) -> WhatIf | None:
    if not critical.targets:
        return None
    target = critical.targets[-1]
    tried = {row.batch_size: row for row in target.rows if row.status != "not_tried"}
    if len(tried) < 2 or not any(row.updates for row in target.rows):
        return None
    reach = BEYOND if target.fit.batch is not None else 1
    sizes = _sizes(sorted(tried), reach)
    stops = []
    for size in sizes:
        updates = _updates(target, tried, size)
        stops.append(
            Stop(
                batch_size=size,
                rate=_rate(tried, size),
                updates=updates,
                seconds=times.get(size) or _seconds(updates, per_update, size),
                regime=_regime(target, size),
                doubled=_doubled(target, size),
            )
        )
    lead = f"Updates and time to a held-out loss of {number(target.loss)}, the rate tuned at each batch size."
    return WhatIf(lead=lead, start=_nearest(sizes, start), stops=tuple(stops))


def _of_scaling(scaling: RateScaling) -> WhatIf | None:
    if len(scaling.regimes) < 2:
        return None
    measured = {row.batch_size: row for row in scaling.measured}
    low, high = min(measured), max(measured)
    stops = []
    for at in scaling.regimes:
        size = at.batch_size
        row = measured.get(size)
        if row is not None:
            known = Known("measured", row.lr, row.low, row.high)
        else:
            known = Known("fitted" if low < size < high else "beyond", at.lr, at.low, at.high)
        near = min(measured.values(), key=lambda one: abs(math.log(one.batch_size / at.batch_size)))
        steps = Known("counted", round(near.steps * near.batch_size / size))
        stops.append(
            Stop(
                batch_size=size,
                rate=known,
                updates=steps,
                seconds=NOTHING,
                regime=at.regime,
                doubled=f"rate ×{number(2**at.slope)}",
            )
        )
    sizes = [stop.batch_size for stop in stops]
    return WhatIf(
        lead="The best rate at each batch size, over runs that see the same number of samples.",
        start=_nearest(sizes, scaling.to_batch),
        stops=tuple(stops),
    )


def _sizes(tried: list[int], reach: int) -> list[int]:
    """Those tried and the powers of two between and around them, as far as `reach` times beyond."""
    low, high = max(1.0, tried[0] / reach), tried[-1] * reach
    powers = range(math.ceil(math.log2(low)), math.floor(math.log2(high)) + 1)
    apart = [2**power for power in powers if all(abs(math.log2(2**power / size)) > 0.4 for size in tried)]
    return sorted({*tried, *apart})


def _nearest(sizes: Sequence[int], size: int) -> int:
    return int(np.abs(np.log(np.asarray(sizes) / size)).argmin())


def _rate(tried: dict[int, BatchRow], size: int) -> Known:
    """Measured, or on the line between two measured ones, both axes logarithmic; beyond them not known."""
    row = tried.get(size)
    if row is not None and row.lr is not None:
        return Known("measured", row.lr, row.lr_low, row.lr_high)
    lrs = {one.batch_size: one.lr for one in tried.values() if one.lr is not None}
    if row is not None or not min(lrs) < size < max(lrs):
        return NOTHING
    return Known("between", _on_line(lrs, size))


def _on_line(values: dict[int, float], size: int) -> float:
    sizes = sorted(values)
    logs = np.interp(math.log(size), np.log(sizes), np.log([values[one] for one in sizes]))
    return math.exp(float(logs))


def _updates(target: Target, tried: dict[int, BatchRow], size: int) -> Known:
    row = tried.get(size)
    if row is not None and row.updates is not None:
        return Known("measured", row.updates, row.updates_low, row.updates_high)
    if row is not None:
        return Known("not reached")
    reached = {one.batch_size: one.updates for one in tried.values() if one.updates is not None}
    inside = min(reached) < size < max(reached)
    if target.fit.batch is not None:
        return Known("fitted" if inside else "beyond", target.fit.updates(size))
    return Known("between", _on_line(reached, size)) if inside else NOTHING


def _seconds(updates: Known, per_update: dict[int, float], size: int) -> Known:
    """Updates times the seconds of one, which are known at the sizes that were timed and between them."""
    if updates.value is None or not per_update or not min(per_update) <= size <= max(per_update):
        return NOTHING
    return Known(updates.how, updates.value * _on_line(per_update, size))


def _regime(target: Target, size: int) -> str:
    """Where the batch stands against the critical one, by the ends of its interval."""
    fit = target.fit
    if fit.status == "too_few_batch_sizes" or (fit.batch_low == 0 and fit.batch_high is None):
        return "undetermined"
    if size < fit.batch_low:
        return "below critical"
    if fit.batch_high is not None:
        return "above critical" if size > fit.batch_high else "about critical"
    return "undetermined"


def _doubled(target: Target, size: int) -> str:
    fit = target.fit
    if fit.batch is None:
        return "not known"
    return f"−{percent(1 - fit.updates(2 * size) / fit.updates(size))} updates"


COLUMNS = {
    "batch_size": "batch",
    "rate": "rate",
    "updates": "updates",
    "seconds": "time",
    "regime": "regime",
    "doubled": "doubling it",
}
"""What the page tells of every batch size, and the heads of the table."""

MARKS: dict[How, str] = {
    "measured": "",
    "between": ", in between",
    "fitted": ", by the fitted curve",
    "beyond": ", extrapolated",
    "counted": "",
    "not reached": "",
    "not measured": "",
}


def words(stop: Stop) -> dict[str, str]:
    """One batch size in words, for each of `COLUMNS`."""
    return {
        "batch_size": count(stop.batch_size),
        "rate": _told(stop.rate, rate),
        "updates": _told(stop.updates, count),
        "seconds": _told(stop.seconds, duration),
        "regime": stop.regime,
        "doubled": stop.doubled,
    }


def _told(known: Known, write: Callable[[float], str]) -> str:
    if known.value is None:
        return "loss not reached" if known.how == "not reached" else "not measured"
    low, high = (None if end is None else write(end) for end in (known.low, known.high))
    span = "" if low is None or high is None or low == high else f" ({low} to {high})"
    return f"{write(known.value)}{span}{MARKS[known.how]}"


def table(data: WhatIf) -> Table:
    """The slider's numbers for those who do not use it."""
    rows = tuple(tuple(words(stop).values()) for stop in data.stops)
    return Table(tuple(COLUMNS.values()), rows)
