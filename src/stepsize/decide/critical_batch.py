"""critical_batch: the batch size from which more gains little, measured and predicted."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Sequence

import numpy as np
from msgspec import structs
from scipy import special

from stepsize._check_task import positive_rate
from stepsize._progress import Deadline, Reporter, Silent, reporting
from stepsize._result import provenance
from stepsize._untouched import untouched
from stepsize._words import plural
from stepsize.decide.batch_plan import BatchPlan, planned
from stepsize.decide.critical_batch_result import (
    BatchRow,
    CriticalBatch,
    Prediction,
    Target,
    fit_text,
)
from stepsize.decide.critical_batch_rounds import Rounds, steady
from stepsize.decide.known_rate import FIRST
from stepsize.decide.noise_prediction import agreement, prediction_from_noise
from stepsize.decide.speed import run_by_run
from stepsize.estimate.critical_batch import fit_critical_batch
from stepsize.measure.updates_to_target import at_batch_size
from stepsize.task import Task
from stepsize.training import Cost
from stepsize.training.probed import only_task

NEAR = 1.1
"""Rates that need at most so many times the fewest updates count as good as the best."""

_log = logging.getLogger("stepsize")


@untouched
def critical_batch(
    task: Task,
    batch_sizes: Sequence[int] | None = None,
    targets: Sequence[float] | None = None,
    *,
    lr: float | None = None,
    seeds: int = 3,
    budget: str | None = None,
    noise: bool = True,
    progress: bool | Reporter | None = None,
    announce: Callable[[str], None] | None = None,
) -> CriticalBatch:
    """Measure how many updates each batch size needs to reach a loss, the rate tuned at each.

    At every batch size a grid of fixed rates, a factor √2 apart, is trained with every seed; it is extended
    while the best rate stands at its edge, and given twice the updates where none reached the target. Of the
    rates that need the fewest updates, up to one standard error, the lowest is taken. To its updates S
    S = S_min (1 + B_crit / B) is fitted (McCandlish et al. 2018, eq. 2.11), with profile-likelihood
    intervals. Beside it stands the prediction of the gradient noise scale. At B_crit a run takes twice the
    updates and twice the samples of the least that each could be.

    Args:
        task: what to train; nothing of it is changed.
        batch_sizes: to try; by default seven, a factor of two apart, about the task's own.
        targets: held-out losses to reach; by default those of the best run at the task's batch size after
            an eighth, a quarter and half of its updates.
        lr: where the rates begin at the task's batch size; by default what `find_lr` finds.
        seeds: how many runs of each rate, with seeds counting up from the task's.
        budget: "5 min" or "20 runs", a rate to begin with included: fits the length of the runs to it, and
            leaves out batch sizes for which no time is left. By default runs have a quarter of the task's
            updates.
        noise: measure the noise scale too.
        progress: True for a bar on stderr, False for silence, or a `Reporter`.
        announce: told in a sentence what will be done and about how long it takes, before it starts; by
            default the logger "stepsize" is, at level INFO.

    Returns:
        A `CriticalBatch`. Ctrl-C gives what was measured until then, with status "interrupted".

    Raises:
        ValueError: batch sizes that repeat, exceed the data or cannot be trained at, targets that are not
            finite and below the loss before training, a malformed budget, or no rate was given and `find_lr`
            has none.
    """
    only_task(task)
    if lr is not None:
        positive_rate("lr", lr)
    if targets is not None and (len(targets) == 0 or not np.isfinite(np.asarray(targets, dtype=float)).all()):
        raise ValueError(f"targets must be finite losses, but are {list(targets)}")
    started = time.perf_counter()
    share = 1.0 if lr is not None else 1.0 - FIRST
    try:
        plan = planned(task, batch_sizes, seeds, budget, share=share)
    except KeyboardInterrupt:
        return _interrupted_at_once(task, seeds, started)
    (announce or _log.info)(_announcement(plan))
    with reporting(progress) as reporter:
        if plan.stop is not None:
            reporter = Deadline(reporter, started + plan.stop)
        measured = Rounds(task, plan, targets, reporter, started)
        measured.run(lr)
        prediction = None
        if noise and measured.targets and not measured.ended:
            try:
                prediction = _prediction(measured, reporter)
            except KeyboardInterrupt:
                measured.ended = "interrupted"
    return _result(measured, prediction)


def _interrupted_at_once(task: Task, seeds: int, started: float) -> CriticalBatch:
    """Ctrl-C came while batch sizes were tried out and timed: nothing was measured."""
    chosen = tuple(task.seed + i for i in range(seeds))
    plan = BatchPlan(sizes=(), base=task.batch_size, seeds=chosen, steps=0, seconds=0.0, stop=None)
    nothing = Rounds(task, plan, None, Silent(), started)
    nothing.ended = "interrupted"
    return _result(nothing, None)


def _row(measured: Rounds, size: int, target: float) -> BatchRow:
    if size not in measured.descents:
        return BatchRow(batch_size=size, status="not_tried")
    descent = measured.descents[size]
    best = measured.best(size, target)
    mean = np.log(np.maximum(descent.updates_to(target), 1.0)).mean(axis=0)
    gone = ~np.isfinite(descent.curves[:, :, -1]).all(axis=0)
    row = BatchRow(
        batch_size=size,
        status="not_reached",
        tried=int(descent.at[-1]),
        lrs=tuple(descent.lrs.tolist()),
        updates_by_lr=tuple(math.exp(one) if math.isfinite(one) else None for one in mean),
        diverged=tuple(descent.lrs[gone].tolist()),
    )
    if best is None:
        return row
    fewest, reached = best
    place = steady(reached, fewest)
    mine = np.log(np.maximum(reached[:, place], 1.0))
    near = descent.lrs[mean <= mean[place] + math.log(NEAR)]
    half = math.inf
    if len(mine) > 1:
        half = float(special.stdtrit(len(mine) - 1, 0.975)) * float(mine.std(ddof=1)) / math.sqrt(len(mine))
    updates = math.exp(mean[place])
    return structs.replace(
        row,
        status="edge" if fewest in (0, len(descent.lrs) - 1) else "ok",
        lr=float(descent.lrs[place]),
        lr_low=float(near.min()),
        lr_high=float(near.max()),
        updates=updates,
        updates_low=None if math.isinf(half) else updates * math.exp(-half),
        updates_high=None if math.isinf(half) else updates * math.exp(half),
        samples=updates * size,
        by_seed=tuple(reached[:, place].tolist()),
    )


def _target(measured: Rounds, loss: float) -> Target:
    rows = tuple(_row(measured, size, loss) for size in measured.plan.sizes)
    used = [row for row in rows if row.updates is not None]
    fit = fit_critical_batch(
        np.array([row.batch_size for row in used], dtype=float),
        np.maximum(np.array([row.by_seed for row in used]).reshape(len(used), len(measured.plan.seeds)), 1.0),
    )
    return Target(loss=loss, rows=rows, fit=fit)


def _prediction(measured: Rounds, reporter: Reporter) -> Prediction | None:
    base, target = measured.plan.base, measured.targets[-1]
    best = measured.best(base, target)
    if best is None:
        return None
    place, reached = best
    updates = math.ceil(float(np.exp(np.log(np.maximum(reached[:, place], 1.0)).mean())))
    left = None if measured.plan.stop is None else measured.started + measured.plan.stop - time.perf_counter()
    rate = float(measured.descents[base].lrs[place])
    return prediction_from_noise(at_batch_size(measured.task, base), rate, updates, left, reporter)


def _announcement(plan: BatchPlan) -> str:
    sizes = ", ".join(f"{size:,}" for size in plan.sizes)
    return (
        f"Critical batch: batch sizes {sizes}, {plural(len(plan.seeds), 'seed')}, "
        f"about {plan.updates:,} updates in all, about {plan.seconds:,.0f} s on this machine, "
        "besides the rate to begin with."
    )


def _result(measured: Rounds, prediction: Prediction | None) -> CriticalBatch:
    task = measured.task
    targets = tuple(_target(measured, loss) for loss in measured.targets)
    fit = targets[-1].fit if targets else None
    agree = None if fit is None else agreement(fit, prediction)
    costs = [descent.cost for descent in measured.descents.values()]
    # Runs are counted in samples, since updates of different batch sizes are not alike.
    samples = sum(cost.samples for cost in costs)
    cost = Cost(
        updates=sum(cost.updates for cost in costs),
        samples=samples,
        seconds=time.perf_counter() - measured.started,
        runs=samples / (task.steps * task.batch_size),
    )
    status = measured.ended or ("no_answer" if fit is None else fit.status)
    return CriticalBatch(
        status=status,
        why=_why(status, targets, agree),
        targets=targets,
        base_batch_size=measured.plan.base,
        prediction=prediction,
        agree=agree,
        loss_kind=task.loss_kind,
        warnings=_warnings(measured, targets),
        task=task.name,
        cost=cost,
        provenance=provenance(device=str(task.device), seeds=measured.plan.seeds),
    )


def _why(status: str, targets: Sequence[Target], agree: bool | None) -> str:
    text = {
        "interrupted": "Interrupted: batch sizes not tried are named. ",
        "out_of_time": "The budget ended: batch sizes not tried are named; pass a larger one. ",
        "no_answer": "No rate lowered the held-out loss by more than the luck of which samples are held out: "
        "pass lr= a rate that learns, more updates, or more data.",
    }.get(status, "")
    if targets:
        text += fit_text(targets[-1].fit)
    if agree is not None:
        text += " Measurement and prediction " + ("agree." if agree else "disagree beyond their intervals.")
    return text.strip()


def _warnings(measured: Rounds, targets: Sequence[Target]) -> tuple[str, ...]:
    warnings = list(measured.plan.left_out)
    for target in targets:
        missed = [f"{row.batch_size:,}" for row in target.rows if row.status == "not_reached"]
        edges = [f"{row.batch_size:,}" for row in target.rows if row.status == "edge"]
        if missed:
            warnings.append(f"loss {target.loss:.4g} was not reached at batch {', '.join(missed)}")
        if edges:
            warnings.append(f"at batch {', '.join(edges)} the best rate is the last that was tried")
    reasons = sorted({d.engine_reason for d in measured.descents.values() if d.engine_reason})
    warnings += [run_by_run(reason) for reason in reasons]
    return tuple(dict.fromkeys(warnings))
