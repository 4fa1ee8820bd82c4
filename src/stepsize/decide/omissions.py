"""What each part of an answer is worth: what is lost by doing without it, or by taking another value."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from stepsize._progress import Reporter
from stepsize.decide.advice import Advice
from stepsize.decide.batch_advice import BatchAdvice
from stepsize.decide.rehearsal import Rehearsal, Shape, rehearse
from stepsize.decide.schedule_comparison_result import ScheduleComparison
from stepsize.decide.speed import Speed
from stepsize.decide.training_advice import Omission, Part
from stepsize.decide.warmup_result import WarmupComparison
from stepsize.estimate.paired import Difference, differences, paired_difference
from stepsize.schedules import Schedule
from stepsize.schedules.units import number_text
from stepsize.task import Task
from stepsize.training import Cost

SHARE = 0.25
"""Length of the runs without a setting, as a share of the real one."""

SHORTEST = 32
"""Updates that they have at least, or all there are."""


def settings(task: Task) -> tuple[tuple[str, str], ...]:
    """The optimizer and what it is set to besides the rate, as names and values that read back exactly."""
    group = task.make_optimizer(task.make_model(task.seed), 1.0).param_groups[0]
    rows = [("optimizer", task.optimizer_name)]
    if "momentum" in group:
        nesterov = " (Nesterov)" if group.get("nesterov") else ""
        rows.append(("momentum", f"{number_text(group['momentum'])}{nesterov}"))
    if "betas" in group:
        rows.append(("betas", ", ".join(map(number_text, group["betas"]))))
    if "weight_decay" in group:
        rows.append(("weight decay", number_text(group["weight_decay"])))
    if task.clipping:
        rows.append(("clipped gradients", str(task.clipping)))
    return tuple(rows)


def of_batch(advice: BatchAdvice, size: int) -> Iterator[Omission]:
    """The sizes tried next to the one chosen and the task's own, by the time to the same loss."""
    rows = {row.batch_size: row for row in advice.times}
    if size not in rows:
        return
    best = rows[size]
    sizes = sorted(rows)
    place = sizes.index(size)
    others = {*sizes[max(0, place - 1) : place + 2], advice.critical.base_batch_size} - {size}
    for other in sorted(others & set(rows)):
        row = rows[other]
        spread = math.hypot(math.log(row.high / row.seconds), math.log(best.high / best.seconds))
        ratio = row.seconds / best.seconds
        known = spread < math.log(100)  # else one seed, of whose spread nothing is known
        yield Omission(
            part="batch size",
            instead=f"{other:,}",
            lost=ratio - 1,
            low=ratio * math.exp(-spread) - 1 if known else None,
            high=ratio * math.exp(spread) - 1 if known else None,
            alike=abs(math.log(ratio)) <= spread,
        )


def of_rate(advice: Advice) -> Iterator[Omission]:
    """Half and twice the rate."""
    for price in advice.prices:
        yield Omission(
            part="learning rate",
            instead=f"times {price.factor:g}",
            lost=price.regret,
            low=None,
            high=None,
            alike=False,
        )


def of_schedule(found: ScheduleComparison, start: float | None) -> Iterator[Omission]:
    """The schedules that are not advised, each at its own best rate."""
    learned = [row for row in found.rows if row.by_seed]
    place = next((i for i, row in enumerate(learned) if row.schedule == found.advised), None)
    if place is None:
        return
    told = differences(np.stack([row.by_seed for row in learned], axis=1), place)
    behind = {row.schedule: difference for row, difference in zip(learned, told, strict=True)}
    for row in found.rows:
        if row.schedule != found.advised:
            yield _omission("schedule", row.schedule, behind.get(row.schedule), learned[place].loss, start)


def of_warmup(found: WarmupComparison) -> Iterator[Omission]:
    """None where one is advised, and one where none is."""
    chosen = next((row for row in found.rows if row.updates == found.updates), None)
    if chosen is None or chosen.loss is None:
        return
    others = [row for row in found.rows if (row.updates == 0) != (chosen.updates == 0)]
    for row in others[:1] if chosen.updates else others[-1:]:
        told = None
        if row.loss is not None:
            told = paired_difference(np.array(row.by_seed), np.array(chosen.by_seed))
        name = f"{row.updates:,} updates" if row.updates else "none"
        yield _omission("warm-up", name, told, chosen.loss, found.start_loss)


def of_settings(
    task: Task, schedule: Schedule, lr: float, seeds: tuple[int, ...], reporter: Reporter
) -> Iterator[tuple[Omission, Cost]]:
    """The optimizer's momentum, or Adam's first beta, and weight decay set to 0; with what that took.

    Without momentum an update is 1 − momentum times as large, so three rates up to that many times larger
    are tried and the best counts. Adam's updates keep their size without their average and scatter more: half
    and twice the rate are tried too. Its second beta is left alone.
    """
    shape = Shape.of(schedule, task)
    groups = task.make_optimizer(task.make_model(task.seed), lr).param_groups
    momentum = max(float(group.get("momentum") or 0.0) for group in groups)
    changes: list[tuple[Part, str, tuple[float, ...]]] = []
    if "momentum" not in shape.controls:  # which is the first beta of Adam and its like
        if 0 < momentum < 1:
            changes.append(("momentum", "momentum", (1.0, (1 - momentum) ** -0.5, 1 / (1 - momentum))))
        elif any(group["betas"][0] for group in groups if "betas" in group):
            changes.append(("first beta", "momentum", (0.5, 1.0, 2.0)))
    if any(group.get("weight_decay") for group in groups) and "weight_decay" not in shape.controls:
        changes.append(("weight decay", "weight_decay", (1.0,)))
    if not changes:
        return
    steps = min(task.steps, max(SHORTEST, math.ceil(SHARE * task.steps)))
    speed = Speed.of(task)

    def run(shape: Shape, lrs: np.ndarray) -> Rehearsal:
        engine = speed.engine(len(lrs) * len(seeds), steps)
        return rehearse(task, shape, lrs, seeds=seeds, steps=steps, engine=engine, progress=reporter.advance)

    with_all = run(shape, np.array([lr]))
    cost, nothing = with_all.cost, Cost(updates=0, samples=0, seconds=0.0, runs=0.0)
    for part, control, factors in changes:
        lrs = lr * np.array(factors)
        controls = {**shape.controls, control: np.zeros(len(shape.values))}
        without = run(Shape(shape.values, controls), lrs)
        told = None
        if without.best is not None and with_all.best is not None:
            told = paired_difference(without.losses[:, without.best], with_all.losses[:, 0])
        best = float(with_all.mean[0])
        yield _omission(part, "0", told, best, with_all.start_loss), cost + without.cost
        cost = nothing


def _omission(
    part: Part, instead: str, behind: Difference | None, best: float | None, start: float | None
) -> Omission:
    """A difference of losses as a share of the progress from the start to the best."""
    if behind is None or best is None or start is None or not start > best:
        return Omission(part=part, instead=instead, lost=None, low=None, high=None, alike=False)
    progress = start - best
    mean, low, high = (None if value is None else value / progress for value in behind)
    within = low is None or high is None or low <= 0 <= high
    return Omission(part=part, instead=instead, lost=mean, low=low, high=high, alike=within)
