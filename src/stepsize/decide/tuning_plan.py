"""Which parts of tuning are worth their price, and what each may cost: known before the first one starts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from stepsize._words import duration
from stepsize.decide.batch_plan import least_cost
from stepsize.decide.budget import Budget
from stepsize.decide.speed import seconds_per_update
from stepsize.task import Task
from stepsize.training import Cost

Part = Literal["begin", "batch size", "schedule", "warm-up", "rate", "settings", "check"]
"""`begin` is a rate for the batch size to start from, `rate` the one advised, `settings` the trial without
momentum and weight decay, `check` the run at full length."""

WEIGHTS: dict[Part, float] = {
    "begin": 1.0,
    "batch size": 10.0,
    "schedule": 9.0,
    "warm-up": 2.0,
    "rate": 3.0,
    "settings": 0.5,
    "check": 3.0,
}
"""What each part may cost, in full runs of a plain loop; a budget is shared out in these proportions. Where
it is in doubt, a search for a rate without a budget costs up to four."""

FLOOR = 60.0
"""Seconds that everything may cost without a budget, however short a full run is: setting up takes time."""

LEAST: dict[Part, float] = {
    "rate": 2.0,
    "schedule": 2.0,
    "warm-up": 0.75,
    "check": 1.3,
    "batch size": 5.0,
    "settings": 0.3,
}
"""Full runs below which a part tells little, those first that matter most: a budget is given to one after
another as long as it lasts, what remains is shared out by `WEIGHTS`. The rate has what there is. Batch sizes
need at least what the shortest runs at each of them are reckoned to cost."""

BEGIN = 0.3
"""The same for the rate to begin with, which `SEARCHED` parts need."""

SETTING_UP: dict[Part, float] = {
    "begin": 1.0,
    "batch size": 5.0,
    "schedule": 2.0,
    "warm-up": 0.5,
    "rate": 1.0,
    "settings": 0.5,
    "check": 0.5,
}
"""Seconds below which a part tells little however short a run is: stacks are recorded anew for each."""

SEARCHED: tuple[Part, ...] = ("batch size", "schedule", "warm-up")

ORDER: tuple[Part, ...] = ("begin", *SEARCHED, "rate", "settings", "check")
"""In which parts are done."""


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
    def of(
        cls, task: Task, *, batches: Sequence[int], schedule: bool, budget: Budget | None, seeds: int = 3
    ) -> TuningPlan:
        """The plan where these batch sizes, and the schedule with its warm-up, are to be searched or not."""
        given = {"batch size": len(batches) < 2, "schedule": not schedule, "warm-up": not schedule}
        wanted = [part for part in LEAST if not given.get(part, False)]
        needs, weights = dict(LEAST), dict(WEIGHTS)
        if "batch size" in wanted:
            needs["batch size"] = max(needs["batch size"], least_cost(task, batches, seeds) / task.steps)
            weights["batch size"] = max(weights["batch size"], needs["batch size"])
        pace = seconds_per_update(task)
        full = pace * task.steps
        total = sum(weights[part] for part in wanted)
        runs = max(total, FLOOR / full)
        if budget is not None:
            runs = budget.runs or (budget.seconds or 0.0) / full
        timed = budget is not None and budget.seconds is not None
        least = _affordable(wanted, needs, runs, 1 / full if timed else 0.0)
        poor = [part for part in wanted if part not in least]
        rest = (runs - sum(least.values())) / sum(weights[part] for part in least)
        costs: dict[Part, Budget] = {}
        for part in (part for part in ORDER if part in least):
            amount = least[part] + rest * weights[part]
            # Nobody asked for a limit: what takes a little longer than reckoned is worth its end.
            costs[part] = (
                Budget(seconds=amount * full) if timed else Budget(runs=amount, strict=budget is not None)
            )
        reasons = (f"left out for lack of budget: {', '.join(poor)}",) if poor else ()
        return cls(task.name, costs, reasons, runs * full, pace, task.steps, budget is not None)

    @classmethod
    def nothing(cls, task: Task) -> TuningPlan:
        """No parts: the plan where Ctrl-C came before there was one."""
        return cls(task.name, {}, (), seconds=0.0, pace=0.0, steps=task.steps, limited=False)

    def cost(self, part: Part) -> str:
        """What a part may cost, as text."""
        return self.costs[part].part(1.0)

    def left(self, spent: Sequence[Cost]) -> str:
        """What remains of the seconds expected in all, a tenth of them at least, as text."""
        seconds = max(0.1 * self.seconds, self.seconds - sum(cost.seconds for cost in spent))
        return Budget(seconds=seconds).part(1.0)

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


def _affordable(
    wanted: Sequence[Part], needs: Mapping[Part, float], runs: float, second: float
) -> dict[Part, float]:
    """What each part gets at least, for those that there is room for; a `second` is so many runs."""

    def needed(part: Part) -> float:
        return max(BEGIN if part == "begin" else needs[part], SETTING_UP[part] * second)

    least: dict[Part, float] = {"rate": min(runs, needed("rate"))}
    for part in wanted:
        more = {part: needed(part)}
        if part in SEARCHED and "begin" not in least:
            more["begin"] = needed("begin")
        if part != "rate" and sum(least.values()) + sum(more.values()) <= runs:
            least |= more
    return least
