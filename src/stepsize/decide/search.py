"""The search for a rate: a range test brackets, a short rehearsal weeds out, a longer one decides.

Measurements and their order only; what they mean is read in `verdict`. After an interruption everything
measured until then is still there.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence

import numpy as np

from stepsize._progress import Reporter
from stepsize.decide.budget import Budget
from stepsize.decide.plan import (
    DECIDE_FACTOR,
    LOCATED,
    MOST_SEEDS,
    WEED_FACTOR,
    Plan,
    best_plan,
    ordinary_plan,
)
from stepsize.decide.rehearsal import Rehearsal, Shape, merged, rehearse
from stepsize.decide.speed import Speed
from stepsize.estimate import Shift, basin
from stepsize.measure.curve import Curve
from stepsize.measure.range_test import spaced_plan
from stepsize.measure.rising import measure_curve
from stepsize.task import Task
from stepsize.training import Cost

FEWEST_BRACKET, MOST_BRACKET = 30, 60
"""Updates of the range test: an eighth of the run, within these; six per decade over its ten decades."""

BELOW_CEILING = 3e4
"""The first grid reaches this far below the rate at which the range test broke down, at most."""

STIRRED = 0.25
"""Share of the range test's fall by which it has begun to learn."""

BROKEN = 0.5
"""Share of its fall below which it has broken down for good."""

CLEAR = 2.0
"""Ranges of the range test's first losses that a fall must exceed to be one."""

EXTENSIONS = 4
"""How often a round goes on past an edge of its grid that turned out best, each time by one rate more."""


