"""The search for a rate: a range test brackets, a short rehearsal weeds out, a longer one decides.

Measurements and their order only; what they mean is read in `verdict`. After an interruption everything
measured until then is still there.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Sequence

import numpy as np

from stepsize._progress import Onward, Reporter
from stepsize._ranks import current
from stepsize.decide.bracket import bracket
from stepsize.decide.budget import Budget
from stepsize.decide.grids import between, beyond, centred, edge, spaced
from stepsize.decide.outcomes import alike, best_words, centre, gains, idle, too_high
from stepsize.decide.outlook import Outlook
from stepsize.decide.plan import (
    DECIDE_FACTOR,
    DECIDED,
    DOUBT,
    FIRST,
    IN_DOUBT,
    LEAST_UPDATES,
    LOCATED,
    MOST_SEEDS,
    SHARES,
    WEED_FACTOR,
    WEEDED,
    Plan,
    best_plan,
    ordinary_plan,
)
from stepsize.decide.rehearsal import Rehearsal, Shape, affordable_average, merged, rehearse, with_more_seeds
from stepsize.decide.speed import RECORDING, Speed
from stepsize.estimate import Shift
from stepsize.measure.curve import Curve
from stepsize.training import Cost, NotStackableError, Records
from stepsize.training.probed import Trainable
from stepsize.training.untrained import untrained_loss

EXTENSIONS = 4, 8
"""How often a round goes on past an edge of its grid that turned out best: as a stack, and otherwise."""

LONGER = 1.5
"""How many times as long as the last rehearsal one that refines it is at least."""

REFINED, ANEW = 4.0, 5
"""Rates that such a round tries without a stack, on average, and in a stack that is recorded for it."""

WITHIN = 1.75
"""Standard deviations of where the best rate may lie that such a round reaches to either side, and half a
step further: a grid whose outermost rate is the best has to go on, which costs as much again."""

FINEST = 1.2
"""Between the rates of such a round at least: a wide stack reaches further rather than looking closer, since
the luck of a seed may have led it to a wrong place."""

BELOW_BROKEN = 3
"""Steps of the weeding grid from the rate that broke down in the range test to the middle of those that a
round without a stack starts with: a factor of ten."""


_log = logging.getLogger("stepsize")


class Search:
    """Runs the rounds; `bracket` and `rehearsals` hold what has been measured so far.

    `obstacle` says why the task is trained run by run, as far as it is no stack.
    """

    def __init__(
        self,
        task: Trainable,
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
        onward = Onward.of(reporter)
        self._reporter = onward if budget is None else budget.clocked(onward)
        self._speed: Speed
        self._records = Records()
        self._spent = 0.0
        self._width = 0  # members of the stack that was recorded last
        self._span: tuple[float, float]  # the rates that the range test left
        self._untrained: float | None
        self.obstacle = ""
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
        self._speed = Speed.of(self._task)
        self.obstacle = self._speed.obstacle
        self._untrained = untrained_loss(self._task)
        self._span = self._bracket()
        try:
            self._decide()
        except NotStackableError as error:  # found by the first stack that was tried, before it trained
            self._not_stacked(str(error))
            self._decide()

    def _decide(self) -> None:
        low, high = self._span
        plan = self._plan(math.log(high / low))
        self._expect(plan)
        if plan.weed is None:
            grid = spaced(low, high, DECIDE_FACTOR)
        else:
            weeded = self._weed(high, plan)
            if weeded.best is None or not np.isfinite(weeded.start_loss):
                return
            grid = self._around(weeded, plan)
        phase = f"deciding, {plan.last:,} updates"
        seeds = self.seeds[: plan.seeds]
        if plan.together or len(seeds) == 1:
            self._round(grid, plan.last, seeds, DECIDE_FACTOR, phase, plan)
            return
        found = self._round(grid, plan.last, seeds[:1], DECIDE_FACTOR, phase, plan)
        for seed in seeds[1:]:
            found = with_more_seeds(found, self._rehearse(found.lrs, plan.last, [seed], phase, plan))
            self.rehearsals[-1] = found
        self._extended(DECIDE_FACTOR, phase, plan)

    def refine(self, lr: float, outlook: Outlook) -> bool:
        """Rehearse an answer that is in doubt for longer, or with one more seed; False if it costs too much.

        As long as should settle it, or as long as can be paid for; with a budget always that.
        """
        last, affordable = self.rehearsals[-1], self._allowed() - self._spent
        if last.steps == self._task.steps:
            return self._one_more_seed(last, affordable)
        plans = self._longer(affordable)
        if not plans:
            return False
        plan = plans[-1] if self._budget is not None else self._settling(plans, outlook)
        shift = outlook.shift(last.share)
        way = math.log(plan.last / last.steps) / -math.log(last.share)
        factor = min(DECIDE_FACTOR, max(FINEST, math.exp(2 * WITHIN * shift.spread / (plan.rates - 2))))
        grid = centred(lr * math.exp((way - 1) * shift.mean), plan.rates, factor)
        self._reporter.expect(plan.last * plan.rates)
        # A seed that has not been used yet: the last one's luck would repeat.
        seeds = sorted(self.seeds, key=lambda seed: seed in last.seeds)
        self._round(grid, plan.last, seeds[:1], factor, f"in doubt, {plan.last:,} updates", plan)
        return True

    def _settling(self, plans: list[Plan], outlook: Outlook) -> Plan:
        """The shortest that should leave little doubt; the longest, if none should."""
        left = (outlook.left_in_doubt(plan.last / self._task.steps) for plan in plans)
        return next((plan for plan, doubt in zip(plans, left, strict=True) if doubt <= DOUBT), plans[-1])

    def lengthen(self) -> None:
        """Go on from a round that learned nothing, over the whole horizon.

        Over less of it where a budget pays for no more, and not at all where it pays for nothing longer. With
        rates about the best one, or over all that the range test left where none made the loss fall: so do
        nets that at first know their data by heart, and only later what these have in common.
        """
        last = self.rehearsals[-1]
        assert last.best is not None
        affordable = math.inf if self._budget is None else self._allowed() - self._spent
        plans = self._longer(affordable)
        if plans:
            plan = plans[-1]
            about = centred(float(last.lrs[last.best]), plan.rates, DECIDE_FACTOR)
            grid = about if gains(last) else np.geomspace(*self._span, plan.rates)
            self._reporter.expect(plan.last * plan.rates)
            phase = f"no progress yet, {plan.last:,} updates"
            self._round(grid, plan.last, self.seeds[:1], DECIDE_FACTOR, phase, plan)

    def _longer(self, affordable: float) -> list[Plan]:
        """Rehearsals of a few rates that can be paid for and are well beyond the last one, shortest first."""
        least = min(self._task.steps, round(LONGER * self.rehearsals[-1].steps))
        lengths = {least, *(round(share * self._task.steps) for share in SHARES)}
        plans = [self._of_length(length) for length in sorted(lengths) if length >= least]
        return [plan for plan in plans if plan.cost <= affordable]

    def _of_length(self, length: int) -> Plan:
        """The cheapest way to rehearse a few rates: a stack that is recorded already, a new one, or none."""
        rates = self._speed.abreast(FIRST, length)
        looped = Plan(None, length, rates, 1, False, False, self._speed.looped(max(rates, REFINED), length))
        plans = [looped]
        for rates, recording in ((self._width, 0.0), (ANEW, RECORDING)):
            if rates:
                cost = recording + self._speed.stacked(rates, length)
                plans.append(Plan(None, length, rates, 1, True, False, cost))
        return min(plans, key=lambda plan: plan.cost)

    def _one_more_seed(self, last: Rehearsal, affordable: float) -> bool:
        count, steps = len(last.lrs), last.steps
        stacked = self._speed.stacked(count, steps) + (RECORDING if count != self._width else 0.0)
        cost = min(stacked, self._speed.looped(count, steps))
        seeds = [seed for seed in self.seeds if seed not in last.seeds]
        if not seeds or cost > affordable:
            return False
        plan = Plan(None, steps, count, 1, stacked == cost, False, cost)
        self._reporter.expect(steps * count)
        phase = "in doubt: one more seed"
        more = self._rehearse(last.lrs, steps, seeds[:1], phase, plan)
        self.rehearsals[-1] = with_more_seeds(last, more)
        self._extended(DECIDE_FACTOR, phase, plan)
        return True

    def _allowed(self) -> float:
        """What all rounds may cost, in updates of a plain loop, where the answer is in doubt."""
        assert self.bracket is not None
        if self._budget is None:
            return max(IN_DOUBT * self._task.steps, LEAST_UPDATES)
        if self._budget.runs is not None:
            return self._budget.runs * self._task.steps
        assert self._budget.seconds is not None
        left = self._budget.seconds - (time.perf_counter() - self._started)
        pace = self.bracket.cost.updates / self.bracket.cost.seconds
        return self._spent + current().first(left * pace)

    def _bracket(self) -> tuple[float, float]:
        """Smallest and largest rate worth rehearsing, from a range test."""
        self._reporter.phase("bracketing with a range test")
        self.bracket, low, high = bracket(
            self._task, self.lr_min, self.lr_max, seed=self.seeds[0], progress=self._reporter.advance
        )
        self._spent += self.bracket.cost.updates
        _log.info("%s: a range test leaves rates from %.3g to %.3g", self._task.name, low, high)
        return low, high

    def _plan(self, span: float) -> Plan:
        assert self.bracket is not None
        steps = self._task.steps
        if self._budget is None:
            return ordinary_plan(steps, span, self._spent, self._speed, self._wanted_seeds)
        return best_plan(steps, span, self._allowed() - self._spent, self._speed, self._wanted_seeds)

    def _expect(self, plan: Plan) -> None:
        """Member-updates to come in a search without surprises, for the progress display."""
        weeded, decided = (plan.rates, plan.rates) if plan.stacked else (WEEDED, DECIDED)
        weeding = 0 if plan.weed is None else round(plan.weed * weeded)
        rates = plan.rates if plan.weed is None else round(decided)
        self._reporter.expect(weeding + plan.last * rates * plan.seeds)

    def _weed(self, high: float, plan: Plan) -> Rehearsal:
        """Rates of one seed below the one that broke down, then on towards the best."""
        assert plan.weed is not None
        if plan.stacked:
            grid = high / WEED_FACTOR ** np.arange(plan.rates)
        else:
            rates = self._speed.abreast(FIRST, plan.weed)
            grid = centred(high / WEED_FACTOR**BELOW_BROKEN, rates, WEED_FACTOR)
        phase = f"weeding, {plan.weed:,} updates"
        return self._round(grid, plan.weed, self.seeds[:1], WEED_FACTOR, phase, plan)

    def _around(self, weeded: Rehearsal, plan: Plan) -> np.ndarray:
        """Rates about where the weeding round lets the best one be expected, if it tells anything."""
        if plan.stacked and not gains(weeded):
            return np.geomspace(*self._span, plan.rates)
        part = weeded.steps / plan.last
        shift = Shift.to_full_length(part, located=LOCATED, head_start=weeded.head_start)
        rates = plan.rates if plan.stacked else self._speed.abreast(FIRST, plan.last)
        return centred(centre(weeded) * math.exp(shift.mean), rates, DECIDE_FACTOR)

    def _round(
        self, grid: np.ndarray, steps: int, seeds: Sequence[int], factor: float, phase: str, plan: Plan
    ) -> Rehearsal:
        """Rehearse a grid, and go on past an edge for as long as the best rate stands there."""
        grid = np.unique(np.clip(grid, self.lr_min, self.lr_max))
        self.rehearsals.append(self._rehearse(grid, steps, seeds, phase, plan))
        return self._extended(factor, phase, plan)

    def _extended(self, factor: float, phase: str, plan: Plan) -> Rehearsal:
        """The last rehearsal, gone on with past an edge for as long as its best rate stands there.

        Downwards too where all of its rates are too high, or alike up to the largest that may be tried, and
        no further than to a rate that leaves the loss as it was.
        """
        result = self.rehearsals[-1]
        first = len(result.lrs)
        before = self.rehearsals[-2] if len(self.rehearsals) > 1 else None
        for number in range(EXTENSIONS[0 if plan.stacked else 1]):
            count = first if plan.stacked else self._speed.abreast(1 + number // 2, result.steps)
            side = -1 if too_high(result, before) else edge(result.best, len(result.lrs))
            more = self._more(result, side, factor, count, stacked=plan.stacked)
            if side == -1 and idle(result):
                break
            if side == 1 and not more.size and alike(result):  # an optimizer may bound its own rate
                more = self._more(result, -1, WEED_FACTOR, count, stacked=plan.stacked)
            if not more.size:
                break
            result = merged(result, self._rehearse(more, result.steps, result.seeds, phase, plan))
            self.rehearsals[-1] = result
        return result

    def _rehearse(
        self, lrs: np.ndarray, steps: int, seeds: Sequence[int], phase: str, plan: Plan
    ) -> Rehearsal:
        self._reporter.phase(phase)
        told = self._task.name, phase, len(lrs), float(np.min(lrs)), float(np.max(lrs)), len(seeds)
        _log.info("%s: %s: %d rates from %.3g to %.3g, %d seeds", *told)
        # Before a first stack has worked, a task that is none must not be trained at a stack's many rates.
        stacked = plan.stacked and self._speed.stacks
        untried = not self.rehearsals and not self._width
        result = rehearse(
            self._task,
            self._shape,
            lrs,
            seeds=seeds,
            steps=steps,
            averaged=affordable_average(self._task, self._shape, steps),
            engine=("stack" if untried else "auto") if stacked else "loop",
            records=self._records,
            untrained=self._untrained,
            progress=self._reporter.advance,
        )
        _log.info("%s: %s: %s", self._task.name, phase, best_words(result))
        if result.engine_reason:
            self._not_stacked(result.engine_reason)
        if result.engine == "loop":
            self._spent += self._speed.looped(len(lrs) * len(seeds), steps)
        else:
            members = len(lrs) * len(seeds)
            recording = RECORDING if members != self._width else 0.0
            self._spent += self._speed.stacked(members, steps) + recording
            self._width = members
        return result

    def _not_stacked(self, why: str) -> None:
        _log.info("%s: trained run by run: %s", self._task.name, why)
        self._speed, self.obstacle = self._speed.without_stack(why), why

    def _more(self, result: Rehearsal, side: int, factor: float, count: int, *, stacked: bool) -> np.ndarray:
        """Further rates on a side, −1 or 1, of those tried; none on side 0, or where the loss is no number.

        A stack is recorded for `count` members: of those that it takes anyway, half go between the rates at
        that edge. Without a stack as many go beyond it as there are steps already.
        """
        if side == 0 or not np.isfinite(result.start_loss):
            return np.array([])
        within = count // 2 if stacked and result.best is not None else 0
        outside = beyond(result.lrs, side, count - within, factor, self.lr_min, self.lr_max)
        if not outside.size:
            return outside
        return np.concatenate([outside, between(result.lrs, side, within)])
