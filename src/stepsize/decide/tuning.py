"""The parts of tuning one after another, with what they have found so far."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from stepsize._progress import OutOfTimeError, Reporter
from stepsize.decide import omissions
from stepsize.decide.advice import COMPLETE, Advice
from stepsize.decide.batch_advice import BatchAdvice, Objective
from stepsize.decide.find_batch_size import find_batch_size
from stepsize.decide.find_lr import find_lr
from stepsize.decide.rehearsal import Rehearsal, Shape, rehearse
from stepsize.decide.schedule_comparison import compare_schedules
from stepsize.decide.schedule_comparison_result import ScheduleComparison
from stepsize.decide.speed import Speed, seconds_per_update
from stepsize.decide.training_advice import Omission
from stepsize.decide.tuning_plan import Part, TuningPlan
from stepsize.decide.warmup import find_warmup
from stepsize.decide.warmup_result import WarmupComparison
from stepsize.measure.trainable import obstacle
from stepsize.schedules import Schedule
from stepsize.schedules.phases import warmup
from stepsize.task import Task
from stepsize.training import Cost

STAY = 1.05
"""The task's own batch size is kept if it takes at most so many times the best one's time, and the two are
not told apart."""

FACTORS = (0.25, 0.5, 1.0, 2.0, 4.0)
"""Batch sizes tried, as multiples of the task's own; if the best stands at the edge, then of that one."""

EARLY = 0.05
"""Share of the real run before which a loss is reached too soon to stand for it without a word."""

SEEDS = 3
"""Seeds of a part, unless told otherwise."""


