"""The noise scale where the rate is yet to be found, and at a price in time or in full runs."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from stepsize.decide.budget import Budget
from stepsize.decide.known_rate import known_rate
from stepsize.measure.noise_result import NoiseScale
from stepsize.measure.noise_scale import noise_scale
from stepsize.schedules import Schedule
from stepsize.task import Task
from stepsize.training import Member, train


def noise_with_budget(
    task: Task,
    lr: float | None = None,
    *,
    budget: str | None = None,
    schedule: Schedule | str = "fixed",
    progress: Any = None,
    **options: Any,
) -> NoiseScale:
    """`noise_scale` at the rate given, or else at the one that `find_lr` finds.

    Args:
        task, schedule, progress, options: as for `noise_scale`.
        lr: the run's peak rate, or None.
        budget: "60 s" or "2 runs", whose time is measured on ten updates; None for as long as it takes.

    Raises:
        ValueError: no rate was given and `find_lr` has none, or as `noise_scale`.
    """
    seconds = None if budget is None else _seconds(Budget.parse(budget), task)
    started = time.perf_counter()
    lr, _ = known_rate(task, lr, schedule=schedule, progress=progress)
    if seconds is not None:
        seconds = max(1e-3, seconds - (time.perf_counter() - started))
    return noise_scale(task, lr, schedule=schedule, seconds=seconds, progress=progress, **options)


def _seconds(budget: Budget, task: Task) -> float:
    if budget.seconds is not None:
        return budget.seconds
    assert budget.runs is not None
    steps = min(10, task.steps)
    cost = train(task, [Member(0.0, task.seed)], np.zeros(steps), engine="loop").cost
    return budget.runs * cost.seconds / steps * task.steps
