"""compare_schedules: which schedule ends lowest at equal budget, each at its own best rate."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from stepsize._check_task import integer, positive_rate
from stepsize._progress import OutOfTimeError, Reporter, reporting
from stepsize._result import finite_or_none, provenance
from stepsize._untouched import untouched
from stepsize._words import duration, plural
from stepsize.decide.budget import Budget
from stepsize.decide.find_lr import checked_schedule
from stepsize.decide.known_rate import besides, known_rate, left
from stepsize.decide.outcomes import learns
from stepsize.decide.rehearsal import Rehearsal, Shape, at_rates, merged, rehearse, with_more_seeds
from stepsize.decide.schedule_comparison_result import ScheduleComparison, ScheduleRow
from stepsize.decide.speed import Speed, fitted_steps, run_by_run, seconds_per_update
from stepsize.estimate.paired import Difference, differences
from stepsize.estimate.transfer import HALF_WAY
from stepsize.schedules import Schedule
from stepsize.task import Task
from stepsize.training import Cost

SCHEDULES = ("fixed", "linear", "cosine", "hold | decay('20%', shape='1-sqrt')")
"""Compared unless told otherwise; the last is warmup-stable-decay without its warm-up."""

FACTORS = (0.625, 1.0, 1.6, 2.56)
"""Of the rate given: a schedule that decays bears a larger peak."""

STEP = 1.6
"""Factor between the rates beyond an edge of them."""

EXTENDED = 1.3
"""What rates beyond an edge add to the cost, on average."""

SHORTEST = 32
"""Updates below which a run tells nothing: no budget makes runs shorter."""

EXTENSIONS = 4
"""How often a grid goes on past an edge of it that turned out best."""

_UNIT = "1 * ("

_log = logging.getLogger("stepsize")


@untouched
def compare_schedules(
    task: Task,
    schedules: Sequence[Schedule | str] | None = None,
    *,
    lr: float | None = None,
    steps: int | None = None,
    seeds: int = 3,
    budget: str | None = None,
    progress: bool | Reporter | None = None,
    announce: Callable[[str], None] | None = None,
) -> ScheduleComparison:
    """Compare schedules at equal budget, each at the best of several peak rates.

    Every schedule's shape is compressed into the same number of updates and trained at the same rates with
    the same seeds and batches; its grid goes on past an edge that turns out best. Where a stack does not make
    runs cheap, the first seed alone tries all rates. Differences are paired by seed, so that what seeds have
    in common drops out, and what they leave is taken from all schedules together
    (`stepsize.estimate.paired.differences`).

    Args:
        task: what to train; nothing of it is changed.
        schedules: at least two, as `Schedule`s or their texts; their own peaks do not matter. By default
            four, or those of them that the run is long enough for.
        lr: about where rates are tried; by default what `find_lr` finds for the first schedule.
        steps: updates of every run; by default the task's whole horizon, or what the budget has room for.
        seeds: counting up from the task's.
        budget: what the comparison may cost, a rate to begin with included, as "2 runs" of a plain loop, or
            "60 s": fits `steps` to it, and ends with the schedules done when a time is over.
        progress: True for a bar on stderr, False for silence, or a `Reporter`.
        announce: told in a sentence what will be done and about how long it takes, before it starts; by
            default the logger "stepsize" is, at level INFO.

    Returns:
        A `ScheduleComparison`. Ctrl-C gives the schedules done until then, with status "interrupted".

    Raises:
        ValueError: fewer than two schedules or the same one twice, numbers out of range, `steps` and `budget`
            both, or no rate was given and `find_lr` has none.
    """
    parsed = checked_schedules(fitting_schedules(task) if schedules is None else schedules)
    texts = list(parsed)
    integer("seeds", seeds, at_least=1)
    if steps is not None and budget is not None:
        raise ValueError(f"steps and budget exclude each other, but got {steps} and {budget!r}")
    limit = None if budget is None else Budget.parse(budget)
    length = task.steps if steps is None else integer("steps", steps, at_least=1)
    if length > task.steps:
        raise ValueError(f"steps must not exceed the task's {task.steps} updates, but is {length}")
    if lr is not None:
        positive_rate("lr", lr)
    chosen = tuple(task.seed + i for i in range(seeds))
    done: dict[str, _Tried] = {}
    ended = ""
    with reporting(progress) as reporter:
        try:
            if limit is not None:
                length = _affordable(task, left(limit, lr), len(texts), seeds)
            seconds = len(texts) * min(_costs(Speed.of(task), seeds, length)) * seconds_per_update(task)
            (announce or _log.info)(
                f"Comparing {len(texts)} schedules over {length:,} updates at {len(FACTORS)} rates or more "
                f"with {plural(seeds, 'seed')}: about {duration(seconds)} on this machine{besides(lr)}."
            )
            if limit is not None:
                reporter = limit.clocked(reporter)
            about, _ = known_rate(task, lr, schedule=parsed[texts[0]], budget=limit, progress=reporter)
            reporter.expect(length * len(FACTORS) * seeds * len(texts))
            for text, schedule in parsed.items():
                reporter.phase(f"schedule {text}")
                done[text] = _best_of(task, Shape.of(schedule, task), about, chosen, length, reporter)
        except KeyboardInterrupt:
            ended = "interrupted"
        except OutOfTimeError:
            ended = "out_of_time"
    return _compared(task, done, ended, [text for text in texts if text not in done], length, chosen)


def fitting_schedules(task: Task) -> list[str]:
    """Those of `SCHEDULES` that the task's run has room for: a phase needs an update at least."""
    fitting = []
    for text in SCHEDULES:
        try:
            Shape.of(checked_schedule(text), task)
        except ValueError:
            continue
        fitting.append(text)
    return fitting


