"""The rounds of `critical_batch`: descents at batch sizes outward from the base, the rate tuned at each."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from stepsize._progress import OutOfTimeError, Reporter
from stepsize.decide.batch_plan import ABOVE, BELOW, DOWN, GRID, UP, BatchPlan
from stepsize.decide.budget import Budget
from stepsize.decide.known_rate import known_rate
from stepsize.decide.speed import Speed
from stepsize.measure.updates_to_target import Descent, at_batch_size, descend
from stepsize.task import Task

TARGETS = (1 / 8, 1 / 4, 1 / 2)
"""Targets by default: the losses of the base's best run after these shares of its updates."""

EXTENSIONS = 4
"""How often a grid goes on past its edge while the best rate stands there."""

LONGER = 2
"""How often runs that did not reach the target are given twice the updates."""

LATE = 2.0
"""A run that does not reach the target counts as one that took so many times the updates it was given."""


class Rounds:
    """Measures batch sizes outward from the base; `descents` holds what is done, interrupted or not."""

    def __init__(
        self,
        task: Task,
        plan: BatchPlan,
        targets: Sequence[float] | None,
        reporter: Reporter,
        started: float,
    ) -> None:
        self.task, self.plan, self.started = task, plan, started
        self.targets: tuple[float, ...] = () if targets is None else tuple(sorted(targets, reverse=True))
        self.descents: dict[int, Descent] = {}
        self.ended = ""
        self._reporter = reporter

    def run(self, lr: float | None) -> None:
        base, reach = self.plan.base, np.arange(-BELOW, ABOVE + 1)
        above = [size for size in self.plan.sizes if size > base]
        below = [size for size in reversed(self.plan.sizes) if size < base]
        try:
            begin = self._begin(lr)
            self._reporter.expect(self.plan.updates)
            self._measure(base, begin * GRID**reach, self.plan.steps)
            self._check_targets()
            if not self.targets:
                return
            for sizes in (above, below):
                last = base
                for size in sizes:
                    grid, steps = self._from_neighbour(last, size)
                    self._measure(size, grid, steps)
                    last = size
        except KeyboardInterrupt:
            self.ended = "interrupted"
        except OutOfTimeError:
            self.ended = "out_of_time"

    def _begin(self, lr: float | None) -> float:
        """The rate to begin with; Ctrl-C while it is sought ends it all."""
        limit = None if self.plan.stop is None else Budget(seconds=self.plan.stop)
        return known_rate(
            at_batch_size(self.task, self.plan.base), lr, budget=limit, progress=self._reporter
        )[0]

    def _check_targets(self) -> None:
        start = float(self.descents[self.plan.base].curves[:, :, 0].mean())
        if any(target >= start for target in self.targets):
            raise ValueError(
                f"targets must lie below the held-out loss before training, {start:.4g}, "
                f"but are {list(self.targets)}"
            )

    def best(self, size: int, target: float) -> tuple[int, np.ndarray] | None:
        """Place of the rate that gets there soonest (`soonest`), and updates (seeds, rates)."""
        if size not in self.descents:
            return None
        reached = self.descents[size].updates_to(target)
        place = soonest(reached, float(self.descents[size].at[-1]))
        return None if place is None else (place, reached)

    def _from_neighbour(self, last: int, size: int) -> tuple[np.ndarray, int]:
        """Rates between those that stay and those in proportion to the batch, with one more on each side."""
        found = [best for target in self.targets if (best := self.best(last, target)) is not None]
        descent, ratio = self.descents[last], size / last
        lrs = [descent.lrs[place] for place, _ in found] or list(descent.lrs)
        low, high = min(lrs) * min(1.0, ratio) / GRID, max(lrs) * max(1.0, ratio) * GRID
        count = max(2, math.ceil(math.log(high / low) / math.log(GRID) - 1e-9) + 1)
        needed = float(descent.at[-1])
        if found:
            place, reached = found[-1]
            needed = float(np.exp(np.log(np.maximum(reached[:, place], 1.0)).mean()))
        return np.geomspace(low, high, count), math.ceil(needed * (UP if ratio > 1 else DOWN / ratio))

    def _measure(self, size: int, lrs: np.ndarray, steps: int) -> None:
        steps = max(steps, 4)
        for _ in range(LONGER + 1):
            self._descend(size, lrs, steps)
            self._extend(size, steps)
            if self.targets and all(self.best(size, target) is not None for target in self.targets):
                return
            lrs, steps = self.descents[size].lrs, 2 * steps

    def _extend(self, size: int, steps: int) -> None:
        for number in range(EXTENSIONS):
            descent = self.descents[size]
            targets = self.targets or tuple(_own_targets(descent))
            places = [best[0] for target in targets if (best := self.best(size, target)) is not None]
            more: list[float] = []
            broken = not np.isfinite(descent.curves[:, :, -1]).all(axis=0).any()
            if broken or (places and min(places) == 0):
                more += [descent.lrs[0] / GRID ** (i + 1) for i in range(2 + number)]
            if places and max(places) == len(descent.lrs) - 1:
                more += [descent.lrs[-1] * GRID ** (i + 1) for i in range(2)]
            if not more:
                break
            self._descend(size, np.array(more), steps, merge=True)
        if not self.targets:
            self.targets = tuple(_own_targets(self.descents[size]))

    def _descend(self, size: int, lrs: np.ndarray, steps: int, *, merge: bool = False) -> None:
        self._reporter.phase(f"batch {size:,}, {steps:,} updates")
        task = at_batch_size(self.task, size)
        engine = Speed.of(task).engine(len(lrs) * len(self.plan.seeds), steps)
        new = descend(
            task,
            lrs,
            seeds=self.plan.seeds,
            steps=steps,
            engine=engine,
            progress=self._reporter.advance,
        )
        self.descents[size] = self.descents[size].with_more(new) if merge else new


