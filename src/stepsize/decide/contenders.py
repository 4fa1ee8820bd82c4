"""Batch sizes that may be the best, trained again with fresh seeds.

Luck has a part in the least of several times, and the same runs chose its rate: it is too small.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from scipy import special

from stepsize._progress import OutOfTimeError, Reporter
from stepsize.decide.batch_advice import BatchTime, Objective
from stepsize.decide.speed import Speed
from stepsize.measure.updates_to_target import at_batch_size, descend
from stepsize.task import Task
from stepsize.training import Cost

CLOSE = 1.3
"""A batch size may be the best if it takes at most so many times what the best one seems to take."""

MORE = 2
"""Fresh seeds, as a multiple of those that the rates were chosen with."""

ROOM = 2.0
"""Updates of a fresh run, as a multiple of those expected; one that misses the target counts as so many times
the updates it was given."""

UNKNOWN = 300.0
"""Half an interval, in logs, where nothing is known of the spread: JSON has no infinity."""


@dataclass
class Again:
    """`updates` to the target by batch size, one for each fresh seed; none where it `ended` too early."""

    updates: dict[int, tuple[float, ...]] = field(default_factory=dict)
    cost: Cost = field(default_factory=lambda: Cost(updates=0, samples=0, seconds=0.0, runs=0.0))
    ended: Literal["", "interrupted", "out_of_time"] = ""

    def mean(self, size: int) -> tuple[float, float] | None:
        """Geometric mean of a size's updates, and half its 95% interval in logs; None if not trained."""
        if size not in self.updates:
            return None
        logs = np.log(np.maximum(self.updates[size], 1.0))
        half = UNKNOWN
        if len(logs) > 1:
            t = float(special.stdtrit(len(logs) - 1, 0.975))
            half = t * float(logs.std(ddof=1)) / math.sqrt(len(logs))
        return math.exp(logs.mean()), half


def contenders(times: Sequence[BatchTime], objective: Objective) -> list[BatchTime]:
    """The sizes that come close to the best; none where there is nothing to choose between."""

    def price(row: BatchTime) -> float:
        return row.samples if objective == "compute" else row.seconds

    best = min(map(price, times), default=0.0)
    close = [row for row in times if price(row) <= CLOSE * best]
    return close if len(close) > 1 else []


def train_again(
    task: Task, close: Sequence[BatchTime], target: float, seeds: Sequence[int], reporter: Reporter
) -> Again:
    """Updates to the target of fresh runs at each of these sizes, at the rate that was found there."""
    done = Again()
    try:
        for row in close:
            small = at_batch_size(task, row.batch_size)
            steps = max(4, math.ceil(ROOM * row.updates))
            reporter.phase(f"batch {row.batch_size:,} again, {steps:,} updates")
            engine = Speed.of(small).engine(len(seeds), steps)
            runs = descend(
                small, [row.lr], seeds=seeds, steps=steps, engine=engine, progress=reporter.advance
            )
            reached = runs.updates_to(target)[:, 0]
            done.updates[row.batch_size] = tuple(
                np.where(np.isfinite(reached), reached, ROOM * steps).tolist()
            )
            done.cost = done.cost + runs.cost
    except KeyboardInterrupt:
        done.ended = "interrupted"
    except OutOfTimeError:
        done.ended = "out_of_time"
    if done.ended:
        done.updates = {}  # sizes are compared by the same kind of runs or not at all
    return done
