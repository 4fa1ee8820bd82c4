"""Which parts of tuning are worth their price, and what each may cost: known before the first one starts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from stepsize._words import duration
from stepsize.decide.budget import Budget
from stepsize.decide.speed import seconds_per_update
from stepsize.task import Task

Part = Literal["begin", "batch size", "schedule", "warm-up", "rate", "settings", "check"]
"""`begin` is a rate for the batch size to start from, `rate` the one advised, `settings` the trial without
momentum and weight decay, `check` the run at full length."""

WEIGHTS: dict[Part, float] = {
    "begin": 1.0,
    "batch size": 10.0,
    "schedule": 6.0,
    "warm-up": 2.0,
    "rate": 1.0,
    "settings": 0.5,
    "check": 3.0,
}
"""What each part may cost, in full runs of a plain loop; a budget is shared out in these proportions."""

FLOOR = 60.0
"""Seconds that everything may cost without a budget, however short a full run is: setting up takes time."""

LEAST: dict[Part, float] = {"batch size": 1.0, "schedule": 0.5, "warm-up": 0.15, "settings": 0.1}
"""Full runs that a budget must leave a part, or it is left out: less would tell nothing."""

SEARCHED: tuple[Part, ...] = ("batch size", "schedule", "warm-up")
"""Parts that need a rate to begin with."""


@dataclass(frozen=True)
class TuningPlan:
    """The parts to do, in order, with what each may cost, and the parts left out with the reason.

    `seconds` are expected in all; `pace` is those of an update of a plain loop, `steps` the task's updates.
    """

    task: str
    costs: dict[Part, Budget]
    left_out: tuple[str, ...]
    seconds: float
    pace: float
    steps: int
    limited: bool

    @classmethod
    def of(cls, task: Task, *, batch: bool, schedule: bool, budget: Budget | None) -> TuningPlan:
        """The plan where the batch size, and the schedule with its warm-up, are to be searched or not."""
        searched = [part for part in SEARCHED if (batch if part == "batch size" else schedule)]
        parts: list[Part] = ["begin", *searched, "rate", "settings", "check"]
        pace = seconds_per_update(task)
        full = pace * task.steps
        total = sum(WEIGHTS[part] for part in parts)
        runs = max(total, FLOOR / full)
        if budget is not None:
            runs = budget.runs or (budget.seconds or 0.0) / full
        poor = [part for part in parts if WEIGHTS[part] / total * runs < LEAST.get(part, 0.0)]
        parts = [part for part in parts if part not in poor]
        if not any(part in parts for part in SEARCHED):
            parts.remove("begin")
        share = runs / sum(WEIGHTS[part] for part in parts)
        timed = budget is not None and budget.seconds is not None
        costs = {
            part: Budget(seconds=WEIGHTS[part] * share * full)
            if timed
            else Budget(runs=WEIGHTS[part] * share)
            for part in parts
        }
        reasons = tuple(f"{part} was left out: the budget leaves it too little" for part in poor)
        return cls(task.name, costs, reasons, runs * full, pace, task.steps, budget is not None)

    def cost(self, part: Part) -> str:
        """What a part may cost, as text."""
        return self.costs[part].part(1.0)

    def room(self, part: Part) -> float:
        """What it may cost, in updates of a plain loop of the task as it was."""
        cost = self.costs[part]
        return cost.runs * self.steps if cost.runs is not None else (cost.seconds or 0.0) / self.pace

    def announcement(self) -> str:
        """What will be done, and about how long it takes."""
        parts = ", ".join(part for part in self.costs if part not in ("begin", "settings"))
        runs = self.seconds / (self.pace * self.steps)
        return (
            f"Tuning {self.task}: {parts}. About {duration(self.seconds)} on this machine, the time of "
            f"{runs:.3g} full runs; a budget makes it cheaper."
        )
