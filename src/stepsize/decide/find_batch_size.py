"""find_batch_size: the batch size for time, for compute, or for a budget, out of those that were tried."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import get_args

import numpy as np

from stepsize._progress import Deadline, Reporter, reporting
from stepsize._result import provenance
from stepsize._untouched import untouched
from stepsize.decide.batch_advice import BatchAdvice, BatchStatus, BatchTime, Choice, Objective
from stepsize.decide.budget import Budget
from stepsize.decide.contenders import MORE, UNKNOWN, Again, contenders, train_again
from stepsize.decide.critical_batch import critical_batch
from stepsize.decide.critical_batch_result import CriticalBatch, Target
from stepsize.decide.known_rate import in_seconds
from stepsize.measure.throughput import throughput
from stepsize.measure.throughput_result import Throughput
from stepsize.task import Task

PACE_SHARE = 0.1
"""Share of the budget that timing updates may take."""

AGAIN_SHARE = 0.1
"""The same for training the sizes close to the best again."""

NOT_AGAIN = "no time was left to train the sizes close to the best again: their times are less sure"


@untouched
def find_batch_size(
    task: Task,
    objective: Objective = "time",
    *,
    batch_sizes: Sequence[int] | None = None,
    targets: Sequence[float] | None = None,
    limit: str | None = None,
    memory: int | None = None,
    lr: float | None = None,
    seeds: int = 3,
    budget: str | None = None,
    noise: bool = False,
    progress: bool | Reporter | None = None,
    announce: Callable[[str], None] | None = None,
) -> BatchAdvice:
    """Find the batch size that reaches a loss soonest, with the fewest samples, or within a budget.

    time(B) = updates(B) × seconds per update(B). The first is measured as in `critical_batch`, the rate tuned
    at each size, and drawn towards the curve fitted there as far as seeds scatter; the second is measured as
    in `throughput`. Sizes that come close to the best are trained again with twice as many fresh seeds, and
    those are what counts. The interval adds those of both factors in quadrature, in logs.

    Args:
        task: what to train; nothing of it is changed.
        objective: the answer that `batch_size` names; all three are given.
        batch_sizes, targets, lr, seeds, noise: as for `critical_batch`.
        limit: training time for "budget", as "10 min" or "0.5 runs" of the task; by default what the task's
            own batch size (or the nearest tried) takes to the hardest target.
        memory: bytes, as for `throughput`.
        budget: what the answer may cost, as for `critical_batch`; a tenth of it is kept for the pace, and one
            for the fresh seeds. "about 5 min" stops it only at four times as much.
        progress, announce: as for `critical_batch`.

    Returns:
        A `BatchAdvice`; never with a batch size that was not trained at, or that did not fit. Ctrl-C gives
        what is known until then, with status "interrupted".

    Raises:
        ValueError: an unknown objective, or as `critical_batch` and `throughput`.
    """
    if objective not in get_args(Objective):
        raise ValueError(f"objective must be 'time', 'compute' or 'budget', but is {objective!r}")
    wanted = None if limit is None else Budget.parse(limit, "limit")
    allowed = None if budget is None else Budget.parse(budget)
    with reporting(progress) as reporter:
        critical = critical_batch(
            task,
            batch_sizes,
            targets,
            lr=lr,
            seeds=seeds,
            budget=None if allowed is None else allowed.part(1 - PACE_SHARE - AGAIN_SHARE),
            noise=noise,
            progress=reporter,
            announce=announce,
        )
        tried = sorted({row.batch_size for target in critical.targets for row in target.rows if row.lr})
        most = None if allowed is None else allowed.overtime * in_seconds(task, allowed)
        seconds = None if most is None else PACE_SHARE * most
        speed = throughput(task, tried or [task.batch_size], memory, seconds=seconds, progress=reporter)
        again = Again()
        if {critical.status, speed.status}.isdisjoint({"interrupted", "out_of_time"}):
            if most is not None:
                reporter = Deadline(reporter, time.perf_counter() + AGAIN_SHARE * most)
            again = _again(task, objective, critical, speed, reporter)
    return decide(task, objective, critical, speed, wanted, again)


def _again(
    task: Task, objective: Objective, critical: CriticalBatch, speed: Throughput, reporter: Reporter
) -> Again:
    """Fresh runs of the sizes that come close to the best on the way to the hardest target."""
    used = critical.provenance.seeds
    fresh = [max(used) + 1 + i for i in range(MORE * len(used))]
    for target in reversed(critical.targets):
        if times := _times(target, speed):
            return train_again(task, contenders(times, objective), target.loss, fresh, reporter)
    return Again()


def decide(
    task: Task,
    objective: Objective,
    critical: CriticalBatch,
    speed: Throughput,
    limit: Budget | None,
    again: Again | None = None,
) -> BatchAdvice:
    """Read the three answers from the measurements, `again` those of fresh runs to the hardest target."""
    again = again or Again()
    by_target = [_times(target, speed) for target in critical.targets]
    last = max((i for i, times in enumerate(by_target) if times), default=-1)
    if last >= 0:
        by_target[last] = _times(critical.targets[last], speed, again)
    hardest = by_target[last] if last >= 0 else ()
    seconds = _limit(task, hardest, speed, limit)
    choices: tuple[Choice, ...] = ()
    if hardest:
        choices = (_soonest(hardest), _cheapest(hardest), _affordable(critical.targets, by_target, seconds))
    chosen = next((choice for choice in choices if choice.objective == objective), None)
    size = None if chosen is None else chosen.batch_size
    unfit = [row for row in speed.rows if row.status != "ok"]
    return BatchAdvice(
        status="interrupted" if again.ended == "interrupted" else _status(critical, speed, chosen),
        objective=objective,
        batch_size=size,
        lr=None if chosen is None else chosen.lr,
        why="" if hardest else f"No batch size can be named: {_missing(critical, speed)}",
        choices=choices,
        times=hardest,
        limit_seconds=seconds,
        critical=critical,
        throughput=speed,
        warnings=(
            *critical.warnings,
            *(f"batch {row.batch_size:,} is left out, {_words(row.status)}: {row.why}" for row in unfit),
            *([NOT_AGAIN] if again.ended else []),
        ),
        task=task.name,
        cost=critical.cost + speed.cost + again.cost,
        provenance=provenance(device=str(task.device), seeds=critical.provenance.seeds),
    )


def _times(target: Target, speed: Throughput, again: Again | None = None) -> tuple[BatchTime, ...]:
    known = {row.batch_size: row for row in speed.rows if row.status == "ok"}
    times, share = [], _share_of_the_curve(target)
    for row in target.rows:
        pace = known.get(row.batch_size)
        if pace is None or row.updates is None or row.lr is None:
            continue
        assert pace.seconds is not None
        assert pace.high is not None
        fresh = None if again is None else again.mean(row.batch_size)
        if fresh is not None:
            updates, of_updates = fresh
        else:
            of_updates = UNKNOWN if row.updates_high is None else math.log(row.updates_high / row.updates)
            updates = row.updates * (target.fit.updates(row.batch_size) / row.updates) ** share
        half = math.hypot(of_updates, math.log(pace.high / pace.seconds))
        seconds = updates * pace.seconds
        times.append(
            BatchTime(
                batch_size=row.batch_size,
                lr=row.lr,
                updates=updates,
                seconds_per_update=pace.seconds,
                seconds=seconds,
                low=seconds * math.exp(-half),
                high=seconds * math.exp(half),
                samples=updates * row.batch_size,
                fresh=() if fresh is None or again is None else again.updates[row.batch_size],
            )
        )
    return tuple(times)


def _share_of_the_curve(target: Target) -> float:
    """How far, in logs, updates are drawn from what was measured to the fitted curve.

    The smallest of several noisy times is too small, and the curve has the less noise: it counts by the share
    of the seeds' variance in all that the measured updates scatter about it.
    """
    known = [np.log(np.maximum(row.by_seed, 1.0)) for row in target.rows if row.updates is not None]
    error = target.fit.error
    if target.fit.batch is None or not error or any(len(logs) < 2 for logs in known):
        return 0.0
    of_means = float(np.mean([logs.var(ddof=1) / len(logs) for logs in known]))
    return min(1.0, of_means / error**2)


def _soonest(times: Sequence[BatchTime]) -> Choice:
    best = min(times, key=lambda row: row.seconds)
    alike = tuple(row.batch_size for row in times if row is not best and row.low <= best.high)
    why = f"batch {best.batch_size:,}: {best.seconds:.3g} s ({best.low:.3g} to {best.high:.3g})"
    return _choice("time", best, times, alike, why + _told(alike))


def _cheapest(times: Sequence[BatchTime]) -> Choice:
    best = min(times, key=lambda row: row.samples)
    # The spread of samples is that of updates; that of time is a little wider.
    alike = tuple(
        row.batch_size
        for row in times
        if row is not best and row.samples * row.low / row.seconds <= best.samples * best.high / best.seconds
    )
    why = f"batch {best.batch_size:,}: {best.samples:,.0f} samples, {best.seconds:.3g} s"
    return _choice("compute", best, times, alike, why + _told(alike))


def _affordable(targets: Sequence[Target], by_target: Sequence[Sequence[BatchTime]], limit: float) -> Choice:
    for target, times in zip(reversed(targets), reversed(by_target), strict=True):
        within = [row for row in times if row.seconds <= limit * (1 + 1e-9)]
        if within:
            best = min(within, key=lambda row: row.samples)
            why = (
                f"batch {best.batch_size:,}: a loss of {target.loss:.4g} with the fewest samples, "
                f"{best.samples:,.0f}, within {limit:.3g} s"
            )
            return _choice("budget", best, times, (), why)
    nothing = f"no batch size reaches any target within {limit:.3g} s"
    return Choice(objective="budget", batch_size=None, lr=None, edge=False, alike=(), why=nothing)


def _choice(
    objective: Objective, best: BatchTime, times: Sequence[BatchTime], alike: tuple[int, ...], why: str
) -> Choice:
    sizes = [row.batch_size for row in times]
    # The smallest batch is expected to take the fewest samples: that is no edge to go beyond.
    edge = best.batch_size == max(sizes) or (best.batch_size == min(sizes) > 1 and objective == "time")
    return Choice(
        objective=objective, batch_size=best.batch_size, lr=best.lr, edge=edge, alike=alike, why=why
    )


def _words(status: str) -> str:
    return status.replace("_", " ")


def _told(alike: Sequence[int]) -> str:
    return f"; not told apart from {', '.join(f'{size:,}' for size in alike)}" if alike else ""


def _limit(task: Task, times: Sequence[BatchTime], speed: Throughput, limit: Budget | None) -> float:
    if limit is not None and limit.seconds is not None:
        return limit.seconds
    if not times:
        return 0.0
    nearest = min(times, key=lambda row: abs(math.log(row.batch_size / task.batch_size)))
    if limit is None:
        return nearest.seconds
    assert limit.runs is not None
    updates = task.steps * task.batch_size / nearest.batch_size
    return limit.runs * updates * nearest.seconds_per_update


def _missing(critical: CriticalBatch, speed: Throughput) -> str:
    reached = any(row.lr for target in critical.targets for row in target.rows)
    return speed.why if reached else critical.why


def _status(critical: CriticalBatch, speed: Throughput, chosen: Choice | None) -> BatchStatus:
    if "interrupted" in (critical.status, speed.status):
        return "interrupted"
    if critical.status == "out_of_time":
        return "out_of_time"
    if chosen is None or chosen.batch_size is None:
        return "no_answer"
    return "edge" if chosen.edge else "ok"
