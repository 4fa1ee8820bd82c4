"""tune: the main job. Batch size, rate, schedule and warm-up, decided together on the user's task."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from typing import get_args

import numpy as np

from stepsize._check_task import integer
from stepsize._progress import Onward, Reporter, reporting
from stepsize._untouched import untouched
from stepsize.decide.advice import Advice
from stepsize.decide.batch_advice import Objective
from stepsize.decide.batch_plan import checked_sizes
from stepsize.decide.best_rates import with_batch_size
from stepsize.decide.budget import Budget
from stepsize.decide.find_lr import LR_MAX, LR_MIN, checked_schedule, interrupted_at_once
from stepsize.decide.omissions import settings
from stepsize.decide.rehearsal import Shape
from stepsize.decide.schedule_comparison import checked_schedules, fitting_schedules
from stepsize.decide.training_advice import TrainingAdvice
from stepsize.decide.tuning import SEEDS, Tuning, sizes_about
from stepsize.decide.tuning_plan import TuningPlan
from stepsize.estimate.paired import mean_interval
from stepsize.schedules import Schedule
from stepsize.task import Task
from stepsize.training import Cost
from stepsize.training.probed import only_task

_log = logging.getLogger("stepsize")


@untouched
def tune(
    task: Task,
    *,
    schedule: Schedule | str | None = None,
    objective: Objective = "time",
    batch_sizes: Sequence[int] | int | None = None,
    schedules: Sequence[Schedule | str] | None = None,
    limit: str | None = None,
    memory: int | None = None,
    budget: str | None = None,
    seeds: int | None = None,
    lr_min: float = LR_MIN,
    lr_max: float = LR_MAX,
    progress: bool | Reporter | None = None,
    announce: Callable[[str], None] | None = None,
) -> TrainingAdvice:
    """Decide how to train a task: batch size, learning rate, schedule and warm-up.

    `find_lr` finds a rate to begin with. `find_batch_size` chooses the batch size, and with it the length of
    the run: as many updates as reach the loss that the task's own batch size and length would.
    `compare_schedules` picks the schedule that ends lowest at equal budget, `find_warmup` the warm-up that
    the early updates need. `find_lr` then finds the rate for all of that together, and a few runs at full
    length show what to expect. A part that is given is not searched.

    Nothing of the task is changed. Ctrl-C returns what is known so far, with status "interrupted".

    Args:
        task: what to train; its epochs or updates are taken as the length of the real run.
        schedule: the real run's, warm-up included, if that is settled; by default it is searched.
        objective: what the batch size is chosen for: "time", "compute" or "budget", as `find_batch_size`
            has them.
        batch_sizes: to try; one alone is taken as given, such as `task.batch_size`. By default five about
            the task's own, and beyond, without a budget, if the best is the last.
        schedules: to compare, with no warm-up; by default as `compare_schedules`.
        limit: training time for the objective "budget".
        memory: bytes that a batch may use, as for `throughput`.
        budget: what the answer may cost, as "5 runs" of a plain loop, "60 s", "5 min" or "2 h"; by default
            about 28 full runs for everything, more where batch sizes need it. Parts for which too little is
            left are left out, with a warning.
        seeds: of every part; by default 3, or what the part chooses.
        lr_min, lr_max: the searches for the rate go no further.
        progress: True for a bar on stderr, False for silence, or a `Reporter`; by default a bar if stderr
            is a terminal.
        announce: told in a sentence what will be done and about how long it takes, before it starts; by
            default the logger "stepsize" is, at level INFO.

    Returns:
        A `TrainingAdvice`, which is an `Advice` with more to it. Its status is that of the search for the
        rate: "ok", "uncertain", or the name of what stands in the way.

    Raises:
        ValueError: an unknown objective, or as the parts raise it.
        TypeError: `task` is not a Task, `schedule` neither a Schedule nor text, or `budget` no text.
    """
    only_task(task)
    if objective not in get_args(Objective):
        raise ValueError(f"objective must be 'time', 'compute' or 'budget', but is {objective!r}")
    if seeds is not None:
        integer("seeds", seeds, at_least=1)
    sizes = [batch_sizes] if isinstance(batch_sizes, int) else batch_sizes
    settled = checked_schedule("fixed" if schedule is None else schedule)
    if limit is not None:
        Budget.parse(limit, "limit")
    wanted = None if budget is None else Budget.parse(budget)
    own, plan = task, None
    try:
        if sizes is not None:
            sizes, _ = checked_sizes(task, sizes)
            own = with_batch_size(task, sizes[0]) if len(sizes) == 1 else task
        if schedule is None:
            for candidate in checked_schedules(
                fitting_schedules(own) if schedules is None else schedules
            ).values():
                Shape.of(candidate, own)  # raises now what it would raise after the batch size's search
        plan = TuningPlan.of(
            own,
            batches=sizes_about(own.batch_size, own) if sizes is None else sizes,
            schedule=schedule is None,
            budget=wanted,
            seeds=seeds or SEEDS,
        )
    except KeyboardInterrupt:
        pass  # nothing is known yet, which the answer says
    else:
        (announce or _log.info)(plan.announcement())
    with reporting(progress) as reporter:
        tuning = Tuning(
            task=own,
            schedule=settled,
            plan=plan or TuningPlan.nothing(own),
            objective=objective,
            sizes=sizes,
            schedules=schedules,
            limit=limit,
            memory=memory,
            seeds=seeds,
            rates=(lr_min, lr_max),
            reporter=Onward(reporter),
        )
        if plan is None:
            tuning.rate, tuning.interrupted = interrupted_at_once(own, settled), True
        else:
            tuning.run()
    advice = _advice(tuning, own)
    found = "no rate" if advice.lr is None else f"schedule {advice.schedule_text}"
    _log.info("%s: batch %d, %s [%s]", advice.task, advice.batch_size, found, advice.status)
    return advice


def _advice(tuning: Tuning, own: Task) -> TrainingAdvice:
    """What was decided, around the rate that was found for it."""
    rate = tuning.rate
    assert rate is not None
    check = tuning.check
    mean, low, high = None, None, None
    if check is not None and np.isfinite(check.losses).all():
        mean, low, high = mean_interval(check.losses[:, 0])
    samples = sum(cost.samples for cost in tuning.costs)
    fields = {name: getattr(rate, name) for name in Advice.__struct_fields__}
    fields["status"] = "interrupted" if tuning.interrupted else rate.status
    fields["warnings"] = tuple(dict.fromkeys([*_warnings(tuning), *rate.warnings]))
    # Runs are counted in samples, since updates of different batch sizes are not alike.
    fields["cost"] = Cost(
        updates=sum(cost.updates for cost in tuning.costs),
        samples=samples,
        seconds=sum(cost.seconds for cost in tuning.costs),
        runs=samples / (own.steps * own.batch_size),
    )
    return TrainingAdvice(
        **fields,
        own_batch_size=own.batch_size,
        own_steps=own.steps,
        settings=settings(own),
        seconds=tuning.seconds,
        batch=tuning.batch,
        schedules=tuning.compared,
        warmup=tuning.warmed,
        check=check,
        checked_loss=mean,
        checked_low=low,
        checked_high=high,
        omissions=tuple(tuning.worth),
    )


def _warnings(tuning: Tuning) -> Iterator[str]:
    yield from tuning.notes
    yield from tuning.plan.left_out
    if tuning.check is not None and not np.isfinite(tuning.check.losses).all():
        diverged = int((~np.isfinite(tuning.check.losses)).sum())
        yield (
            f"at full length {diverged} of {tuning.check.losses.size} runs diverged at this rate: take the "
            "lower end of its interval, clip gradients, or warm up longer"
        )
    rate = tuning.rate
    if tuning.interrupted and rate is not None and rate.lr is not None:
        yield f"interrupted: the rate is one for {rate.schedule_text} at batch {rate.batch_size:,}"
    if tuning.batch is not None:
        if tuning.batch.status == "edge":
            yield (
                "the batch size is the last of those tried, and one beyond it may be better: "
                "pass batch_sizes that reach further"
            )
        yield from tuning.batch.warnings
    if tuning.compared is not None:
        yield from tuning.compared.warnings
    if tuning.warmed is not None:
        yield from tuning.warmed.warnings