def soonest(reached: np.ndarray, tried: float) -> int | None:
    """Place of the rate that needs the fewest updates, out of `reached` (S, R); None if none got there.

    A rate counts that every seed reached the target with, by its mean in logs and half of that its
    neighbours': one step below rates that miss it, the fewest updates are luck, and the next run may miss it
    too. A miss counts as `LATE` times the `tried` updates.
    """
    there = np.isfinite(reached).all(axis=0)
    if not there.any():
        return None
    logs = np.log(np.where(np.isfinite(reached), np.maximum(reached, 1.0), LATE * tried)).mean(axis=0)
    padded = np.pad(logs, 1, mode="edge")
    with_neighbours = (padded[:-2] + 2 * padded[1:-1] + padded[2:]) / 4
    return int(np.argmin(np.where(there, with_neighbours, np.inf)))


def steady(reached: np.ndarray, best: int) -> int:
    """Place of the lowest rate that is not above the best by more than one standard error, (S, R) as above.

    Breiman's rule (Classification and Regression Trees, 1984, 3.4.3): of what seeds do not tell apart, the
    most cautious. The fewest updates of three seeds belong to a rate at which a fourth may miss the target.
    """
    there = np.isfinite(reached).all(axis=0)
    logs = np.log(np.maximum(reached[:, there], 1.0))
    seeds, rates = logs.shape
    if seeds < 2 or rates < 2:
        return best
    rest = logs - logs.mean(axis=0) - logs.mean(axis=1, keepdims=True) + logs.mean()
    error = math.sqrt(2 / seeds * float((rest**2).sum()) / ((seeds - 1) * (rates - 1)))
    mean = dict(zip(np.flatnonzero(there).tolist(), logs.mean(axis=0).tolist(), strict=True))
    place = best
    while mean.get(place - 1, math.inf) <= mean[best] + error:
        place -= 1
    return place


def _own_targets(descent: Descent) -> list[float]:
    """Losses that the best rate's mean curve has after `TARGETS` of its updates, highest first.

    None where no rate learns: a loss that luck reaches tells nothing of batch sizes.
    """
    best = descent.lowest()
    if best is None or not descent.learns():
        return []
    mean = descent.curves[:, best[0]].mean(axis=0)
    lowest = np.minimum.accumulate(np.where(np.isfinite(mean), mean, np.inf))
    wanted = [float(np.interp(share * descent.at[-1], descent.at, lowest)) for share in TARGETS]
    return sorted({loss for loss in wanted if loss < lowest[0]}, reverse=True)
