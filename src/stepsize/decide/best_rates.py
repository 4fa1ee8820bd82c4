"""The best rate at each of several batch sizes, over rehearsals of the same share of the run."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence

import numpy as np

from stepsize._progress import Deadline, OutOfTimeError, Reporter
from stepsize.decide.advice import Advice
from stepsize.decide.budget import Budget
from stepsize.decide.find_lr import find_lr
from stepsize.decide.outcomes import learns
from stepsize.decide.rehearsal import Rehearsal, Shape, merged, rehearse
from stepsize.decide.scale_result import BestRate
from stepsize.decide.speed import Speed, seconds_per_update
from stepsize.estimate import Regret, Shift
from stepsize.estimate.optimum import Grid, Optimum, optima, optimum
from stepsize.schedules import Schedule
from stepsize.task import Task, updates_in
from stepsize.training import Cost
from stepsize.training.untrained import untrained_loss

GRID = 1.5
"""Factor between the rates tried at one batch size."""

REACH = 2
"""Rates tried on either side of where the best one is expected."""

WEED_FACTOR, WEEDING = 2.0, 4
"""Where little is known, rates so far apart are tried first: one seed, over so many times fewer updates."""

EXTENSIONS = 5
"""How often a grid goes on past its edge while the best rate stands there."""

SHARES = (1.0, 0.5, 0.25, 0.125)
"""Lengths of the rehearsals as shares of the run; the longest that can be paid for is taken."""

AFFORDABLE = 80.0
"""What measuring may cost without a budget, in full runs of a plain loop at the task's batch size: a shorter
rehearsal sees another best rate, and runs at the smallest batch size, of most updates, take longest."""

LEAST_UPDATES = 10_000
"""What it may cost however short the run is, in updates of a plain loop."""

FEWEST_UPDATES = 30
"""A rehearsal is never shorter, unless the run is: a best rate over fewer updates is another one."""

AVERAGED = 5
"""Evaluations over the last tenth of a rehearsal whose mean counts."""

FIRST = "0.3 runs"
"""What finding where to begin may cost."""

TIMED = 30
"""Updates on which a batch size is timed beforehand."""

SURE = 1.96
"""Standard deviations of a 95% interval."""


class BestRates:
    """Measures batch sizes outward from where the rate is known; `done` holds what has been measured."""

    def __init__(
        self,
        task: Task,
        sizes: Sequence[int],
        schedule: Schedule,
        *,
        lr: float | None,
        at: int,
        seeds: int,
        budget: Budget | None,
        reporter: Reporter,
    ) -> None:
        self._sizes, self._schedule = tuple(sizes), schedule
        self._tasks = {size: with_batch_size(task, size) for size in {*sizes, at}}
        self.seeds = tuple(task.seed + i for i in range(seeds))
        self._lr, self._at = lr, at
        self._started = time.perf_counter()
        self._speeds = {size: Speed.of(self._tasks[size]) for size in sizes}
        per_update = {size: seconds_per_update(other, TIMED) for size, other in self._tasks.items()}
        run = per_update[at] * self._tasks[at].steps
        limit = max(AFFORDABLE * run, LEAST_UPDATES * per_update[at])
        if budget is not None:
            limit = budget.seconds if budget.seconds is not None else (budget.runs or 0.0) * run
        self._reporter = reporter
        if budget is not None:
            self._reporter = Deadline(reporter, self._started + budget.overtime * limit)
        self.share, self.seconds = self._longest(per_update, limit)
        self._untrained = untrained_loss(self._tasks[self._at])
        self.done: dict[int, Rehearsal] = {}
        self.warnings: list[str] = []
        self.beginning = Cost(updates=0, samples=0, seconds=0.0, runs=0.0)
        self.no_rate = ""

    def run(self) -> None:
        """Measure every batch size; raises `OutOfTimeError` when the budget is used up."""
        lr = self._lr
        if lr is None:
            self._reporter.phase("where to begin")
            found = self._found(FIRST) or self._found(None)  # a short search may see no progress yet
            if found is None:
                raise OutOfTimeError
            lr = found.lr
            if lr is None:
                self.no_rate = found.why
                return
        known: dict[int, float] = {}
        order = sorted(self._sizes, key=lambda size: abs(math.log(size / self._at)))
        for size in order:
            best = self._measure(size, *self._expected(size, lr, known))
            if best is None:
                self.warnings.append(f"at batch {size:,} no rate learns in {self._steps(size):,} updates")
            else:
                known[size] = best

    def _found(self, budget: str | None) -> Advice | None:
        """The rate at the batch size to begin with; None where the time did not suffice."""
        task = self._tasks[self._at]
        found = find_lr(task, schedule=self._schedule, budget=budget, progress=self._reporter)
        self.beginning = self.beginning + found.cost
        if found.status == "interrupted":
            raise KeyboardInterrupt
        return None if found.lr is None and found.status == "out_of_time" else found

    def rows(self) -> list[BestRate]:
        """What has been measured, batch sizes rising."""
        known = {size: self.done[size] for size in sorted(self.done) if learns(self.done[size])}
        if not known:
            return []
        found = optima([Grid(one.lrs, one.losses, one.start_loss) for one in known.values()])
        return [_row(size, one, best) for (size, one), best in zip(known.items(), found, strict=True)]

    @property
    def cost(self) -> Cost:
        """Of everything; runs are counted in samples: updates of different batch sizes are not alike."""
        parts = [rehearsal.cost for rehearsal in self.done.values()]
        samples = sum(part.samples for part in parts)
        task = self._tasks[self._at]
        return Cost(
            updates=self.beginning.updates + sum(part.updates for part in parts),
            samples=self.beginning.samples + samples,
            seconds=time.perf_counter() - self._started,
            runs=self.beginning.runs + samples / (task.steps * task.batch_size),
        )

    def _expected(self, size: int, lr: float, known: dict[int, float]) -> tuple[float, float]:
        """Between which two rates the best one should be.

        From one known rate: that rate, and the one in proportion. From two: as they go on in log-log.
        """
        if not known:
            return lr, lr
        near, *others = sorted(known, key=lambda other: abs(math.log(other / size)))
        if others:
            slope = math.log(known[near] / known[others[0]]) / math.log(near / others[0])
            rate = known[near] * (size / near) ** min(max(slope, 0.0), 1.0)
            return rate, rate
        proportional = known[near] * size / near
        return min(known[near], proportional), max(known[near], proportional)

    def _measure(self, size: int, low: float, high: float) -> float | None:
        steps = self._steps(size)
        if high / low > WEED_FACTOR:
            ends = math.ceil(math.log(high / low) / math.log(WEED_FACTOR) - 1e-9) + 2
            weeded = self._rehearse(
                size,
                math.sqrt(low * high) * WEED_FACTOR ** (np.arange(ends + 1) - ends / 2),
                seeds=self.seeds[:1],
                steps=max(min(steps, FEWEST_UPDATES), steps // WEEDING),
            )
            if learns(weeded):
                low = high = optimum(weeded.lrs, weeded.losses).lr
        lrs = math.sqrt(low * high) * GRID ** np.arange(-REACH, REACH + 1.0)
        for number in range(EXTENSIONS + 1):
            new = self._rehearse(size, lrs, seeds=self.seeds, steps=steps)
            self.done[size] = merged(self.done[size], new) if size in self.done else new
            lrs = _beyond(self.done[size], 1 + number)
            if not lrs.size:
                break
        measured = self.done[size]
        return optimum(measured.lrs, measured.losses).lr if learns(measured) else None

    def _rehearse(self, size: int, lrs: np.ndarray, *, seeds: tuple[int, ...], steps: int) -> Rehearsal:
        self._reporter.phase(f"batch {size:,}, {steps:,} updates")
        task = self._tasks[size]
        return rehearse(
            task,
            Shape.of(self._schedule, task),
            lrs,
            seeds=seeds,
            steps=steps,
            averaged=AVERAGED,
            engine=self._speeds[size].engine(len(lrs) * len(seeds), steps),
            untrained=self._untrained,
            progress=self._reporter.advance,
        )

    def _steps(self, size: int) -> int:
        horizon = self._tasks[size].steps
        return min(horizon, max(FEWEST_UPDATES, round(self.share * horizon)))

    def _longest(self, per_update: dict[int, float], limit: float) -> tuple[float, float]:
        """The longest share of the run that is reckoned to fit, and the seconds it should take."""
        count = (2 * REACH + 1) * len(self.seeds)
        seconds = 0.0
        for self.share in SHARES:
            seconds = sum(
                self._speeds[size].cost(count, self._steps(size)) * per_update[size] for size in self._sizes
            )
            if seconds <= limit:
                break
        return self.share, seconds


def with_batch_size(task: Task, size: int) -> Task:
    """The task at another batch size, with as many samples in its run."""
    if size == task.batch_size:
        return task
    return task.replace(batch_size=size, steps=steps_at(task, size))


def steps_at(task: Task, size: int) -> int:
    """Updates of a run over as many samples at another batch size; the data is not read for it."""
    if task.epochs is None or task.samples is None:
        return max(1, round(task.steps * task.batch_size / size))
    return updates_in(task.epochs, task.samples, size)


def _beyond(measured: Rehearsal, count: int) -> np.ndarray:
    """So many rates past the edge of the grid that the best one stands at; none if it does not."""
    if measured.best == len(measured.lrs) - 1:
        return np.asarray(measured.lrs[-1] * GRID ** np.arange(1, count + 1))
    if measured.best is None or measured.best == 0:
        return np.asarray(measured.lrs[0] / GRID ** np.arange(count, 0, -1))
    return np.array([])


def _row(size: int, measured: Rehearsal, best: Optimum) -> BestRate:
    """The best rate, carried to the full length of the run."""
    room = Regret.measured(measured.lrs, measured.mean, measured.start_loss).room_above(math.log(best.lr))
    shift = Shift.to_full_length(
        measured.share, located=best.spread, room=room, head_start=measured.head_start
    )
    lr, half = best.lr * math.exp(shift.mean), math.exp(SURE * shift.spread)
    return BestRate(
        batch_size=size,
        steps=measured.steps,
        lr=lr,
        low=lr / half,
        high=lr * half,
        spread=shift.spread,
        edge=best.edge,
        lrs=measured.lrs,
        losses=measured.mean,
        start_loss=measured.start_loss,
    )
