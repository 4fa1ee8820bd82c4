"""find_warmup: how long a warm-up the early updates need, by training with several."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence

import numpy as np
from msgspec import structs

from stepsize._check_task import integer, positive_rate
from stepsize._progress import OutOfTimeError, Reporter, reporting
from stepsize._result import finite_or_none, provenance
from stepsize._untouched import untouched
from stepsize._words import duration, plural
from stepsize.decide.budget import Budget
from stepsize.decide.find_lr import checked_schedule
from stepsize.decide.known_rate import besides, known_rate, left
from stepsize.decide.rehearsal import Shape, on_part_of_the_data
from stepsize.decide.schedule_comparison import shape_text
from stepsize.decide.speed import Speed, fitted_steps, run_by_run, seconds_per_update
from stepsize.decide.warmup_result import WarmupComparison, WarmupRow
from stepsize.decide.warmup_rows import FACTORS, learns, reason, rows_of, shortest
from stepsize.schedules import Run, Schedule
from stepsize.schedules.phases import warmup
from stepsize.task import Task
from stepsize.training import Cost, History, Member, train

LENGTHS = (0, 10, 30, 100, 300, 1000, 3000)
"""Warm-ups tried unless told otherwise, as far as the run has room for them."""

ROOM = 0.25
"""Share of a trial run, and of the real one, that a warm-up may take."""


SHARE = 0.25
"""Length of the trial runs as a share of the real one, unless told otherwise."""

SHORTEST = 64
"""Updates that they have at least, or all there are."""


_log = logging.getLogger("stepsize")

_ENDED = {
    "interrupted": "Interrupted before the runs had ended.",
    "out_of_time": "The budget ended before the runs had: pass a larger one.",
}


@untouched
def find_warmup(
    task: Task,
    schedule: Schedule | str = "fixed",
    *,
    lr: float | None = None,
    warmups: Sequence[int] | None = None,
    steps: int | None = None,
    seeds: int = 3,
    budget: str | None = None,
    progress: bool | Reporter | None = None,
    announce: Callable[[str], None] | None = None,
) -> WarmupComparison:
    """Find the shortest linear warm-up that costs nothing and lets the early updates bear the rate.

    Warm-ups of several lengths are trained before the same schedule, each at the rate given and at twice
    that, with the same seeds and batches, as one stack. What an early update bears depends on the
    weights then, not on how long the run is: warm-ups keep their number of updates in the shortened run,
    while the schedule behind them is compressed.

    Args:
        task: what to train; nothing of it is changed.
        schedule: what follows the warm-up, as a `Schedule` or its text; its own peak does not matter.
        lr: the peak rate; by default what `find_lr` finds for the schedule alone.
        warmups: lengths to try, in updates, rising; by default 0, 10, 30, 100 … up to a quarter of the runs.
        steps: updates of every run; by default a quarter of the task's, or what the budget has room for.
        seeds: counting up from the task's.
        budget: what the answer may cost, a rate to begin with included, as "1 run" of a plain loop, or
            "60 s": fits `steps` to it, up to the default, and ends without an answer when a time is over.
        progress: True for a bar on stderr, False for silence, or a `Reporter`.
        announce: told in a sentence what will be done and about how long it takes, before it starts; by
            default the logger "stepsize" is, at level INFO.

    Returns:
        A `WarmupComparison`. Ctrl-C gives one without rows, with status "interrupted", and a time that is
        over "out_of_time".

    Raises:
        ValueError: lengths that are not rising or leave the runs no update, numbers out of range, or no rate
            was given and `find_lr` has none.
        TypeError: `schedule` is neither a Schedule nor text.
    """
    parsed = checked_schedule(schedule)
    integer("seeds", seeds, at_least=1)
    if steps is not None and budget is not None:
        raise ValueError(f"steps and budget exclude each other, but got {steps} and {budget!r}")
    limit = None if budget is None else Budget.parse(budget)
    length = _usual_steps(task) if steps is None else integer("steps", steps, at_least=2)
    if length > task.steps:
        raise ValueError(f"steps must not exceed the task's {task.steps} updates, but is {length}")
    lengths = warmup_lengths(length) if warmups is None else _checked(warmups, length)
    if lr is not None:
        positive_rate("lr", lr)
    chosen = tuple(task.seed + i for i in range(seeds))
    with reporting(progress) as reporter:
        ended, history, peak = "", None, lr
        try:
            if limit is not None:
                length = min(length, _affordable(task, left(limit, lr), seeds))
                lengths = warmup_lengths(length) if warmups is None else _checked(warmups, length)
            count = len(lengths) * len(FACTORS) * seeds
            seconds = Speed.of(task).cost(count, length) * seconds_per_update(task)
            (announce or _log.info)(
                f"Comparing {len(lengths)} warm-ups over {length:,} updates at {len(FACTORS)} rates with "
                f"{plural(seeds, 'seed')}: about {duration(seconds)} on this machine{besides(lr)}."
            )
            if limit is not None:
                reporter = limit.clocked(reporter)
            peak, _ = known_rate(task, lr, schedule=parsed, budget=limit, progress=reporter)
            reporter.expect(count * length)
            reporter.phase("warm-up")
            history = _trained(task, parsed, peak, lengths, length, chosen, reporter)
        except KeyboardInterrupt:
            ended = "interrupted"
        except OutOfTimeError:
            ended = "out_of_time"
    return _compared(task, parsed, peak, lengths, length, chosen, history, ended)


def _affordable(task: Task, budget: Budget, seeds: int) -> int:
    speed = Speed.of(task)

    def cost(steps: int) -> float:
        return speed.cost(len(warmup_lengths(steps)) * len(FACTORS) * seeds, steps)

    return fitted_steps(task, budget, cost, shortest=SHORTEST)


def _usual_steps(task: Task) -> int:
    """Updates of the runs, unless told otherwise."""
    return min(task.steps, max(SHORTEST, math.ceil(SHARE * task.steps)))


def warmup_lengths(steps: int) -> tuple[int, ...]:
    """Those of the usual lengths that runs of so many updates have room for."""
    return tuple(width for width in LENGTHS if width <= ROOM * steps)


def _checked(warmups: Sequence[int], steps: int) -> tuple[int, ...]:
    lengths = tuple(integer("warmups", width, at_least=0) for width in warmups)
    if not lengths or list(lengths) != sorted(set(lengths)):
        raise ValueError(f"warmups must be rising numbers of updates, but are {list(warmups)}")
    if lengths[-1] >= steps:
        raise ValueError(
            f"warmups must be shorter than the runs of {steps} updates, but reach {lengths[-1]}: "
            "pass more steps"
        )
    return lengths


def _trained(
    task: Task,
    schedule: Schedule,
    lr: float,
    lengths: Sequence[int],
    steps: int,
    seeds: tuple[int, ...],
    reporter: Reporter,
) -> History:
    """All of it in one stack; members in the order length, seed, factor."""
    small = on_part_of_the_data(task, steps / task.steps)
    after = Shape.of(schedule, task)
    members, rates = [], []
    for width in lengths:
        ramp = np.empty(0)
        if width:
            ramp = warmup(width).at(1.0).values(Run(steps=width))
        values = np.concatenate([ramp, after.compressed(steps - width).values])
        for seed in seeds:
            for factor in FACTORS:
                members.append(Member(lr * factor, seed))
                rates.append(lr * factor * values)
    engine = Speed.of(small).engine(len(members), steps)
    history = train(
        small,
        members,
        np.array(rates),
        evaluate_at=[0, steps],
        controls=after.compressed(steps).controls,
        engine=engine,
        progress=reporter.advance,
    )
    return structs.replace(history, engine_reason="") if engine == "loop" else history


def _compared(
    task: Task,
    schedule: Schedule,
    lr: float | None,
    lengths: Sequence[int],
    steps: int,
    seeds: tuple[int, ...],
    history: History | None,
    ended: str,
) -> WarmupComparison:
    rows: tuple[WarmupRow, ...] = ()
    start, learned = None, False
    warnings: tuple[str, ...] = ()
    cost = Cost(updates=0, samples=0, seconds=0.0, runs=0.0)
    if history is not None:
        rows, cost = rows_of(history, lengths, len(seeds)), history.cost
        start = finite_or_none(float(history.val_loss[:, 0].mean()))
        learned = learns(history, len(seeds))
        if history.engine_reason:
            warnings = (run_by_run(history.engine_reason),)
    chosen = shortest(rows, start) if learned else None
    if chosen is not None and chosen.updates == lengths[-1] > 0:
        warnings += (f"the warm-up of {chosen.updates:,} updates is the longest that was tried",)
    answer = "ok" if chosen is not None else "no_answer"
    return WarmupComparison(
        status=ended or answer,
        why=_ENDED[ended] if ended else reason(rows, chosen, start, lr or 0.0),
        updates=None if chosen is None else chosen.updates,
        schedule=shape_text(schedule),
        lr=lr,
        rows=rows,
        steps=steps,
        horizon=task.steps,
        start_loss=start,
        warnings=warnings,
        task=task.name,
        cost=cost,
        provenance=provenance(device=str(task.device), seeds=seeds),
    )
