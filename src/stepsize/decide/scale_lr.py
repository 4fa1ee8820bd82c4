"""scale_lr: the learning rate at another batch size, by a rule or by measurement."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Sequence
from typing import Literal, get_args

import msgspec
import torch

from stepsize._check_task import integer, positive_rate
from stepsize._progress import Deadline, OutOfTimeError, Reporter, reporting
from stepsize._result import provenance
from stepsize._untouched import untouched
from stepsize._words import duration
from stepsize.decide.best_rates import BestRates, steps_at, with_batch_size
from stepsize.decide.budget import Budget
from stepsize.decide.known_rate import in_seconds, known_rate
from stepsize.decide.noise_prediction import mean_noise, prediction_from_noise
from stepsize.decide.scale_measured import scaled_as_measured, sizes_to_measure
from stepsize.decide.scale_result import RateScaling, ScaleStatus
from stepsize.decide.speed import seconds_per_update
from stepsize.estimate.scaling import Averages, Hyperparameters, Rule, scaled
from stepsize.measure.inner_products import keeps_second_moments
from stepsize.measure.noise_result import NoiseScale
from stepsize.schedules import Schedule
from stepsize.task import Task
from stepsize.training import Cost

AnyRule = Rule | Literal["measured"]

NOISE_SHARE = 0.25
"""Share of the run along which the noise scale is averaged."""

INTERRUPTED = "Interrupted before there was anything to answer from."
NO_NOISE = "All samples have the same gradient, so that the best rate does not depend on the batch size."

_log = logging.getLogger("stepsize")


@untouched
def scale_lr(
    task_or_rate: Task | Hyperparameters | float,
    from_: int | None = None,
    to: int | None = None,
    rule: AnyRule | None = None,
    *,
    lr: float | None = None,
    schedule: Schedule | str = "fixed",
    noise: NoiseScale | float | None = None,
    samples: int | None = None,
    averages: Averages = "sde",
    batch_sizes: Sequence[int] | None = None,
    seeds: int = 3,
    budget: str | None = None,
    curvature: bool = True,
    progress: bool | Reporter | None = None,
    announce: Callable[[str], None] | None = None,
) -> RateScaling:
    """Move a learning rate from batch size `from_` to batch size `to`, with what else should move.

    By a rule ("linear", "sqrt", "adascale", "surge"): the rate, and with it Adam's averages, weight decay,
    warm-up and horizon. Its conditions are tested as far as the noise scale and the size of the data are
    known, and where one fails the rule is refused. Or "measured": the best rate is found at three batch
    sizes over rehearsals with the same samples, six laws are fitted, leave-one-out chooses, and the rate at
    every batch size comes with an interval and the regime: growing in proportion, as the square root, or no
    more.

    Args:
        task_or_rate: a task; or a rate, or `Hyperparameters` that hold one, for a rule without measurement.
        from_: batch size that the rate belongs to; by default the task's.
        to: the batch size wanted.
        rule: by default "measured" for a task; without one it must be given.
        lr: with a task, its best rate at `from_`; by default `find_lr` finds it.
        schedule: the real run's; its peak does not matter.
        noise: gradient noise scale in samples, or what `noise_scale` returned; with a task it is measured
            for a rule.
        samples: of the training data, without a task.
        averages: what becomes of Adam's averages, see `stepsize.estimate.scaling.Averages`.
        batch_sizes: to measure at, three or more; by default the two and the one between, over a factor of 16
            at least.
        seeds: how many decide at each batch size.
        budget: what measuring may cost, "5 min" or "4 runs", a rate to begin with included; by default as
            much as 80 full runs, for the 45 trainings that it takes: the rehearsals are the longest that fit.
        curvature: whether "measured" takes the largest stable rate from the curvature as well.
        progress: True for a bar on stderr, False for silence, or a `Reporter`.
        announce: told in a sentence what will be measured and about how long it takes, before it starts; by
            default the logger "stepsize" is, at level INFO.

    Returns:
        A `RateScaling`. Ctrl-C gives what was measured until then, with status "interrupted"; with a rule
        that needs a noise scale which cannot be had the status is "no_answer".

    Raises:
        TypeError: `task_or_rate` is none of the three.
        ValueError: an unknown rule, batch sizes that are missing or do not fit the data, arguments that
            belong to a task without one, or an optimizer that no rule is known for.
    """
    if isinstance(task_or_rate, Task):
        return _of_task(
            task_or_rate,
            from_,
            to,
            rule or "measured",
            lr,
            Schedule.parse(schedule) if isinstance(schedule, str) else schedule,
            noise,
            averages,
            batch_sizes,
            integer("seeds", seeds, at_least=1),
            None if budget is None else Budget.parse(budget),
            curvature,
            progress,
            announce or _log.info,
        )
    if isinstance(task_or_rate, bool) or not isinstance(task_or_rate, (int, float, Hyperparameters)):
        raise TypeError(
            "task_or_rate must be a stepsize.Task, a rate, or stepsize.Hyperparameters, but is a "
            f"{type(task_or_rate).__name__}"
        )
    settings = task_or_rate
    if not isinstance(settings, Hyperparameters):
        settings = Hyperparameters(lr=float(settings))
    if from_ is None or rule is None or rule == "measured":
        raise ValueError(
            "from_ and a rule other than 'measured' must be given with a rate: "
            "scale_lr(0.1, from_=32, to=256, rule='linear'), or pass a task to measure on"
        )
    if lr is not None or batch_sizes is not None or budget is not None:
        raise ValueError("lr, batch_sizes and budget belong to a task, but task_or_rate is a rate")
    positive_rate("lr", settings.lr)
    return _by_rule(settings, *_sizes(from_, to, samples), rule, _samples_of(noise), samples, averages)


def _of_task(
    task: Task,
    from_: int | None,
    to: int | None,
    rule: AnyRule,
    lr: float | None,
    schedule: Schedule,
    noise: NoiseScale | float | None,
    averages: Averages,
    batch_sizes: Sequence[int] | None,
    seeds: int,
    budget: Budget | None,
    curvature: bool,
    progress: bool | Reporter | None,
    announce: Callable[[str], None],
) -> RateScaling:
    if rule not in (*get_args(Rule), "measured"):
        raise ValueError(f"rule must be one of {', '.join(get_args(Rule))} or measured, but is {rule!r}")
    begin, end = _sizes(task.batch_size if from_ is None else from_, to, task.samples)
    if lr is not None:
        positive_rate("lr", lr)
    with reporting(progress) as reporter:
        if rule == "measured":
            try:
                sizes = sizes_to_measure(task, begin, end, batch_sizes)
                rates = BestRates(
                    task, sizes, schedule, lr=lr, at=begin, seeds=seeds, budget=budget, reporter=reporter
                )
            except KeyboardInterrupt:
                nothing = Cost(updates=0, samples=0, seconds=0.0, runs=0.0)
                found = _nothing("interrupted", INTERRUPTED, None, begin, end, rule)
                return _with(found, task, nothing, 0.0, ())
            announce(
                f"Best rates at batch {', '.join(f'{size:,}' for size in sizes)}: "
                f"{seeds} seed{'s' if seeds > 1 else ''} over "
                f"{rates.share:.3g} of the run, about {rates.seconds:,.0f} s on this machine."
            )
            return scaled_as_measured(task, begin, end, sizes, rates, curvature, reporter)
        return _rule_on_task(
            task, begin, end, rule, lr, schedule, noise, averages, budget, reporter, announce
        )


def _rule_on_task(
    task: Task,
    from_: int,
    to: int,
    rule: Rule,
    lr: float | None,
    schedule: Schedule,
    noise: NoiseScale | float | None,
    averages: Averages,
    budget: Budget | None,
    reporter: Reporter,
    announce: Callable[[str], None],
) -> RateScaling:
    started = time.perf_counter()
    settings = _settings(task, from_, 1.0)  # refuses an unknown optimizer before anything is measured
    updates = max(1, math.ceil(NOISE_SHARE * steps_at(task, from_)))
    why = ""
    cost, scale = Cost(updates=0, samples=0, seconds=0.0, runs=0.0), _samples_of(noise)
    status: ScaleStatus = "no_answer"
    try:
        small = with_batch_size(task, from_)
        if lr is None or noise is None:
            pace = duration(seconds_per_update(small) * updates)
            parts = [*(["a rate"] if lr is None else []), *(["the noise scale"] if noise is None else [])]
            announce(
                f"Measuring {' and '.join(parts)}: {updates:,} updates take about {pace} on this machine."
            )
        limit = None if budget is None else in_seconds(small, budget)
        if limit is not None and budget is not None:
            reporter = Deadline(reporter, started + budget.overtime * limit)
        lr, cost = known_rate(small, lr, schedule=schedule, budget=budget, progress=reporter)
        settings = _settings(task, from_, lr)
        if noise is None:
            left = None if limit is None else limit - (time.perf_counter() - started)
            prediction = prediction_from_noise(small, lr, updates, left, reporter)
            scale, why = prediction.batch, prediction.why if prediction.batch is None else ""
            if scale == 0:
                scale, why = None, NO_NOISE
    except OutOfTimeError:
        status, why = "out_of_time", "The budget ended before a rate was found: pass lr=, or a larger one."
    except KeyboardInterrupt:
        status, why = "interrupted", INTERRUPTED
    seconds = time.perf_counter() - started
    if lr is None or status == "interrupted" or (scale is None and rule in ("adascale", "surge")):
        found = _nothing(status, why, None if lr is None else settings, from_, to, rule)
        return _with(found, task, cost, seconds, ())
    found = _by_rule(settings, from_, to, rule, scale, task.samples, averages)
    return _with(found, task, cost, seconds, (why,) if why else ())


def _nothing(
    status: ScaleStatus, why: str, before: Hyperparameters | None, from_: int, to: int, rule: AnyRule
) -> RateScaling:
    """No rate, since what the rule needs is not known."""
    return RateScaling(
        status=status,
        why=why,
        rule=rule,
        from_batch=from_,
        to_batch=to,
        lr=None,
        before=before,
        cost=Cost(updates=0, samples=0, seconds=0.0, runs=0.0),
        provenance=provenance(device="cpu", seeds=()),
    )


def _by_rule(
    settings: Hyperparameters,
    from_: int,
    to: int,
    rule: Rule,
    noise: float | None,
    samples: int | None,
    averages: Averages,
) -> RateScaling:
    found = scaled(settings, from_, to, rule, noise=noise, samples=samples, averages=averages)
    untested = [check.name for check in found.checks if check.holds is None]
    failed = [check.why for check in found.checks if check.holds is False and not check.refuses]
    why = found.refused or "".join(failed)
    if not why and untested:
        why = f"Not tested: {', '.join(untested)}."
    return RateScaling(
        status="ok" if found.after is not None else "refused",
        why=why,
        rule=rule,
        from_batch=from_,
        to_batch=to,
        lr=None if found.after is None else found.after.lr,
        before=settings,
        after=found.after,
        moves=found.moves,
        checks=found.checks,
        noise=noise,
        cost=Cost(updates=0, samples=0, seconds=0.0, runs=0.0),
        provenance=provenance(device="cpu", seeds=()),
    )


def _with(
    found: RateScaling, task: Task, cost: Cost, seconds: float, warnings: tuple[str, ...]
) -> RateScaling:
    return msgspec.structs.replace(
        found,
        task=task.name,
        warnings=warnings,
        cost=Cost(updates=cost.updates, samples=cost.samples, seconds=seconds, runs=cost.runs),
        provenance=provenance(device=str(task.device), seeds=(task.seed,)),
    )


def _sizes(from_: int, to: int | None, samples: int | None) -> tuple[int, int]:
    if to is None:
        raise ValueError("to must be given: the batch size wanted, such as to=256")
    for name, size in (("from_", from_), ("to", to)):
        integer(name, size, at_least=1)
        if samples is not None and size > samples:
            raise ValueError(f"{name} must not exceed the {samples:,} training samples, but is {size:,}")
    return from_, to


def _samples_of(noise: NoiseScale | float | None) -> float | None:
    if not isinstance(noise, NoiseScale):
        return noise
    mean = mean_noise(noise).batch
    if mean is None:
        raise ValueError(f"noise holds no estimate: {noise.why}")
    return mean / noise.per_sample


def _settings(task: Task, batch_size: int, lr: float) -> Hyperparameters:
    """What the task's own optimizer is set to, for a run at a batch size."""
    optimizer = task.make_optimizer(task.make_model(task.seed), lr)
    group = optimizer.param_groups[0]
    adam = keeps_second_moments(optimizer) and "betas" in group
    if not adam and not isinstance(optimizer, torch.optim.SGD):
        raise ValueError(
            f"rules are known for SGD and Adam, but the optimizer is {type(optimizer).__name__}: "
            "pass rule='measured'"
        )
    return Hyperparameters(
        lr=lr,
        betas=(float(group["betas"][0]), float(group["betas"][1])) if adam else None,
        eps=float(group["eps"]) if adam else None,
        weight_decay=float(group["weight_decay"]),
        decoupled=not adam or bool(group.get("decoupled_weight_decay", False)),
        steps=steps_at(task, batch_size),
    )
