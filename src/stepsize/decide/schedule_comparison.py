"""compare_schedules: which schedule ends lowest at equal budget, each at its own best rate."""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec
import numpy as np
from scipy import special

from stepsize._check_task import integer, positive_rate
from stepsize._progress import Reporter, reporting
from stepsize._result import Provenance, Result, provenance
from stepsize.decide.known_rate import known_rate
from stepsize.decide.rehearsal import Rehearsal, Shape, merged, rehearse
from stepsize.decide.speed import Speed
from stepsize.decide.verdict import learns
from stepsize.estimate import basin
from stepsize.schedules import Schedule
from stepsize.task import Task
from stepsize.training import Cost

SCHEDULES = ("fixed", "linear", "cosine", "hold | decay('20%', shape='1-sqrt')")
"""Compared unless told otherwise; the last is warmup-stable-decay without its warm-up."""

FACTORS = (0.625, 1.0, 1.6, 2.56)
"""Of the rate given: a schedule that decays bears a larger peak."""

STEP = 1.6
"""Factor between the rates beyond an edge of them."""

EXTENSIONS = 4
"""How often a grid goes on past an edge of it that turned out best."""

LEVEL = 0.05
"""Chance of detecting some difference where there is none, over all comparisons together."""


class ScheduleRow(msgspec.Struct, frozen=True, kw_only=True):
    """A schedule at its best peak rate: the held-out loss, and how much it ends above the best schedule.

    `loss` is the mean over seeds. `behind` is the mean over seeds of its loss less the best schedule's with
    the same seed, between `behind_low` and `behind_high` (Student's t, 95% for all comparisons together;
    None with one seed). `alike` says that the interval holds 0: no difference was detected. `lr` is None if
    every rate diverged or none learns.
    """

    schedule: str
    lr: float | None
    loss: float | None
    by_seed: tuple[float, ...]
    behind: float | None
    behind_low: float | None
    behind_high: float | None
    alike: bool


class ScheduleComparison(Result, frozen=True, kw_only=True, eq=False):
    """Schedules by their held-out loss after `steps` updates, the lowest first.

    `best` is the first one's text, None if nothing learned; `alike` those that cannot be told from it.
    `status` is "ok", "no_answer" or "interrupted" (schedules not tried are left out). `steps` updates stand
    for the task's `horizon`, with each shape compressed into them.
    """

    status: str
    why: str
    best: str | None
    rows: tuple[ScheduleRow, ...]
    steps: int
    horizon: int
    warnings: tuple[str, ...]
    task: str
    cost: Cost
    provenance: Provenance

    @property
    def alike(self) -> tuple[str, ...]:
        """Schedules that no difference was detected of to the best one."""
        return tuple(row.schedule for row in self.rows if row.alike and row.schedule != self.best)

    def __str__(self) -> str:
        lines = [f"{self.task}: schedules after {self.steps:,} of {self.horizon:,} updates  [{self.status}]"]
        lines.append(f"  {'schedule':28} {'peak rate':>10} {'loss':>9}   behind the best")
        lines += [_line(row, row.schedule == self.best) for row in self.rows]
        lines += [self.why, *(f"warning: {warning}" for warning in self.warnings)]
        lines.append(
            f"cost {self.cost.updates:,} updates, {self.cost.seconds:.1f} s, {self.cost.runs:.2g} full runs"
        )
        return "\n".join(lines)


def _line(row: ScheduleRow, best: bool) -> str:
    if row.lr is None or row.loss is None:
        return f"  {row.schedule:28} no rate learns"
    behind = "best" if best else f"{row.behind:.3g}"
    if row.behind_low is not None and not best:
        behind += f" ({row.behind_low:.2g} to {row.behind_high:.2g})"
    if row.alike and not best:
        behind += ", no difference detected"
    return f"  {row.schedule:28} {row.lr:>10.3g} {row.loss:>9.4g}   {behind}"


