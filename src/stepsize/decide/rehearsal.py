"""Rehearsals: the real run in small, with fewer updates, the schedule compressed into them, and less data."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
import torch
from msgspec import structs

from stepsize._result import Result, frozen
from stepsize._rng import derived_seed
from stepsize.data import Stream
from stepsize.estimate import mean_over_seeds
from stepsize.schedules import Schedule
from stepsize.training import Cost, EngineName, Member, Records, train
from stepsize.training.engine import Progress
from stepsize.training.evaluation import evaluation_updates
from stepsize.training.probed import ProbeRun, Trainable

CHECKS = 8
"""Times that a rehearsal takes the held-out loss after its start, so that its curve can be drawn."""

FEWEST_CHECKS, WORTH_CHECKS = 4, 40
"""So many at least in a rehearsal of so many updates: enough to see that a run has been better before."""

CHECK_SHARE = 0.1
"""Share of a rehearsal's time that its evaluations may take, the last one apart. An evaluation's forward pass
over n samples costs about as much as an update on n/3."""

TAIL = 0.1
"""Share of a rehearsal at its end over which losses may be averaged."""

AVERAGED = 4
"""Evaluations that an ordinary search averages at most."""

DECAYED = 0.2
"""Share of the peak below which the rate at the end leaves little noise in the loss."""

FEWEST_BATCHES = 2
"""Batches that a rehearsal's part of the data holds at least: with one, there would be no gradient noise."""

FEWEST_SAMPLES = 32
"""Samples that it holds at least, or all there are."""

TRACED = 160
"""Training losses of each rate that are kept, as many as a diagnosis needs for all of its blocks."""

_SALT = 23


class Rehearsal(Result, frozen=True, kw_only=True, eq=False):
    """Shortened real runs of R rates with S seeds each, judged on F folds of the held-out data.

    `steps` updates stand for the real run's `horizon`, on `samples` of the training data (None: all of
    them). `lrs` (R,) rising; `updates` (E,) done when the held-out loss was taken, from 0; `curves`
    (S, R, E); `losses` (S, R) at the end, infinite for a member that diverged; `folds` (S, R, F) at the end
    and `start_folds` (S, F) before the first update. `training` (R, P) are the first seed's training losses
    at updates `traced` (P,), not averaged, to four digits, so that the curves can be diagnosed. `engine` says
    how the members were trained, and `engine_reason` why not as a stack. `untrained` is what the module that
    all runs start from loses with its weights drawn anew (`training.untrained`).
    """

    steps: int
    horizon: int
    seeds: tuple[int, ...]
    lrs: np.ndarray
    updates: np.ndarray
    curves: np.ndarray
    losses: np.ndarray
    folds: np.ndarray
    start_folds: np.ndarray
    engine: str
    engine_reason: str
    cost: Cost
    samples: int | None = None
    traced: np.ndarray = msgspec.field(default_factory=lambda: frozen([]))
    training: np.ndarray = msgspec.field(default_factory=lambda: frozen([]))
    untrained: float | None = None

    @property
    def share(self) -> float:
        """Its length as a share of the real run's."""
        return self.steps / self.horizon

    @property
    def mean(self) -> np.ndarray:
        """Mean final loss over seeds (R,), infinite where any seed diverged."""
        return mean_over_seeds(self.losses)

    @property
    def risen(self) -> np.ndarray:
        """By how much the held-out loss, mean over seeds, has risen again (R,).

        Its lowest value over the last tenth less its lowest before, 0 if that was not lower. The lowest,
        since with a rate that does not decay a single loss may jump up.
        """
        if len(self.updates) < 3:
            return np.zeros(len(self.lrs))
        at_end = self.updates >= math.floor((1 - TAIL) * self.steps)
        with np.errstate(invalid="ignore"):
            courses = self.curves.mean(axis=0)
            seen = np.where(np.isfinite(courses), courses, np.inf)
            end, before = seen[:, at_end].min(axis=1), seen[:, 1:][:, ~at_end[1:]].min(axis=1, initial=np.inf)
            return np.where(np.isfinite(end), np.maximum(end - before, 0.0), 0.0)

    @property
    def late(self) -> float:
        """Share of the best rate's progress that was made in the second half; 0 if there is no progress."""
        if self.best is None or len(self.updates) < 3:
            return 0.0
        course = self.curves[:, self.best].mean(axis=0)
        middle = float(np.interp(self.steps / 2, self.updates, course))
        progress = float(course[0] - course[-1])
        return (middle - float(course[-1])) / progress if progress > 0 else 0.0

    @property
    def head_start(self) -> float:
        """Share of the way from weights drawn anew to the best rate's end that lies behind the start."""
        if self.untrained is None or self.best is None or not self.untrained > self.mean[self.best]:
            return 0.0
        share = (self.untrained - self.start_loss) / (self.untrained - self.mean[self.best])
        return float(np.clip(share, 0.0, 1.0)) if np.isfinite(share) else 0.0

    @property
    def start_loss(self) -> float:
        """Held-out loss before the first update, mean over seeds; NaN or infinite if it is so for one."""
        return float(self.curves[:, 0, 0].mean())

    @property
    def best(self) -> int | None:
        """Place of the rate with the lowest mean loss; None if every rate diverged for some seed."""
        mean = self.mean
        return int(np.argmin(mean)) if np.isfinite(mean).any() else None