@dataclass
class Tuning:
    """`run` fills in what it finds: `rate`, and what was decided before it, interrupted or not.

    `task` and `schedule` are the ones decided so far.
    """

    task: Task
    schedule: Schedule
    plan: TuningPlan
    objective: Objective
    sizes: Sequence[int] | None
    schedules: Sequence[Schedule | str] | None
    limit: str | None
    memory: int | None
    seeds: int | None
    rates: tuple[float, float]
    reporter: Reporter
    rate: Advice | None = None
    batch: BatchAdvice | None = None
    compared: ScheduleComparison | None = None
    warmed: WarmupComparison | None = None
    check: Rehearsal | None = None
    seconds: float | None = None
    worth: list[Omission] = field(default_factory=list)
    costs: list[Cost] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    interrupted: bool = False

    def run(self) -> None:
        """Part after part; ends where no rate can be named, or at Ctrl-C."""
        try:
            self._decide()
            if self.rate is not None and self.rate.status in COMPLETE:
                self._judge(self.rate)
        except KeyboardInterrupt:
            self.interrupted = True

    def _decide(self) -> None:
        lr = None
        if "begin" in self.plan.costs:
            found = self._find("begin")
            lr = rough_rate(found)
            if lr is None:
                if found.status == "out_of_time":  # its share was too small: the rate matters most
                    self._find("rate", self.plan.left(self.costs))
                return
        if lr is not None and "batch size" in self.plan.costs:
            lr = self._choose_batch(lr)
        if lr is not None and "schedule" in self.plan.costs:
            lr = self._choose_schedule(lr)
        if lr is not None and "warm-up" in self.plan.costs:
            self._choose_warmup(lr)
        if self.plan.limited or not self._same(self.rate):
            self._find("rate")

    def _same(self, rate: Advice | None) -> bool:
        """Whether a rate was found for just what has been decided."""
        return (
            rate is not None
            and (rate.batch_size, rate.steps) == (self.task.batch_size, self.task.steps)
            and str(rate.schedule.at(1.0)) == str(self.schedule.at(1.0))
        )

    def _find(self, part: Part, budget: str | None = None) -> Advice:
        found = find_lr(
            self.task,
            schedule=self.schedule,
            budget=budget or (self.plan.cost(part) if self.plan.limited else None),
            seeds=self.seeds,
            lr_min=self.rates[0],
            lr_max=self.rates[1],
            progress=self.reporter,
        )
        self.costs.append(found.cost)
        interrupted = found.status == "interrupted"
        if not interrupted or found.lr is not None or self.rate is None:
            self.rate = found
        if interrupted:
            raise KeyboardInterrupt
        return found

    def _choose_batch(self, lr: float) -> float:
        own = self.task.batch_size
        found = self._try_batches(self.sizes or sizes_about(own, self.task), lr)
        if found.status == "edge" and found.batch_size and self.sizes is None and not self.plan.limited:
            beyond = sizes_about(found.batch_size, self.task)
            if not set(beyond) <= {row.batch_size for row in found.times}:
                found = self._try_batches(sorted({own, *beyond}), lr)
        size = chosen_size(found, own)
        if size is None:
            self.notes.append(f"the batch size stays as it was: {found.why or found.critical.why}")
            return lr
        rates = {row.batch_size: row.lr for row in found.times}
        reached = {row.batch_size: row.updates for row in found.times}.get(own)
        if reached is not None and reached < EARLY * self.task.steps:
            self.notes.append(
                f"batch sizes were compared by a loss that takes {reached:,.0f} of {self.task.steps:,} "
                "updates: later on larger ones may do better; a larger budget tells"
            )
        if size != own:
            self.task = self.task.replace(batch_size=size, steps=length(self.task, found, size, self.limit))
        return rates[size]

    def _try_batches(self, sizes: Sequence[int], lr: float) -> BatchAdvice:
        found = find_batch_size(
            self.task,
            self.objective,
            batch_sizes=sizes,
            limit=self.limit,
            memory=self.memory,
            lr=lr,
            seeds=self.seeds or SEEDS,
            budget=self.plan.cost("batch size"),
            progress=self.reporter,
            announce=_untold,
        )
        self.batch = found
        self.costs.append(found.cost)
        if found.status == "interrupted":
            raise KeyboardInterrupt
        return found

    def _choose_schedule(self, lr: float) -> float:
        found = compare_schedules(
            self.task,
            self.schedules,
            lr=lr,
            seeds=self.seeds or SEEDS,
            budget=self.plan.cost("schedule"),
            progress=self.reporter,
            announce=_untold,
        )
        self.compared = found
        self.costs.append(found.cost)
        if found.status == "interrupted":
            raise KeyboardInterrupt
        if found.advised is None:
            self.notes.append(f"no schedule was chosen: {found.why}")
            return lr
        self.schedule = Schedule.parse(found.advised)
        return next((row.lr for row in found.rows if row.schedule == found.advised and row.lr), lr)

    def _choose_warmup(self, lr: float) -> None:
        found = find_warmup(
            self.task,
            self.schedule,
            lr=lr,
            seeds=self.seeds or SEEDS,
            budget=self.plan.cost("warm-up"),
            progress=self.reporter,
            announce=_untold,
        )
        self.warmed = found
        self.costs.append(found.cost)
        if found.status == "interrupted":
            raise KeyboardInterrupt
        if found.updates is None:
            self.notes.append(f"no warm-up was chosen: {found.why}")
        elif found.updates:
            self.schedule = warmup(found.updates) | self.schedule

    def _judge(self, rate: Advice) -> None:
        """What each part is worth, and what to expect at full length."""
        assert rate.lr is not None
        if self.batch is not None:
            self.worth += omissions.of_batch(self.batch, rate.batch_size)
        self.worth += omissions.of_rate(rate)
        if self.compared is not None:
            self.worth += omissions.of_schedule(self.compared, rate.start_loss)
        if self.warmed is not None:
            self.worth += omissions.of_warmup(self.warmed)
        pace = self._pace(rate.batch_size)
        self.seconds = pace * self.task.steps
        seeds = tuple(self.task.seed + i for i in range(self.seeds or SEEDS))
        if "settings" in self.plan.costs:
            self._leave_out_settings(rate.schedule, rate.lr, seeds)
        if "check" not in self.plan.costs:
            return
        speed = Speed.of(self.task)
        room = self.plan.room("check") * self.plan.pace / pace
        fitting = [n for n in range(1, len(seeds) + 1) if speed.cost(n, self.task.steps) <= room]
        if fitting:
            self._check(rate.schedule, rate.lr, seeds[: fitting[-1]])
        else:
            self.notes.append("no check at full length: the budget has no room for it")

    def _pace(self, batch_size: int) -> float:
        """Seconds per update of a plain loop, as measured when batch sizes were, or now."""
        rows = () if self.batch is None else self.batch.throughput.rows
        known = next((row.seconds for row in rows if row.batch_size == batch_size and row.seconds), None)
        return known or seconds_per_update(self.task)

    def _leave_out_settings(self, schedule: Schedule, lr: float, seeds: tuple[int, ...]) -> None:
        reporter = self.plan.costs["settings"].clocked(self.reporter)
        reporter.phase("momentum, weight decay")
        try:
            for worth, cost in omissions.of_settings(self.task, schedule, lr, seeds, reporter):
                self.worth.append(worth)
                self.costs.append(cost)
        except OutOfTimeError:
            self.notes.append("what momentum and weight decay are worth is not known: the budget ended")

    def _check(self, schedule: Schedule, lr: float, seeds: tuple[int, ...]) -> None:
        reporter = self.plan.costs["check"].clocked(self.reporter)
        reporter.expect(self.task.steps * len(seeds))
        reporter.phase("at full length")
        try:
            self.check = rehearse(
                self.task,
                Shape.of(schedule, self.task),
                [lr],
                seeds=seeds,
                steps=self.task.steps,
                engine=Speed.of(self.task).engine(len(seeds), self.task.steps),
                progress=reporter.advance,
            )
            self.costs.append(self.check.cost)
        except OutOfTimeError:
            self.notes.append("no check at full length: the budget ended")


