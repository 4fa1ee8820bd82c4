"""tune: the main job. Today it decides the rate at the task's batch size and the given schedule."""

from __future__ import annotations

from stepsize._progress import Reporter
from stepsize.decide.advice import Advice
from stepsize.decide.find_lr import LR_MAX, LR_MIN, find_lr
from stepsize.schedules import Schedule
from stepsize.task import Task


def tune(
    task: Task,
    *,
    schedule: Schedule | str = "fixed",
    budget: str | None = None,
    seeds: int | None = None,
    lr_min: float = LR_MIN,
    lr_max: float = LR_MAX,
    progress: bool | Reporter | None = None,
) -> Advice:
    """Decide how to train a task: the learning rate at its batch size, schedule and horizon.

    The arguments, the result and the errors are those of `find_lr`.
    """
    return find_lr(
        task,
        schedule=schedule,
        budget=budget,
        seeds=seeds,
        lr_min=lr_min,
        lr_max=lr_max,
        progress=progress,
    )
