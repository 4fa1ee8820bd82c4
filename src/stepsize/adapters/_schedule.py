"""The schedule that a trainer has already, read from its scheduler; and ours as a scheduler for it."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.optim.lr_scheduler import LambdaLR, ReduceLROnPlateau

from stepsize.schedules import Bound, Run, Schedule, fixed, hold, piecewise, recognise
from stepsize.schedules.algebra import Lasting, Sequence
from stepsize.schedules.combine import sequence
from stepsize.schedules.convert.recipe import ConversionError
from stepsize.training.state import preserved

STAIRS = 16
"""Epochs up to which a rate that changes from epoch to epoch is taken as stairs, and beyond as a curve."""

NEAR = 0.01
"""How far a curve may be off the shape that it is taken for, as a share of the peak."""

CORNERS = 24
"""Points of a curve of no known shape, at most: more would be a table, and no schedule to write down."""


@dataclass(frozen=True)
class Own:
    """A trainer's own schedule: its highest rate at present, and its shape, None where that was not read."""

    peak: float
    schedule: Schedule | None


def own_schedule(
    optimizers: list[torch.optim.Optimizer],
    scheduler: Any,
    steps: int,
    *,
    updates_per_step: int = 1,
    read: bool = True,
) -> Own:
    """The schedule of the largest group's rate over the `steps` updates to come.

    `scheduler` is stepped once every `updates_per_step` updates; None, or one that waits for a metric, is a
    fixed rate. Without `read` its peak alone is found. Nothing is changed.

    Raises:
        ValueError: it has no form that is known here.
    """
    groups = [group for optimizer in optimizers for group in optimizer.param_groups]
    largest = max(groups, key=lambda group: float(group.get("initial_lr", group["lr"])))
    if scheduler is None or isinstance(scheduler, ReduceLROnPlateau) or not hasattr(scheduler, "optimizer"):
        rate = float(largest["lr"])
        return Own(rate, fixed(rate))
    rates = _rates(scheduler, optimizers, largest, -(-steps // updates_per_step))
    if not rates.max() > 0:
        raise ValueError(
            f"the scheduler must give a rate above 0, but {type(scheduler).__name__} gives 0 throughout: "
            "leave it out where the rate is looked for"
        )
    if not read:
        return Own(float(rates.max()), None)
    schedule = _read(scheduler, rates, steps, updates_per_step)
    return Own(schedule.peak, schedule)


def _rates(
    scheduler: Any, optimizers: list[torch.optim.Optimizer], group: dict[str, Any], count: int
) -> np.ndarray:
    """The group's rate at `count` steps of its scheduler, from the present one on."""
    mine = next(o for o in optimizers if any(group is one for one in o.param_groups))
    place = next(i for i, one in enumerate(mine.param_groups) if one is group)
    rates = np.empty(count)
    with preserved(*optimizers, scheduler), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*lr_scheduler.step")  # it is the rates that are wanted
        for step in range(count):
            if step:
                scheduler.step()
            rates[step] = float(mine.param_groups[place]["lr"])
    return rates


def _read(scheduler: Any, rates: np.ndarray, steps: int, updates_per_step: int) -> Schedule:
    run, by_update = Run(steps=steps), np.repeat(rates, updates_per_step)[:steps]
    if (by_update == by_update[0]).all():
        return fixed(float(by_update[0]))
    ways: list[Callable[[], Schedule | None]] = [lambda: _recognised(by_update, run, 1e-5)]
    if updates_per_step == 1:
        ways = [lambda: _converted(scheduler, run, by_update), *ways, lambda: _curve(by_update)]
    elif len(rates) <= STAIRS and (rates > 0).all():
        ways += [lambda: _stairs(rates, steps, updates_per_step)]
    else:
        places = np.arange(len(rates)) * updates_per_step
        smooth = np.interp(np.arange(steps), places, rates)
        ways += [lambda: _recognised(smooth, run, NEAR), lambda: _curve(smooth)]
    for way in ways:
        found = way()
        if found is not None:
            return found
    raise ValueError(
        f"schedule must be given, since the rates of {type(scheduler).__name__} have no form that is known "
        "here: pass schedule='cosine', or schedule='fixed' to leave it out of account"
    )


def _converted(scheduler: Any, run: Run, rates: np.ndarray) -> Schedule | None:
    """By its class and parameters, where that gives the rates which it has."""
    try:
        schedule = Schedule.from_(scheduler)
    except ConversionError:
        return None
    ways: list[Callable[[], Schedule]] = [lambda: schedule]
    if isinstance(schedule, Lasting):
        ways = [lambda: schedule.inner, *ways]  # what fills the run needs no length
    if rates[-1] > 0:
        ways.append(lambda: schedule | hold(lr=float(rates[-1] / rates.max()) * schedule.peak))
    for way in ways:
        try:
            found = _of_peak_1(way())
            values = found.values(run)
        except ValueError:  # its length is not the run's
            continue
        peak = float(rates.max() / values.max())
        if np.allclose(values * peak, rates, rtol=1e-6, atol=1e-9 * rates.max()):
            return found * peak
    return None


def _of_peak_1(schedule: Schedule) -> Schedule:
    """The same shape, written without the rate in each of its phases."""
    if isinstance(schedule, Sequence):
        return sequence(*(phase / schedule.peak for phase in schedule.phases))
    return schedule.at(1.0)


def _recognised(rates: np.ndarray, run: Run, tolerance: float) -> Schedule | None:
    """By its rates, each with its update."""
    if len(rates) < 3:
        return None
    with np.errstate(all="ignore"):  # what does not fit may leave the range of numbers
        return recognise(rates, run=run, tolerance=tolerance).schedule


def _stairs(rates: np.ndarray, steps: int, updates_per_step: int) -> Schedule:
    """A phase for every step of the scheduler."""
    whole, left = divmod(steps, updates_per_step)
    lengths = [updates_per_step] * whole + ([left] if left else [])
    phases: list[Schedule] = [
        hold(length, lr=float(rate)) for length, rate in zip(lengths, rates, strict=True)
    ]
    return functools.reduce(lambda a, b: a | b, phases)


def _curve(rates: np.ndarray) -> Schedule | None:
    """Straight pieces, as few as it takes to be `NEAR` everywhere; None if that is too many."""
    peak, updates = float(rates.max()), np.arange(len(rates))
    corners = [0, len(rates) - 1]
    while True:
        away = np.abs(np.interp(updates, corners, rates[corners]) - rates)
        if away.max() <= NEAR * peak:
            return piecewise(peak, at=corners, factors=[round(float(f), 4) for f in rates[corners] / peak])
        if len(corners) == CORNERS:
            return None
        corners = sorted({*corners, int(away.argmax())})


def lambda_lr(
    schedule: Schedule, optimizer: torch.optim.Optimizer, run: Run | int, *, done: int = 0
) -> LambdaLR:
    """A schedule as a `LambdaLR`, the kind of scheduler that trainers take and checkpoints hold.

    Each group's rate is its peak times the schedule's value over the schedule's own peak. A group's peak is
    its present rate, or where `done` updates have been made already its `initial_lr`.
    """
    factor = functools.partial(_factor, schedule.resolve(run))
    if done:
        return LambdaLR(optimizer, factor, last_epoch=done - 1)
    for group in optimizer.param_groups:
        group["initial_lr"] = group["lr"]
    return LambdaLR(optimizer, factor)


def _factor(bound: Bound, t: int) -> float:
    return bound(t) / bound.schedule.peak