def sizes_about(batch_size: int, task: Task) -> list[int]:
    """Batch sizes a factor of two apart about one, as far as there is data and the task can be trained."""
    most = math.inf if task.samples is None else task.samples
    sizes = {size for factor in FACTORS if 1 <= (size := round(factor * batch_size)) <= most}
    return sorted(size for size in sizes if not obstacle(task, size))


def _untold(text: str) -> None:
    """What a part will take was told with the whole."""


def rough_rate(found: Advice) -> float | None:
    """A rate to begin other searches with: the one found, or the best tried if that one stands at an edge.

    Those searches go on past their edges themselves.
    """
    if found.lr is not None or found.status != "not_bracketed":
        return found.lr
    last = found.rehearsals[-1]
    return None if last.best is None else float(last.lrs[last.best])


def chosen_size(found: BatchAdvice, own: int) -> int | None:
    """The batch size for the objective, or the task's own where that is about as good and not told apart.

    None where there is no answer, or not all sizes were tried in time.
    """
    choice = next((one for one in found.choices if one.objective == found.objective), None)
    if choice is None or choice.batch_size is None or found.status == "out_of_time":
        return None
    seconds = {row.batch_size: row.seconds for row in found.times}
    if own in choice.alike and seconds[own] <= STAY * seconds[choice.batch_size]:
        return own
    return choice.batch_size


def length(task: Task, found: BatchAdvice, size: int, limit: str | None) -> int:
    """Updates at another batch size: as many as lead to the same loss, or as there is time for.

    The ratio of updates is that to the hardest target that was measured; further on, where gradients are
    noisier, a larger batch needs a little less than that and a smaller one a little more.
    """
    rows = {row.batch_size: row for row in found.times}
    pace = rows[size].seconds_per_update
    if found.objective == "budget" and found.limit_seconds:
        if limit is not None:
            return max(1, round(found.limit_seconds / pace))
        if task.batch_size in rows:
            return max(1, round(task.steps * rows[task.batch_size].seconds_per_update / pace))
    fit = found.critical.targets[-1].fit
    if task.batch_size in rows:
        ratio = rows[size].updates / rows[task.batch_size].updates
    elif fit.batch is not None:
        ratio = fit.updates(size) / fit.updates(task.batch_size)
    else:
        ratio = task.batch_size / size
    return max(1, round(task.steps * ratio))
