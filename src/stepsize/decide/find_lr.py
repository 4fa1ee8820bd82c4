"""find_lr: the learning rate for a task at its batch size, schedule and horizon."""

from __future__ import annotations

import logging
from typing import Any

from stepsize._check_task import integer, positive_rate
from stepsize._progress import OutOfTimeError, Reporter, Silent, reporting
from stepsize._result import finite_or_none, provenance
from stepsize._untouched import untouched
from stepsize.decide.advice import Advice
from stepsize.decide.broken_data import broken_data
from stepsize.decide.budget import Budget
from stepsize.decide.outcomes import learns
from stepsize.decide.plan import DOUBT
from stepsize.decide.rehearsal import Rehearsal, Shape
from stepsize.decide.search import Search
from stepsize.decide.speed import run_by_run
from stepsize.decide.verdict import Verdict, judge, known_so_far
from stepsize.probe import Probe
from stepsize.schedules import Schedule
from stepsize.task import Task
from stepsize.training.evaluation import held_out_samples
from stepsize.training.probed import ProbeRun, Trainable, trainable
from stepsize.training.ranks import collective

LR_MIN, LR_MAX = 1e-7, 1e3
"""Where rates are looked for unless told otherwise: beyond the smallest and largest in common use."""

_JUDGED = {
    "held-out part of train": "a tenth of train, held out",
    "fresh training batches": "fresh training batches",
    "training batches": "batches that are trained on",
}
"""What stands in for validation data, as a warning says it."""


_log = logging.getLogger("stepsize")


@untouched
@collective
def find_lr(
    task: Task | Probe,
    *,
    batches: Any = None,
    val: Any = None,
    steps: int | None = None,
    schedule: Schedule | str = "fixed",
    budget: str | None = None,
    seeds: int | None = None,
    lr_min: float = LR_MIN,
    lr_max: float = LR_MAX,
    progress: bool | Reporter | None = None,
) -> Advice:
    """Find the learning rate by rehearsing the real run.

    A range test brackets the rates. Then several rates are trained from the same start over a shortened
    horizon, with the schedule's shape compressed into it, on a part of the data, as
    one stack: a short round weeds out, a longer one decides on the held-out loss. What the full run adds,
    and what is not known of it, enters the answer and its interval. A grid whose best rate stands at its
    edge is extended.

    The same task, arguments and seed on the same machine with the same number of threads give the same
    advice, unless the budget is a time. Nothing of the task is changed. Ctrl-C returns what is known so far,
    with status "interrupted", and a budget that ends too soon does so with "out_of_time". The step of a probe
    is tried on two updates first: nothing is known until then, and Ctrl-C is raised.

    Args:
        task: what to train; or a `Probe`, a training loop of one's own.
        batches: with a probe, what it trains on: a loader, a list of batches, a `Replay` of a generator, or a
            function of a seed that gives an iterator. Its order is to differ from seed to seed.
        val: with a probe that has `evaluate`, a loader of held-out batches; they are read once and kept.
        steps: with a probe, the updates of the real run, from where it stands.
        schedule: the real run's, as a `Schedule` or its text, such as "cosine" or "warmup('5%') | linear";
            its own peak does not matter.
        budget: what the answer may cost, as text: "0.5 runs", in the time that full runs of a plain loop
            take, or "60 s", "5 min", "2 h". The longest rehearsals that fit are held; a range test and one
            short round are the least. By default about one run, and up to four where a shorter rehearsal
            leaves it in doubt whether the answer loses more than 2% of the progress.
        seeds: how many seeds decide, counting up from the task's; by default as the budget allows, 3 at most.
        lr_min, lr_max: no rate outside is tried.
        progress: True for a bar on stderr, False for silence, or a `Reporter`; by default a bar if stderr
            is a terminal.

    Returns:
        An `Advice`; its status is "ok", "uncertain" where the chance that the rate loses more than 5% of the
        progress is above one in five, or a short rehearsal told no rate from another or none within two
        decades, and all that the budget allows has been tried, or it names why no rate can be given: "flat",
        "not_bracketed", "noise_dominated", "diverges_everywhere", "too_little_data". Samples in memory that
        hold NaN or infinities are counted in `warnings`.

    Raises:
        ValueError: rates not positive and finite, `lr_min >= lr_max`, `seeds` below 1, a malformed budget
            or schedule.
        TypeError: `task` is neither a Task nor a Probe, or what goes with a probe is given with a task;
            `schedule` is neither a Schedule nor text, or `budget` no text.
    """
    if seeds is not None:
        integer("seeds", seeds, at_least=1)
    limit = None if budget is None else Budget.parse(budget)
    positive_rate("lr_min", lr_min)
    positive_rate("lr_max", lr_max)
    if lr_min >= lr_max:
        raise ValueError(f"lr_min < lr_max must hold, but got lr_min={lr_min}, lr_max={lr_max}")
    chosen = checked_schedule(schedule)
    trained = trainable(task, batches=batches, val=val, steps=steps)
    shape = Shape.of(chosen, trained)
    with reporting(progress) as reporter:
        search = Search(
            trained, shape, seeds=seeds, lr_min=lr_min, lr_max=lr_max, budget=limit, reporter=reporter
        )
        verdict = _search(trained, search)
    advice = _advice(trained, chosen, search, verdict)
    found = "no rate" if advice.lr is None else f"rate {advice.lr:.3g}"
    _log.info("%s: %s [%s]: %s", advice.task, found, advice.status, advice.why)
    return advice