class Search:
    """Runs the rounds; `bracket` and `rehearsals` hold what has been measured so far."""

    def __init__(
        self,
        task: Task,
        shape: Shape,
        *,
        seeds: int | None,
        lr_min: float,
        lr_max: float,
        budget: Budget | None,
        reporter: Reporter,
    ) -> None:
        self._task, self._shape, self._budget = task, shape, budget
        self._wanted_seeds = seeds
        self.seeds = tuple(task.seed + i for i in range(MOST_SEEDS if seeds is None else seeds))
        self.lr_min, self.lr_max = lr_min, lr_max
        self._started = time.perf_counter()
        self._reporter = reporter if budget is None else budget.clocked(reporter)
        self._speed = Speed.of(task)
        self.bracket: Curve | None = None
        self.rehearsals: list[Rehearsal] = []

    @property
    def cost(self) -> Cost:
        total = Cost(updates=0, samples=0, seconds=0.0, runs=0.0)
        if self.bracket is not None:
            total = total + self.bracket.cost
        return sum((rehearsal.cost for rehearsal in self.rehearsals), total)

    def run(self) -> None:
        """Bracket, weed, decide."""
        low, high = self._bracket()
        plan = self._plan(math.log(high / low))
        self._expect(plan, math.log(high / low))
        if plan.weed is None:
            grid = _spaced(low, high, DECIDE_FACTOR)
        else:
            weeding = f"weeding, {plan.weed:,} updates"
            weeded = self._round(_spaced(low, high, WEED_FACTOR), plan.weed, 1, WEED_FACTOR, weeding)
            if weeded.best is None or not np.isfinite(weeded.start_loss):
                return
            grid = self._around(weeded, plan)
        self._round(grid, plan.last, plan.seeds, DECIDE_FACTOR, f"deciding, {plan.last:,} updates")

    def full_length(self) -> None:
        """Rehearse the rates of the last round once more over the whole horizon."""
        last = self.rehearsals[-1]
        self._round(
            last.lrs, self._task.steps, len(last.seeds), DECIDE_FACTOR, "no progress yet: full length"
        )

    def _bracket(self) -> tuple[float, float]:
        """Smallest and largest rate worth rehearsing, from a range test."""
        self._reporter.phase("bracketing with a range test")
        steps = int(np.clip(self._task.steps // 8, FEWEST_BRACKET, MOST_BRACKET))
        plan = spaced_plan(self.lr_min, self.lr_max, steps)
        self.bracket = measure_curve(
            self._task,
            plan,
            seeds=self.seeds[:1],
            loss="train",
            engine="loop",
            progress=self._reporter.advance,
        )
        stirred, broken = _limits(self.bracket)
        high = min(broken, self.lr_max)
        # Rates that grow by a factor q with each update sum up to lr / ln q. A quarter of the real run at
        # `low` moves no further than the range test did until it began to learn: less is not worth a try.
        moved = stirred / math.log(plan.lrs[1] / plan.lrs[0])
        low = max(4 * moved / self._task.steps, high / BELOW_CEILING, self.lr_min)
        return min(low, high), high

    def _plan(self, span: float) -> Plan:
        assert self.bracket is not None
        steps, spent = self._task.steps, float(self.bracket.cost.updates)
        if self._budget is None:
            return ordinary_plan(steps, span, spent, self._speed, self._wanted_seeds)
        if self._budget.runs is not None:
            affordable = self._budget.runs * steps - spent
        else:
            assert self._budget.seconds is not None
            left = self._budget.seconds - (time.perf_counter() - self._started)
            affordable = left * spent / self.bracket.cost.seconds
        return best_plan(steps, span, affordable, self._speed, self._wanted_seeds)

    def _expect(self, plan: Plan, span: float) -> None:
        """Member-updates that a search without surprises takes, for the progress display."""
        assert self.bracket is not None
        weeding = 0 if plan.weed is None else plan.weed * round(span / math.log(WEED_FACTOR) + 1)
        self._reporter.expect(self.bracket.cost.updates + weeding + plan.last * plan.rates * plan.seeds)

    def _around(self, weeded: Rehearsal, plan: Plan) -> np.ndarray:
        """The plan's rates about where the weeding round lets the best of the last round expect."""
        shift = Shift.to_full_length(weeded.steps / plan.last, located=LOCATED)
        centre = math.log(_centre(weeded)) + shift.mean
        half = (plan.rates - 1) / 2 * math.log(DECIDE_FACTOR)
        return np.clip(
            np.exp(np.linspace(centre - half, centre + half, plan.rates)), self.lr_min, self.lr_max
        )

    def _round(self, grid: np.ndarray, steps: int, seeds: int, factor: float, phase: str) -> Rehearsal:
        """Rehearse a grid, and go on past an edge for as long as the best rate stands there."""
        result = self._rehearse(np.unique(grid), steps, self.seeds[:seeds], phase)
        self.rehearsals.append(result)
        for number in range(EXTENSIONS):
            more = self._past_edge(result, factor, 2 + number)
            if not more.size:
                break
            result = merged(result, self._rehearse(more, steps, result.seeds, phase))
            self.rehearsals[-1] = result
        return result

    def _rehearse(self, lrs: np.ndarray, steps: int, seeds: Sequence[int], phase: str) -> Rehearsal:
        self._reporter.phase(phase)
        return rehearse(
            self._task,
            self._shape,
            lrs,
            seeds=seeds,
            steps=steps,
            engine=self._speed.engine(len(lrs) * len(seeds), steps),
            progress=self._reporter.advance,
        )

    def _past_edge(self, result: Rehearsal, factor: float, count: int) -> np.ndarray:
        """So many rates above the largest one if it is the best, or one more below the smallest."""
        if not np.isfinite(result.start_loss):
            return np.array([])
        if result.best is None or result.best == 0:
            below = result.lrs[0] / factor ** np.arange(1, count + 2)
            return np.asarray(below[below >= self.lr_min * (1 - 1e-9)])
        if result.best == len(result.lrs) - 1:
            above = result.lrs[-1] * factor ** np.arange(1, count + 1)
            return np.asarray(above[above <= self.lr_max * (1 + 1e-9)])
        return np.array([])


def _limits(curve: Curve) -> tuple[float, float]:
    """Where the range test had begun to learn, and where it broke down: diverged or lost half of its fall.

    The first is the rate from which on a quarter of the loss's fall was kept until its lowest; the second is
    the one after the last at which half of the fall was kept. The start is the median of the first tenth,
    since one batch may be unlike the others. A fall that does not clearly exceed the spread of that tenth
    tells neither: then it has learned from the first rate on, and broken down once it stays above them all.
    """
    loss, lrs = curve.smoothed, curve.lrs
    known = np.flatnonzero(np.isfinite(loss))
    if not known.size:
        return float(lrs[0]), float(lrs[0])
    first = loss[known[: max(3, len(lrs) // 10)]]
    start, lowest = float(np.median(first)), int(np.nanargmin(loss))
    fall = start - float(loss[lowest])
    clear = fall > CLEAR * float(np.ptp(first))
    before = np.flatnonzero(loss[:lowest] > start - STIRRED * fall) if clear else np.array([])
    stirred = int(before[-1]) + 1 if before.size else 0
    kept = np.flatnonzero(loss <= (start - BROKEN * fall if clear else first.max()))
    broken = min(int(kept[-1]) + 1, len(lrs) - 1)
    return float(lrs[stirred]), float(lrs[broken])


def _centre(result: Rehearsal) -> float:
    """The middle, in log rate, of the rates that lose at most 2%, or the best one if nothing was learned."""
    assert result.best is not None
    if not result.mean[result.best] < result.start_loss:
        return float(result.lrs[result.best])
    near = basin(result.lrs, result.losses, result.start_loss, share=0.02)
    return math.sqrt(near.low * near.high)


def _spaced(low: float, high: float, factor: float) -> np.ndarray:
    """Rates from low to high, evenly in log rate, no further apart than the factor."""
    if high <= low:
        return np.array([low])
    return np.geomspace(low, high, math.ceil(math.log(high / low) / math.log(factor) - 1e-9) + 1)