def checked_schedules(schedules: Sequence[Schedule | str]) -> dict[str, Schedule]:
    """At least two different schedules by their texts."""
    parsed = [checked_schedule(schedule) for schedule in schedules]
    texts = [shape_text(schedule) for schedule in parsed]
    if len(texts) < 2 or len(set(texts)) < len(texts):
        raise ValueError(f"schedules must be two or more, all different, but are {texts}")
    return dict(zip(texts, parsed, strict=True))


def _affordable(task: Task, budget: Budget, count: int, seeds: int) -> int:
    speed = Speed.of(task)
    return fitted_steps(
        task, budget, lambda steps: count * min(_costs(speed, seeds, steps)), shortest=SHORTEST
    )


def _costs(speed: Speed, seeds: int, steps: int) -> tuple[float, float]:
    """One schedule with every seed at every rate; and with the first seed at all, the others at its best."""
    rates = EXTENDED * speed.cost(len(FACTORS), steps)
    others = speed.cost(seeds - 1, steps) if seeds > 1 else 0.0
    return EXTENDED * speed.cost(seeds * len(FACTORS), steps), rates + others


def shape_text(schedule: Schedule) -> str:
    """The schedule's text without its peak, as `Schedule.parse` reads it."""
    text = str(schedule.at(1.0))
    return text[len(_UNIT) : -1] if text.startswith(_UNIT) else text


@dataclass(frozen=True)
class _Tried:
    """A schedule at all rates, with one seed or every one, and at its best rate with every seed."""

    decays: bool
    grid: Rehearsal
    best: Rehearsal | None
    cost: Cost

    @property
    def loss(self) -> float:
        return math.inf if self.best is None else float(self.best.mean[0])


def _best_of(
    task: Task, shape: Shape, lr: float, seeds: tuple[int, ...], steps: int, reporter: Reporter
) -> _Tried:
    """Where members cost little every seed tries every rate; else all but the first the best one alone."""
    speed = Speed.of(task)

    def run(lrs: np.ndarray, seeds: tuple[int, ...]) -> Rehearsal:
        engine = speed.engine(len(lrs) * len(seeds), steps)
        return rehearse(task, shape, lrs, seeds=seeds, steps=steps, engine=engine, progress=reporter.advance)

    every, lean = _costs(speed, len(seeds), steps)
    first, others = (seeds, ()) if every <= lean else (seeds[:1], seeds[1:])
    grid = run(lr * np.array(FACTORS), first)
    for number in range(EXTENSIONS):
        if grid.best == len(grid.lrs) - 1:
            grid = merged(grid, run(grid.lrs[-1] * STEP ** np.arange(1, 2 + number), first))
        elif grid.best is None or grid.best == 0:
            grid = merged(grid, run(grid.lrs[0] / STEP ** np.arange(1, 2 + number), first))
        else:
            break
    if grid.best is None or not learns(grid):
        return _Tried(shape.decays, grid, None, grid.cost)
    if not others:
        return _Tried(shape.decays, grid, at_rates(grid, [grid.best]), grid.cost)
    cost = grid.cost
    for place in range(grid.best, -1, -1):  # a rate that other seeds do not bear is too large
        more = run(grid.lrs[[place]], others)
        cost += more.cost
        best = with_more_seeds(at_rates(grid, [place]), more)
        if np.isfinite(best.losses).all():
            return _Tried(shape.decays, grid, best, cost)
    return _Tried(shape.decays, grid, None, cost)


