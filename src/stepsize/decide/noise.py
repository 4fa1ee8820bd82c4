"""The noise scale where the rate is yet to be found, and at a price in time or in full runs."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

from stepsize._progress import OutOfTimeError
from stepsize._words import duration
from stepsize.decide.budget import Budget
from stepsize.decide.known_rate import in_seconds, known_rate
from stepsize.decide.speed import seconds_per_update
from stepsize.measure.noise_ground import seconds_of_gradients
from stepsize.measure.noise_plan import planned
from stepsize.measure.noise_result import NoiseScale
from stepsize.measure.noise_scale import noise_scale
from stepsize.schedules import Schedule
from stepsize.task import Task

LEAST_SECONDS = 1e-3
"""What is left of a budget at least: one point is measured whatever happens."""

WIDE = 1.5
"""What the most may exceed the least by where one figure stands for both."""

_log = logging.getLogger("stepsize")


def noise_with_budget(
    task: Task,
    lr: float | None = None,
    *,
    budget: str | None = None,
    schedule: Schedule | str = "fixed",
    progress: Any = None,
    announce: Callable[[str], None] | None = None,
    **options: Any,
) -> NoiseScale:
    """`noise_scale` at the rate given, or else at the one that `find_lr` finds.

    Args:
        task, schedule, progress, options: as for `noise_scale`.
        lr: the run's peak rate, or None.
        budget: "60 s" or "2 runs", a rate to begin with included; None for as long as it takes.
        announce: told in a sentence what the run to the last point and the gradients take, before it starts;
            by default the logger "stepsize" is, at level INFO.

    Raises:
        ValueError: no rate was given and `find_lr` has none, or has none in time; or as `noise_scale`.
    """
    limit = None if budget is None else Budget.parse(budget)
    started = time.perf_counter()
    seconds = None if limit is None else in_seconds(task, limit)
    (announce or _log.info)(_announcement(task, lr is None, schedule, seconds, options))
    try:
        lr, _ = known_rate(task, lr, schedule=schedule, budget=limit, progress=progress)
    except OutOfTimeError:
        raise ValueError(f"budget must leave time to find a rate, but is {budget!r}: pass lr=") from None
    if seconds is not None:
        seconds = max(LEAST_SECONDS, seconds - (time.perf_counter() - started))
    return noise_scale(task, lr, schedule=schedule, seconds=seconds, progress=progress, **options)


def _announcement(
    task: Task, rate_too: bool, schedule: Schedule | str, seconds: float | None, options: Mapping[str, Any]
) -> str:
    """What will be measured, and what it takes on this machine."""
    asked = {name: value for name, value in options.items() if name not in ("unit", "lr")}
    plan = planned(task, 1.0, schedule, **asked)
    updates = plan.at[-1]
    run = seconds_per_update(task) * updates
    least, most = (run + part for part in seconds_of_gradients(plan, task))
    words = f"about {duration(least)} on this machine"
    if most > WIDE * least:
        words = (
            f"{duration(least)} to {duration(most)} on this machine, by the samples that the precision takes"
        )
    rate = "; a rate to begin with comes before" if rate_too else ""
    limit = "" if seconds is None else f"; it ends within {duration(seconds)} in all"
    points = f"{len(plan.at)} point" + ("s" if len(plan.at) > 1 else "")
    return f"Noise scale of {task.name} at {points} along {updates:,} updates: {words}{rate}{limit}."