@dataclass(frozen=True)
class Shape:
    """The real run's schedule at peak 1 and its further hyperparameters, update by update, (T,) each."""

    values: np.ndarray
    controls: dict[str, np.ndarray]

    @classmethod
    def of(cls, schedule: Schedule, task: Trainable) -> Shape:
        shape = schedule.at(1.0)
        return cls(shape.values(task.run), shape.controls(task.run))

    @property
    def decays(self) -> bool:
        """Whether it ends so far below its peak that little noise is left in the loss."""
        return bool(self.values[-1] < DECAYED * self.values.max())

    def compressed(self, steps: int) -> Shape:
        """The same shape in fewer updates: both end points kept, the rest sampled evenly."""
        at = np.round(np.linspace(0, len(self.values) - 1, steps)).astype(int)
        return Shape(self.values[at], {name: values[at] for name, values in self.controls.items()})


def rehearse(
    task: Trainable,
    shape: Shape,
    lrs: Sequence[float] | np.ndarray,
    *,
    seeds: Sequence[int],
    steps: int,
    averaged: int = 1,
    engine: EngineName = "auto",
    records: Records | None = None,
    untrained: float | None = None,
    progress: Progress | None = None,
) -> Rehearsal:
    """Train every rate with every seed over `steps` updates; `untrained` is kept with what is found.

    A run's loss is the mean of `averaged` evaluations over its last tenth, the last update's among them: with
    a rate that does not decay a single one is noisy.

    With all of the data a shortened run repeats them less often than the real one, and does not show how
    many updates they bear before it over-fits: rates come out too high. On a share of them that keeps the
    epochs it over-fits as soon, but where much is to be learned from each sample, too soon. So it trains on
    a part half-way between, on a log scale: the square root of the share.
    """
    rates = np.sort(np.asarray(lrs, dtype=np.float64))
    small = _without_metrics(on_part_of_the_data(task, steps / task.steps))
    short = shape.compressed(steps)
    checks = _affordable_checks(task, steps)
    last = np.round(np.linspace(steps, (1 - TAIL) * steps, averaged)).astype(int)
    at = np.union1d(np.round(np.linspace(0, steps, checks + 1)).astype(int), last).tolist()
    tail = np.isin(at, last)
    members = [Member(float(lr), seed) for seed in seeds for lr in rates]
    history = train(
        small,
        members,
        np.array([[member.lr] for member in members]) * short.values,
        evaluate_at=at,
        controls=short.controls,
        engine=engine,
        records=records,
        progress=progress,
    )
    grid = (len(seeds), len(rates))
    curves = history.val_loss.reshape(*grid, len(at))
    folds = history.val_folds.reshape(*grid, len(at), -1)
    traced = np.round(np.linspace(0, steps - 1, min(steps, TRACED))).astype(int)
    with np.errstate(invalid="ignore", over="ignore"):
        ends = curves[:, :, tail].mean(axis=2)
    return Rehearsal(
        steps=steps,
        horizon=task.steps,
        seeds=tuple(seeds),
        lrs=frozen(rates),
        updates=frozen(at),
        curves=frozen(curves),
        losses=frozen(np.where(np.isfinite(ends), ends, np.inf)),
        folds=frozen(folds[:, :, tail].mean(axis=2)),
        start_folds=frozen(folds[:, 0, 0]),
        engine=history.engine,
        engine_reason="" if engine == "loop" else history.engine_reason,
        cost=history.cost,
        samples=None if small.samples == task.samples else small.samples,
        traced=frozen(traced),
        training=frozen(_four_digits(history.train_loss[: len(rates), traced])),
        untrained=untrained,
    )