def checked_schedule(schedule: Schedule | str) -> Schedule:
    """The schedule, parsed if it is text."""
    chosen = Schedule.parse(schedule) if isinstance(schedule, str) else schedule
    if not isinstance(chosen, Schedule):
        raise TypeError(
            f"schedule must be a Schedule or its text, but is a {type(schedule).__name__}: "
            "pass schedule='cosine' (its peak is what is searched)"
        )
    return chosen


def _search(task: Trainable, search: Search) -> Verdict:
    rehearsals = search.rehearsals
    try:
        search.run()
        if _nothing_yet(task, rehearsals[-1]):
            search.lengthen()
        verdict = _judged(task, rehearsals)
        while verdict.lr is not None and verdict.outlook is not None and verdict.doubt > DOUBT:
            if not search.refine(verdict.lr, verdict.outlook):
                break
            verdict = _judged(task, rehearsals)
        return verdict
    except OutOfTimeError:
        # A round that ended while its best rate stood at the edge says only that the next one is to be tried.
        rehearsals = [one for one in rehearsals if one.best not in (None, 0, len(one.lrs) - 1)]
        if not rehearsals:
            return known_so_far("out_of_time", search.rehearsals, search.bracket)
    except KeyboardInterrupt:
        return known_so_far("interrupted", rehearsals, search.bracket)
    return _judged(task, rehearsals)


def _nothing_yet(task: Trainable, last: Rehearsal) -> bool:
    """Whether a rehearsal was too short to learn anything."""
    return last.best is not None and last.steps < task.steps and not learns(last)


def _judged(task: Trainable, rehearsals: list[Rehearsal]) -> Verdict:
    return judge(rehearsals, trained=task.samples, held_out=held_out_samples(task))


def interrupted_at_once(task: Task, schedule: Schedule) -> Advice:
    """What there is to say where Ctrl-C came before a search began."""
    search = Search(
        task,
        Shape.of(schedule, task),
        seeds=None,
        lr_min=LR_MIN,
        lr_max=LR_MAX,
        budget=None,
        reporter=Silent(),
    )
    return _advice(task, schedule, search, known_so_far("interrupted", [], None))


def _advice(task: Trainable, schedule: Schedule, search: Search, verdict: Verdict) -> Advice:
    warnings = [*(task.warnings if isinstance(task, ProbeRun) else ()), *verdict.warnings]
    if task.loss_kind != "validation":
        warnings.append(f"no validation data was given: rates were judged on {_JUDGED[task.loss_kind]}")
    reasons = {search.obstacle, *(r.engine_reason for r in search.rehearsals)} - {""}
    warnings += [run_by_run(reason) for reason in sorted(reasons)]
    broken = broken_data(task)
    warnings += [f"{one}: a run that meets one diverges, unless model or loss mask it" for one in broken]
    why = verdict.why
    if verdict.status == "diverges_everywhere":
        why = " ".join([why, *(f"Or remove or replace what is no number: {one}." for one in broken)])
    seeds = max((r.seeds for r in search.rehearsals), key=len, default=search.seeds[:1])
    return Advice(
        status=verdict.status,
        lr=verdict.lr,
        lr_low=verdict.low,
        lr_high=verdict.high,
        batch_size=task.batch_size,
        schedule_text=str(schedule.at(1.0 if verdict.lr is None else verdict.lr)),
        why=why,
        task=task.name,
        steps=task.steps,
        samples=task.samples,
        loss_kind=task.loss_kind,
        start_loss=finite_or_none(search.rehearsals[-1].start_loss) if search.rehearsals else None,
        expected_loss=verdict.expected_loss,
        prices=verdict.prices,
        warnings=tuple(warnings),
        bracket=search.bracket,
        rehearsals=tuple(search.rehearsals),
        cost=search.cost,
        provenance=provenance(device=str(task.device), seeds=seeds),
        group_ratios=_group_ratios(task),
        clipping=None if isinstance(task, ProbeRun) else task.clipping,
    )


def _group_ratios(task: Trainable) -> tuple[tuple[float, ...], ...]:
    """What each parameter group of each optimizer gets of a rate."""
    return tuple(map(tuple, task.probe.ratios)) if isinstance(task, ProbeRun) else (task.group_ratios,)
