"""Which batch sizes to try, how far, and what that will take: known before the measurement starts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from stepsize._check_task import integer
from stepsize.decide.budget import Budget
from stepsize.decide.speed import Speed, seconds_per_update
from stepsize.estimate.critical_batch import FEWEST
from stepsize.measure.trainable import obstacle
from stepsize.measure.updates_to_target import at_batch_size, checked_at
from stepsize.task import Task

SIZES = 7
"""Batch sizes by default, each twice the one before, the task's own in the middle: a factor of 64."""

GRID = math.sqrt(2)
"""Factor between the rates tried at one batch size."""

BELOW, ABOVE = 2, 4
"""Rates tried below and above the first, which was found for longer runs: early losses want larger ones."""

SHARE = 0.25
"""Share of the task's updates that runs at its own batch size are given, without a budget."""

SHORTEST = 32
"""Updates at the task's own batch size below which a run tells nothing."""

UP, DOWN = 1.6, 1.3
"""Room left beyond the updates expected: as many as at the size below; in proportion at the size above."""


@dataclass(frozen=True)
class BatchPlan:
    """Batch sizes rising, the base among them, seeds, updates at the base, and seconds expected in all.

    `stop` are the seconds after which the work ends, a rate to begin with included; `left_out` names the
    batch sizes that the task cannot be trained at.
    """

    sizes: tuple[int, ...]
    base: int
    seeds: tuple[int, ...]
    steps: int
    seconds: float
    stop: float | None
    left_out: tuple[str, ...] = ()

    @property
    def updates(self) -> int:
        """Member-updates expected."""
        return round(sum(_steps(size, self) * members(size, self) for size in self.sizes))


def members(size: int, plan: BatchPlan) -> int:
    """Runs at a batch size: rates times seeds."""
    return len(plan.seeds) * (BELOW + 1 + ABOVE if size == plan.base else 6)


def _steps(size: int, plan: BatchPlan) -> float:
    """Updates expected at a batch size; the hardest target is the loss half-way through the base's run."""
    if size == plan.base:
        return plan.steps
    return plan.steps / 2 * (UP if size > plan.base else DOWN * plan.base / size)


def planned(
    task: Task, batch_sizes: Sequence[int] | None, seeds: int, budget: str | None, *, share: float = 1.0
) -> BatchPlan:
    """Check what was asked for, time every batch size, and fit the runs to a share of the budget.

    Where the shortest runs do not fit it, sizes that were not asked for are left out, down to `FEWEST`.
    """
    limit = None if budget is None else Budget.parse(budget)
    integer("seeds", seeds, at_least=1)
    sizes, left_out = checked_sizes(task, batch_sizes)
    base = min(sizes, key=lambda size: abs(math.log(size / task.batch_size)))
    chosen = tuple(task.seed + i for i in range(seeds))
    per_update = {size: seconds_per_update(at_batch_size(task, size)) for size in {*sizes, task.batch_size}}
    seconds = None
    if limit is not None:
        runs = 0.0 if limit.runs is None else limit.runs
        seconds = limit.seconds or runs * task.steps * per_update[task.batch_size]
    # The task's horizon in samples stands, whatever the base batch size is.
    horizon = max(1, round(task.steps * task.batch_size / base))
    steps = min(horizon, max(SHORTEST, math.ceil(SHARE * horizon)))
    stop = None if limit is None or seconds is None else limit.overtime * seconds
    speeds = {size: Speed.of(at_batch_size(task, size)) for size in sizes}

    def plan(length: int) -> BatchPlan:
        empty = BatchPlan(sizes, base, chosen, length, 0.0, stop, left_out)
        expected = sum(_expected(speeds[size], size, empty) * per_update[size] for size in sizes)
        return replace(empty, seconds=expected)

    if seconds is None:
        return plan(steps)
    lengths = np.unique(np.geomspace(min(SHORTEST, horizon), horizon, 60).astype(int)).tolist()
    while batch_sizes is None and len(sizes) > FEWEST and plan(lengths[0]).seconds > share * seconds:
        # Of the smallest and the largest the one further from the base; the smaller takes more updates.
        below = sizes.index(base)
        dropped = sizes[0] if below >= len(sizes) - 1 - below else sizes[-1]
        sizes = tuple(size for size in sizes if size != dropped)
        left_out = (*left_out, f"batch {dropped:,} is left out to fit the budget")
    fitting = [length for length in lengths if plan(length).seconds <= share * seconds]
    return plan(max(fitting, default=lengths[0]))


def least_cost(task: Task, sizes: Sequence[int], seeds: int) -> float:
    """What the shortest measurement of these sizes costs, in plain updates of the task's own batch.

    Reckoned, not timed: of an update's time the arithmetic alone grows with the batch.
    """
    base = min(sizes, key=lambda size: abs(math.log(size / task.batch_size)))
    steps = min(SHORTEST, max(1, round(task.steps * task.batch_size / base)))
    plan = BatchPlan(tuple(sizes), base, tuple(range(seeds)), steps, 0.0, None)
    arithmetic = Speed.of(task).member
    return sum(
        _expected(Speed.of(at_batch_size(task, size)), size, plan)
        * (1 - arithmetic + arithmetic * size / task.batch_size)
        for size in sizes
    )


def _expected(speed: Speed, size: int, plan: BatchPlan) -> float:
    """What a batch size costs, in plain updates of it."""
    count, steps = members(size, plan), math.ceil(_steps(size, plan))
    return speed.cost(count, steps) + len(checked_at(steps)) * count * speed.evaluation


def checked_sizes(task: Task, batch_sizes: Sequence[int] | None) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """The batch sizes, rising, and why others are left out; by default those about the task's own.

    Raises `ValueError` for sizes that repeat, exceed the data, or cannot be trained at.
    """
    if batch_sizes is not None:
        sizes = tuple(sorted(integer("batch_sizes", size, at_least=1) for size in batch_sizes))
        if not sizes or len(set(sizes)) < len(sizes):
            raise ValueError(f"batch_sizes must be different numbers, but are {list(batch_sizes)}")
        if task.samples is not None and sizes[-1] > task.samples:
            raise ValueError(
                f"batch_sizes must not exceed the {task.samples} training samples, but hold {sizes[-1]}"
            )
        for size in sizes:
            if why := obstacle(task, size):
                raise ValueError(f"batch_sizes must be ones to train at, but at {size:,} {why}")
        return sizes, ()
    highest = task.batch_size * 2 ** (SIZES // 2)
    if task.samples is not None:
        while highest > task.samples:
            highest //= 2
    wanted = sorted({size for i in range(SIZES) if (size := highest // 2**i) >= 1})
    refused = {size: why for size in wanted if (why := obstacle(task, size))}
    sizes = tuple(size for size in wanted if size not in refused)
    if not sizes:
        raise ValueError(
            f"batch_sizes must be given, since none about the task's own can be trained at: "
            f"at {wanted[-1]:,} {refused[wanted[-1]]}"
        )
    return sizes, tuple(f"batch {size:,} is left out: {why}" for size, why in refused.items())