def _without_metrics(task: Trainable) -> Trainable:
    """The task judged by its loss alone: a rehearsal keeps nothing else."""
    if not task.metrics or isinstance(task, ProbeRun):
        return task
    plain = copy.copy(task)
    plain.metrics = {}
    return plain


def _four_digits(losses: np.ndarray) -> np.ndarray:
    """Rounded, so that a saved result stays small; it is drawn and judged by eye and by its blocks."""
    return np.array([[float(f"{loss:.4g}") for loss in row] for row in losses])


def on_part_of_the_data(task: Trainable, share: float) -> Trainable:
    """The task on √share of its training samples, in whole batches; itself if that is all of them."""
    if isinstance(task, ProbeRun) or isinstance(task.train, Stream):
        return task
    size = task.train.size
    wanted = round(size * math.sqrt(share))
    if task.batch_size < size:
        wanted = max(FEWEST_BATCHES, round(wanted / task.batch_size)) * task.batch_size
    wanted = max(wanted, FEWEST_SAMPLES)
    if wanted >= size:
        return task
    generator = torch.Generator().manual_seed(derived_seed(_SALT, task.seed) % 2**63)
    order = torch.randperm(size, generator=generator)
    small = copy.copy(task)  # everything was checked when the task was made
    small.train = task.train.subset(order[:wanted].sort().values)
    small.samples = wanted
    small.batch_size = min(task.batch_size, wanted)
    return small


def affordable_average(task: Trainable, shape: Shape, steps: int) -> int:
    """Evaluations over the last tenth that a loss is to be the mean of: one where the rate has decayed."""
    if shape.decays:
        return 1
    affordable = CHECK_SHARE * steps / evaluation_updates(task)
    return int(np.clip(affordable, 1, min(AVERAGED, max(1, round(TAIL * steps)))))


def _affordable_checks(task: Trainable, steps: int) -> int:
    least = FEWEST_CHECKS if steps >= WORTH_CHECKS else 1
    return int(np.clip(CHECK_SHARE * steps / evaluation_updates(task), least, CHECKS))


def at_rates(rehearsal: Rehearsal, places: Sequence[int]) -> Rehearsal:
    """Some of its rates alone, by their places; the cost is the whole one's."""
    chosen = list(places)
    return structs.replace(
        rehearsal,
        lrs=frozen(rehearsal.lrs[chosen]),
        curves=frozen(rehearsal.curves[:, chosen]),
        losses=frozen(rehearsal.losses[:, chosen]),
        folds=frozen(rehearsal.folds[:, chosen]),
        training=frozen(rehearsal.training[chosen]) if rehearsal.training.size else rehearsal.training,
    )


def with_more_seeds(a: Rehearsal, b: Rehearsal) -> Rehearsal:
    """Two rehearsals of the same length and rates as one; no seed may stand in both."""
    names = ("curves", "losses", "folds", "start_folds")
    arrays = {name: frozen(np.concatenate([getattr(a, name), getattr(b, name)])) for name in names}
    return structs.replace(a, seeds=(*a.seeds, *b.seeds), cost=a.cost + b.cost, **arrays)


def merged(a: Rehearsal, b: Rehearsal) -> Rehearsal:
    """Two rehearsals of the same length and seeds as one; no rate may stand in both."""
    order = np.argsort(np.concatenate([a.lrs, b.lrs]))

    def join(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return frozen(np.concatenate([x, y], axis=1)[:, order])

    training = a.training
    if a.training.size and b.training.size:
        training = frozen(np.concatenate([a.training, b.training])[order])
    return Rehearsal(
        steps=a.steps,
        horizon=a.horizon,
        seeds=a.seeds,
        lrs=frozen(np.concatenate([a.lrs, b.lrs])[order]),
        updates=a.updates,
        curves=join(a.curves, b.curves),
        losses=join(a.losses, b.losses),
        folds=join(a.folds, b.folds),
        start_folds=a.start_folds,
        engine=a.engine,
        engine_reason=a.engine_reason,
        cost=a.cost + b.cost,
        samples=a.samples,
        traced=a.traced,
        training=training,
        untrained=a.untrained,
    )
