"""The best rate over batch sizes as measured: laws fitted to it, the regime at each size, and the ceiling."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from stepsize._check_task import integer
from stepsize._progress import OutOfTimeError, Reporter
from stepsize._result import provenance
from stepsize.decide.best_rates import BestRates, steps_at, with_batch_size
from stepsize.decide.scale_result import BestRate, RateAt, RateScaling, ScaleStatus
from stepsize.estimate.rate_fits import FEWEST, RateFits, Regime, fit_rates
from stepsize.estimate.scaling import Hyperparameters, Move
from stepsize.measure.sharpness import sharpness
from stepsize.measure.trainable import obstacle
from stepsize.task import Task

SPAN = 16
"""Batch sizes to measure at reach over this factor at least, unless given."""

FAR = 16
"""Factor beyond the batch sizes measured over which a law is still asked."""

CURVED_AFTER = 100
"""Updates after which the curvature is taken, at most a tenth of the run."""


GROWS: dict[Regime, str] = {
    "linear": "the best rate grows in proportion to the batch",
    "square root": "the best rate grows as the square root of the batch",
    "constant": "the best rate grows no more with the batch",
    "falling": "the best rate falls with the batch",
    "undetermined": "it is undetermined how the best rate grows with the batch",
}
"""Each regime in words."""


def scaled_as_measured(
    task: Task,
    from_: int,
    to: int,
    sizes: Sequence[int],
    rates: BestRates,
    curvature: bool,
    reporter: Reporter,
) -> RateScaling:
    """Measure, fit, and read the rate at batch `to`."""
    status: ScaleStatus = "ok"
    try:
        rates.run()
    except KeyboardInterrupt:
        status = "interrupted"
    except OutOfTimeError:
        status = "out_of_time"
    rows = rates.rows()
    fits = law_of(rows)
    here = next((row for row in rows if row.batch_size == to), None)
    lr, low, high = None, None, None
    if fits is not None:
        lr, (low, high) = fits.rate(to), fits.interval(to)
    elif here is not None:
        lr, low, high = here.lr, here.low, here.high
    if status == "ok" and fits is None:
        status = "no_answer"
    elif status == "ok" and any(row.edge for row in rows):
        status = "edge"
    ceiling, warnings = None, list(rates.warnings)
    if curvature and status in ("ok", "edge"):
        try:
            ceiling, warning = _ceiling(with_batch_size(task, from_), rows, fits, from_, reporter)
            warnings += [warning] if warning else []
        except KeyboardInterrupt:
            status = "interrupted"
    before = after = None
    moves: tuple[Move, ...] = ()
    if lr is not None and fits is not None:
        steps, then = steps_at(task, from_), steps_at(task, to)
        before = Hyperparameters(lr=fits.rate(from_), steps=steps)
        after = Hyperparameters(lr=lr, steps=then)
        moves = (
            Move("lr", before.lr, lr, f"{fits.law} in the batch size, as measured"),
            Move("steps", steps, then, "as many samples as before"),
        )
    return RateScaling(
        status=status,
        why=_why(status, rates, fits, sizes, to, ceiling),
        rule="measured",
        from_batch=from_,
        to_batch=to,
        lr=lr,
        lr_low=low,
        lr_high=high,
        before=before,
        after=after,
        moves=moves,
        measured=tuple(rows),
        laws={} if fits is None else fits.errors,
        law="" if fits is None else fits.law,
        knee=None if fits is None else fits.knee,
        regimes=() if fits is None else tuple(rate_at(fits, size) for size in _between(from_, to, sizes)),
        ceiling=ceiling,
        warnings=tuple(warnings),
        task=task.name,
        cost=rates.cost,
        provenance=provenance(device=str(task.device), seeds=rates.seeds),
    )


def law_of(rows: Sequence[BestRate]) -> RateFits | None:
    """The laws fitted to best rates; None of fewer than three batch sizes."""
    if len(rows) < FEWEST:
        return None
    return fit_rates(
        np.array([row.batch_size for row in rows], dtype=float),
        np.array([row.lr for row in rows]),
        np.array([row.spread for row in rows]),
    )


def rate_at(fits: RateFits, size: int) -> RateAt:
    """What the laws say at a batch size."""
    low, high = fits.interval(size)
    slope, slope_low, slope_high = fits.elasticity(size)
    return RateAt(
        batch_size=size,
        lr=fits.rate(size),
        low=low,
        high=high,
        slope=slope,
        slope_low=slope_low,
        slope_high=slope_high,
        regime=fits.regime(size),
    )


def _ceiling(
    task: Task, rows: Sequence[BestRate], fits: RateFits | None, from_: int, reporter: Reporter
) -> tuple[float | None, str]:
    """The rate from which on updates are unstable early in the run; or None and why.

    Raises `KeyboardInterrupt` where Ctrl-C ended the measurement.
    """
    if fits is None or not rows:
        return None, ""
    after = min(CURVED_AFTER, task.steps // 10)
    found = sharpness(task, fits.rate(from_), checkpoints=(after,), progress=reporter)
    if found.status == "interrupted":
        raise KeyboardInterrupt
    if found.ceiling is not None:
        return found.ceiling, ""
    reason = found.points[-1].ceiling_reason if found.points else found.why
    return None, f"no largest stable rate: {reason}"


def _why(
    status: str,
    rates: BestRates,
    fits: RateFits | None,
    sizes: Sequence[int],
    to: int,
    ceiling: float | None,
) -> str:
    if rates.no_rate:
        return rates.no_rate
    if fits is None:
        return {
            "interrupted": "Interrupted before three batch sizes were measured.",
            "out_of_time": "The budget ended before three batch sizes were measured: pass a larger one.",
        }.get(status, "A law needs three batch sizes at which some rate learns.")
    slope, low, high = fits.elasticity(to)
    text = f"At batch {to:,} {GROWS[fits.regime(to)]} (slope {slope:.2f}, {low:.2f} to {high:.2f})."
    if not min(sizes) <= to <= max(sizes):
        text += " That is beyond the batch sizes measured, so that it rests on the law alone."
    if ceiling is not None:
        text += f" Early in the run the curvature lets rates up to {ceiling:.3g} be stable."
    return text


def _between(from_: int, to: int, sizes: Sequence[int]) -> list[int]:
    """Powers of two over all batch sizes in question, and these."""
    asked = {from_, to, *sizes}
    low, high = math.ceil(math.log2(min(asked))), math.floor(math.log2(max(asked)))
    return sorted(asked | {2**i for i in range(low, high + 1)})


def sizes_to_measure(task: Task, from_: int, to: int, batch_sizes: Sequence[int] | None) -> list[int]:
    """Those asked for; or the two and the one between, widened until they reach over `SPAN`.

    Raises `ValueError` for fewer than three, sizes beyond the data, or asked-for ones too far from `from_` or
    `to` to say anything of them.
    """
    if batch_sizes is not None:
        sizes = sorted(integer("batch_sizes", size, at_least=1) for size in batch_sizes)
        if len(set(sizes)) < FEWEST or len(set(sizes)) < len(sizes):
            raise ValueError(f"batch_sizes must be {FEWEST} different ones or more, but are {sizes}")
        if task.samples is not None and sizes[-1] > task.samples:
            raise ValueError(
                f"batch_sizes must not exceed the {task.samples:,} training samples, but hold {sizes[-1]:,}"
            )
        for size in sizes:
            if why := obstacle(task, size):
                raise ValueError(f"batch_sizes must be ones to train at, but at {size:,} {why}")
        for size in (from_, to):
            if not sizes[0] / FAR <= size <= sizes[-1] * FAR:
                raise ValueError(
                    f"batch_sizes must lie within a factor {FAR} of from_ and to, but {size:,} is farther "
                    f"from all of {sizes}"
                )
        return sizes
    for name, size in (("from_", from_), ("to", to)):
        if why := obstacle(task, size):
            raise ValueError(f"{name} must be a batch size to train at, but at {size:,} {why}")
    low, high = min(from_, to), max(from_, to)
    most = high if task.samples is None else max(high, task.samples // 2)
    while high / low < SPAN and (2 * high <= most or low > 1):
        if 2 * high <= most:
            high *= 2
        if high / low < SPAN and low > 1:
            low = max(1, low // 2)
    low, high = _trainable(task, low), _trainable(task, high)
    sizes = [low, _trainable(task, round(math.sqrt(low * high))), high]
    if len(set(sizes)) < FEWEST:
        raise ValueError(
            f"three different batch sizes are needed, but there is no room between {low:,} and {high:,}: "
            "pass batch_sizes, or a rule"
        )
    return sizes


def _trainable(task: Task, size: int) -> int:
    """The batch size, or one a little larger that can be trained at: BatchNorm takes no batch of one."""
    return next((near for near in (size, size + 1, size + 2) if not obstacle(task, near)), size)
