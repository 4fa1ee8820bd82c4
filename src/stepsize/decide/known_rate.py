"""The rate that a longer measurement begins with, found where none was given, and what is left after it."""

from __future__ import annotations

from stepsize._progress import OutOfTimeError, Reporter
from stepsize.decide.budget import Budget
from stepsize.decide.find_lr import find_lr
from stepsize.decide.speed import seconds_per_update
from stepsize.schedules import Schedule
from stepsize.task import Task
from stepsize.training import Cost

FIRST = 0.25
"""Share of a measurement's budget that finding where to begin may take."""


def known_rate(
    task: Task,
    lr: float | None,
    *,
    schedule: Schedule | str = "fixed",
    budget: Budget | None = None,
    progress: bool | Reporter | None = None,
) -> tuple[float, Cost]:
    """The rate given, or else the one that `find_lr` finds, and what finding it cost.

    `budget` is that of the whole measurement; `left` tells what remains of it.

    Raises:
        ValueError: `find_lr` has no answer.
        OutOfTimeError: it had no time to find one.
        KeyboardInterrupt: Ctrl-C came while it searched: what would follow is not wanted either.
    """
    if lr is not None:
        return lr, Cost(updates=0, samples=0, seconds=0.0, runs=0.0)
    found = find_lr(task, schedule=schedule, budget=_search_budget(task, budget), progress=progress)
    if found.status == "interrupted":
        raise KeyboardInterrupt
    if found.lr is None and found.status == "out_of_time":
        raise OutOfTimeError
    if found.lr is None:
        raise ValueError(f"lr must be given, since none was found: {found.why}")
    return found.lr, found.cost


def left(budget: Budget, lr: float | None) -> Budget:
    """What a measurement's budget leaves after the search for a rate, if there is one."""
    share = 1.0 if lr is not None else 1.0 - FIRST
    return Budget.parse(budget.part(share))


def besides(lr: float | None) -> str:
    """What an announcement adds where a rate is yet to be found."""
    return "" if lr is not None else ", besides finding a rate to begin with"


def in_seconds(task: Task, budget: Budget) -> float:
    """A budget as time: full runs take what a plain loop takes here."""
    if budget.seconds is not None:
        return budget.seconds
    return (budget.runs or 0.0) * task.steps * seconds_per_update(task)


def _search_budget(task: Task, budget: Budget | None) -> str | None:
    """The search's share of the budget, or None where its ordinary price of one full run is less."""
    if budget is None:
        return None
    runs = budget.runs
    if runs is None:
        runs = (budget.seconds or 0.0) / (seconds_per_update(task) * task.steps)
    return budget.part(FIRST) if FIRST * runs < 1 else None