def compare_schedules(
    task: Task,
    schedules: Sequence[Schedule | str] = SCHEDULES,
    *,
    lr: float | None = None,
    steps: int | None = None,
    seeds: int = 3,
    progress: bool | Reporter | None = None,
) -> ScheduleComparison:
    """Compare schedules at equal budget, each at the best of several peak rates.

    Every schedule's shape is compressed into the same number of updates and trained at the same rates with
    the same seeds and batches; its grid goes on past an edge that turns out best. Differences are paired by
    seed, so that what seeds have in common drops out.

    Args:
        task: what to train; nothing of it is changed.
        schedules: at least two, as `Schedule`s or their texts; their own peaks do not matter.
        lr: about where rates are tried; by default what `find_lr` finds for the first schedule.
        steps: updates of every run; by default the task's whole horizon.
        seeds: counting up from the task's.
        progress: True for a bar on stderr, False for silence, or a `Reporter`.

    Returns:
        A `ScheduleComparison`. Ctrl-C gives the schedules done until then, with status "interrupted".

    Raises:
        ValueError: fewer than two schedules or the same one twice, numbers out of range, or no rate was given
            and `find_lr` has none.
    """
    parsed = [Schedule.parse(s) if isinstance(s, str) else s for s in schedules]
    texts = [str(schedule.at(1.0)) for schedule in parsed]
    if len(texts) < 2 or len(set(texts)) < len(texts):
        raise ValueError(f"schedules must be two or more, all different, but are {texts}")
    integer("seeds", seeds, at_least=1)
    length = task.steps if steps is None else integer("steps", steps, at_least=1)
    if length > task.steps:
        raise ValueError(f"steps must not exceed the task's {task.steps} updates, but is {length}")
    if lr is not None:
        positive_rate("lr", lr)
    chosen = tuple(task.seed + i for i in range(seeds))
    done: dict[str, Rehearsal] = {}
    interrupted = False
    with reporting(progress) as reporter:
        about, _ = known_rate(task, lr, schedule=parsed[0], progress=reporter)
        reporter.expect(length * len(FACTORS) * seeds * len(texts))
        try:
            for text, schedule in zip(texts, parsed, strict=True):
                reporter.phase(f"schedule {text}")
                done[text] = _best_of(task, Shape.of(schedule, task), about, chosen, length, reporter)
        except KeyboardInterrupt:
            interrupted = True
    return _compared(task, done, interrupted, length, chosen)


def _best_of(
    task: Task, shape: Shape, lr: float, seeds: tuple[int, ...], steps: int, reporter: Reporter
) -> Rehearsal:
    speed = Speed.of(task)

    def run(lrs: np.ndarray) -> Rehearsal:
        engine = speed.engine(len(lrs) * len(seeds), steps)
        return rehearse(task, shape, lrs, seeds=seeds, steps=steps, engine=engine, progress=reporter.advance)

    found = run(lr * np.array(FACTORS))
    for number in range(EXTENSIONS):
        if found.best == len(found.lrs) - 1:
            found = merged(found, run(found.lrs[-1] * STEP ** np.arange(1, 2 + number)))
        elif found.best is None or found.best == 0:
            found = merged(found, run(found.lrs[0] / STEP ** np.arange(1, 2 + number)))
        else:
            break
    return found


def _compared(
    task: Task, done: dict[str, Rehearsal], interrupted: bool, steps: int, seeds: tuple[int, ...]
) -> ScheduleComparison:
    learned = {text: found for text, found in done.items() if learns(found)}
    order = sorted(learned, key=lambda text: float(learned[text].mean.min()))
    best = order[0] if order else None
    rows = [_row(text, learned[text], learned[order[0]], len(order) - 1) for text in order]
    rows += [
        ScheduleRow(
            schedule=text,
            lr=None,
            loss=None,
            by_seed=(),
            behind=None,
            behind_low=None,
            behind_high=None,
            alike=False,
        )
        for text in done
        if text not in learned
    ]
    cost = sum((found.cost for found in done.values()), Cost(updates=0, samples=0, seconds=0.0, runs=0.0))
    warnings = {f"trained one after another: {f.engine_reason}" for f in done.values() if f.engine_reason}
    edges = [text for text, found in learned.items() if found.best in (0, len(found.lrs) - 1)]
    if edges:
        warnings.add(f"the best rate is the last that was tried with {', '.join(edges)}")
    return ScheduleComparison(
        status="interrupted" if interrupted else "ok" if rows and best is not None else "no_answer",
        why=_why(best, rows, len(seeds)),
        best=best,
        rows=tuple(rows),
        steps=steps,
        horizon=task.steps,
        warnings=tuple(sorted(warnings)),
        task=task.name,
        cost=cost,
        provenance=provenance(device=str(task.device), seeds=seeds),
    )


def _row(text: str, found: Rehearsal, best: Rehearsal, comparisons: int) -> ScheduleRow:
    assert found.best is not None
    assert best.best is not None
    mine, lowest = found.losses[:, found.best], best.losses[:, best.best]
    differences = mine - lowest
    mean, half = float(differences.mean()), None
    if len(differences) > 1:
        error = float(differences.std(ddof=1)) / math.sqrt(len(differences))
        level = LEVEL / max(1, comparisons)
        half = float(special.stdtrit(len(differences) - 1, 1 - level / 2)) * error
    return ScheduleRow(
        schedule=text,
        lr=basin(found.lrs, found.losses, found.start_loss).lr,
        loss=float(mine.mean()),
        by_seed=tuple(mine.tolist()),
        behind=mean,
        behind_low=None if half is None else mean - half,
        behind_high=None if half is None else mean + half,
        alike=half is None or mean - half <= 0,
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