def _compared(
    task: Task,
    done: dict[str, _Tried],
    ended: str,
    missing: list[str],
    steps: int,
    seeds: tuple[int, ...],
) -> ScheduleComparison:
    order = sorted((text for text in done if done[text].best is not None), key=lambda text: done[text].loss)
    ends = [one.best.losses[:, 0] for text in order if (one := done[text]).best is not None]
    behind = differences(np.stack(ends, axis=1), 0) if ends else []
    rows = [_row(text, done[text], difference) for text, difference in zip(order, behind, strict=True)]
    rows += [_row(text, done[text], None) for text in done if text not in order]
    best = order[0] if order else None
    advised = _advised(rows[: len(order)], done, shortened=steps < task.steps)
    cost = sum((one.cost for one in done.values()), Cost(updates=0, samples=0, seconds=0.0, runs=0.0))
    reasons = {one.grid.engine_reason for one in done.values() if one.grid.engine_reason}
    warnings = {run_by_run(reason) for reason in reasons}
    edges = [text for text in order if done[text].grid.best in (0, len(done[text].grid.lrs) - 1)]
    if missing:
        warnings.add(f"not tried before the end: {', '.join(missing)}")
    late = next((one.best.late for text in order if (one := done[text]).best is not None), 0.0)
    if late > HALF_WAY and steps < task.steps:
        warnings.add(
            f"after {steps:,} of {task.steps:,} updates the runs have only begun to learn: in the whole run "
            "another schedule may end lowest; a larger budget tells"
        )
    if edges:
        warnings.add(f"the best rate is the last that was tried with {', '.join(edges)}")
    return ScheduleComparison(
        status=ended or ("ok" if best is not None else "no_answer"),
        why=_why(best, rows, len(seeds)) + _instead(best, advised),
        best=best,
        advised=advised,
        rows=tuple(rows),
        steps=steps,
        horizon=task.steps,
        warnings=tuple(sorted(warnings)),
        task=task.name,
        cost=cost,
        provenance=provenance(device=str(task.device), seeds=seeds),
    )


def _advised(rows: Sequence[ScheduleRow], done: dict[str, _Tried], *, shortened: bool) -> str | None:
    """What to take in the whole run, of rows in which something learned, the lowest first.

    A rate that stays leaves its noise in the loss. Early in a run what is still to be learned hides that, so
    schedules that decay fare better in the whole run than in a shortened one.
    """
    if not rows:
        return None
    texts = [rows[0].schedule, *(row.schedule for row in rows[1:] if row.alike)]
    return next((text for text in texts if shortened and done[text].decays), texts[0])


def _instead(best: str | None, advised: str | None) -> str:
    if advised == best:
        return ""
    return f" {advised} is advised: it decays, and what that gains grows with the length of the run."


def _row(text: str, tried: _Tried, behind: Difference | None) -> ScheduleRow:
    grid, mine = tried.grid, tried.best
    return ScheduleRow(
        schedule=text,
        lr=None if mine is None else float(mine.lrs[0]),
        loss=None if mine is None else tried.loss,
        by_seed=() if mine is None else tuple(mine.losses[:, 0].tolist()),
        behind=None if behind is None else behind.mean,
        behind_low=None if behind is None else behind.low,
        behind_high=None if behind is None else behind.high,
        alike=behind is not None and not behind.detected,
        lrs=tuple(grid.lrs.tolist()),
        losses=tuple(finite_or_none(float(loss)) for loss in grid.mean),
    )


def _why(best: str | None, rows: Sequence[ScheduleRow], seeds: int) -> str:
    if best is None:
        return (
            "No schedule lowered the held-out loss beyond luck: pass lr= a rate that learns, or more steps."
        )
    others = [row for row in rows if row.schedule != best and row.lr is not None]
    alike = [row.schedule for row in others if row.alike]
    if seeds == 1:
        return f"{best} ends lowest; with one seed no difference can be told from luck: pass seeds=3."
    if not others:
        return f"{best} alone was compared."
    if not alike:
        return f"{best} ends lowest, and every other one ends above it beyond what the seeds scatter."
    if len(alike) == len(others):
        return f"No difference detected: {best} ends lowest, but not beyond what the seeds scatter."
    return f"{best} ends lowest; no difference to {', '.join(alike)} was detected."
