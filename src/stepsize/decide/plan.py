"""Which rehearsals to hold for a price: how long, how many rates, how many seeds."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from stepsize.decide.speed import RECORDING, Speed
from stepsize.estimate import Shift

WEED_FACTOR = 10 ** (1 / 3)
"""Spacing of the rates in a round that weeds: three a decade."""

DECIDE_FACTOR = 1.6
"""Spacing in the round that decides. The rates that lose at most 1% seldom span less than 1.9."""

SHARES = (1.0, 0.5, 0.25, 0.125, 0.0625, 0.03125)
"""Lengths of the round that decides, as shares of the real run; the longest that can be paid for is taken."""

GOOD_SHARE = 0.25
"""Without a budget, a shorter rehearsal than this decides only if this one costs more than `AT_WORST`."""

ORDINARY, AT_WORST, IN_DOUBT = 1.2, 2.0, 4.0
"""What an answer may cost without a budget, in full runs of a plain loop: usually, to get to `GOOD_SHARE`,
and where more than `DOUBT` of the progress is expected to be lost."""

DOUBT = 0.02
"""Expected regret of an answer from which on a longer rehearsal is worth its cost."""

WEEDING = (4, 8)
"""How many times shorter a round that weeds is than the one that decides."""

LEAST_UPDATES = 300
"""What an answer may cost without a budget however short the run is, in updates of a plain loop: less than
half a second for a small net, and too little rehearsal is worse."""

MOST_SEEDS = 3
"""Seeds that decide at most, unless asked for: they matter less than the length does (docs/method.md)."""

FEWEST_UPDATES, FEWEST_WEEDING = 8, 16
"""A rehearsal is never shorter, unless the real run is; nor one that weeds: after nine updates of an LSTM
it sent the next round to rates ten times too low, whose grid then had to be extended rate by rate."""

LOCATED = 0.3
"""Standard deviation of where a weeding round of one seed finds the best ln(rate)."""

REACH = 1.5
"""Standard deviations of where the best rate may lie that the deciding round reaches to either side."""

FIRST = 3
"""Rates that a round without a stack starts with: as few as can hold a best one between two others."""

WEEDED, DECIDED = 6.5, 4.5
"""Rates that such a round tries until its best one stands between two others, on average."""

WEEDING_WAVES, DECIDING_WAVES = 1.5, 1.3
"""Stacks that a round trains until then, on average."""


@dataclass(frozen=True)
class Plan:
    """A round of `weed` updates that weeds, then one of `last` updates that decides.

    Without the first (None) the last one takes the whole bracket at once. A stack holds `rates` rates of one
    seed, in both rounds, or, if the seeds decide `together`, as many of each. `cost` is in updates of a
    plain loop.
    """

    weed: int | None
    last: int
    rates: int
    seeds: int
    stacked: bool
    together: bool
    cost: float


def ordinary_plan(steps: int, span: float, spent: float, speed: Speed, seeds: int | None) -> Plan:
    """The plan where no budget was given: `ORDINARY`, or `AT_WORST` to get to `GOOD_SHARE`."""
    usual = max(ORDINARY * steps, LEAST_UPDATES) - spent
    plan = best_plan(steps, span, usual, speed, seeds)
    if plan.last >= GOOD_SHARE * steps and plan.cost <= usual:
        return plan
    at_worst = max(AT_WORST * steps, LEAST_UPDATES) - spent
    return best_plan(steps, span, at_worst, speed, seeds or 1, longest=GOOD_SHARE)


def best_plan(
    steps: int, span: float, affordable: float, speed: Speed, seeds: int | None, *, longest: float = 1.0
) -> Plan:
    """The longest last round that can be paid for, then the most seeds; the cheapest plan if none can.

    Args:
        steps: updates of the real run.
        span: ln(largest / smallest rate) of the bracket.
        affordable: what all rounds may cost, in updates of a plain loop.
        speed: what a round costs.
        seeds: how many decide; None leaves it to the budget.
        longest: share of the real run that the last round may not exceed.
    """
    counts = tuple(range(MOST_SEEDS, 0, -1)) if seeds is None else (seeds,)
    wishes = [(share, count) for share in SHARES if share <= longest for count in counts]
    plans = []
    for share, count in wishes:
        last = min(steps, max(FEWEST_UPDATES, round(share * steps)))
        plans.append(min(_ways(span, last, count, speed), key=lambda plan: plan.cost))
    return next((plan for plan in plans if plan.cost <= affordable), min(plans, key=lambda plan: plan.cost))


def _ways(span: float, last: int, seeds: int, speed: Speed) -> Iterator[Plan]:
    """The whole bracket at once, or a shorter round before that leaves fewer rates to the last one."""
    yield from _decided(None, last, _count(span), seeds, speed)
    for part in WEEDING:
        weed = max(FEWEST_WEEDING, round(last / part))
        if weed < last:
            spread = Shift.to_full_length(weed / last, located=LOCATED).spread
            yield from _decided(weed, last, _count(2 * REACH * spread), seeds, speed)


def _decided(weed: int | None, last: int, rates: int, seeds: int, speed: Speed) -> Iterator[Plan]:
    """The same rounds without a stack, with one stack a seed, and with all seeds in one."""
    tried = rates if weed is None else DECIDED
    looped = seeds * speed.looped(tried, last)
    weeding = 0.0 if weed is None else speed.looped(WEEDED, weed)
    yield Plan(weed, last, rates, seeds, False, False, weeding + looped)
    waves = 1.0 if weed is None else DECIDING_WAVES
    weeding = 0.0 if weed is None else WEEDING_WAVES * speed.stacked(rates, weed)
    apart = RECORDING + weeding + seeds * waves * speed.stacked(rates, last)
    yield Plan(weed, last, rates, seeds, True, False, apart)
    if seeds > 1:
        recordings = 1 if weed is None else 2
        cost = recordings * RECORDING + weeding + waves * speed.stacked(rates * seeds, last)
        yield Plan(weed, last, rates, seeds, True, True, cost)


def _count(span: float) -> int:
    """Rates over so much of ln(rate), no further apart than `DECIDE_FACTOR`; at least `FIRST`."""
    return max(FIRST, math.ceil(span / math.log(DECIDE_FACTOR) - 1e-9) + 1)
