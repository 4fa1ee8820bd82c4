"""The rate that a longer measurement begins with, found where none was given."""

from __future__ import annotations

from stepsize._progress import Reporter
from stepsize.decide.find_lr import find_lr
from stepsize.schedules import Schedule
from stepsize.task import Task
from stepsize.training import Cost


def known_rate(
    task: Task,
    lr: float | None,
    *,
    schedule: Schedule | str = "fixed",
    progress: bool | Reporter | None = None,
) -> tuple[float, Cost]:
    """The rate given, or else the one that `find_lr` finds, and what finding it cost.

    Raises:
        ValueError: `find_lr` has no answer.
        KeyboardInterrupt: Ctrl-C came while it searched: what would follow is not wanted either.
    """
    if lr is not None:
        return lr, Cost(updates=0, samples=0, seconds=0.0, runs=0.0)
    advice = find_lr(task, schedule=schedule, progress=progress)
    if advice.status == "interrupted":
        raise KeyboardInterrupt
    if advice.lr is None:
        raise ValueError(f"lr must be given, since none was found: {advice.why}")
    return advice.lr, advice.cost
