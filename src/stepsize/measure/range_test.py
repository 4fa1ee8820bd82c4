"""The range test: raise the rate while training, and watch the loss."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal, overload

import numpy as np

from stepsize._check_task import integer, positive_rate
from stepsize._progress import Reporter, reporting
from stepsize._untouched import untouched
from stepsize.measure.curve import Curve
from stepsize.measure.rising import RatePlan, measure_curve
from stepsize.measure.zoom import Zoom, zoom_in
from stepsize.probe import Probe
from stepsize.task import Task
from stepsize.training.probed import trainable
from stepsize.training.ranks import collective


@dataclass(frozen=True)
class Stage:
    """A row of a staged design: rates `start`, `start + step`, … `stop`, each for `iters` updates.

    >>> Stage(0.1, 0.4, 0.1, iters=10).rates().tolist()
    [0.1, 0.2, 0.3, 0.4]
    """

    start: float
    stop: float
    step: float
    iters: int = 10

    def __post_init__(self) -> None:
        for name in ("start", "stop", "step"):
            positive_rate(f"Stage.{name}", getattr(self, name))
        if self.start > self.stop:
            raise ValueError(
                f"Stage.start <= Stage.stop must hold, but got start={self.start}, stop={self.stop}"
            )
        integer("Stage.iters", self.iters, at_least=1)

    def rates(self) -> np.ndarray:
        """The stage's rates, (n,) float64, free of accumulated rounding."""
        # The tolerance lets 0.1 … 0.9 in steps of 0.1 include 0.9, which binary fractions put a hair outside.
        count = math.floor((self.stop - self.start) / self.step + 1e-9) + 1
        digits = 12 - math.floor(math.log10(self.stop))
        return np.round(self.start + self.step * np.arange(count), digits)


TEXTBOOK_STAGES = (
    Stage(0.0001, 0.0009, 0.0001),
    Stage(0.001, 0.009, 0.001),
    Stage(0.01, 0.09, 0.01),
    Stage(0.1, 0.9, 0.1),
    Stage(1.0, 1.1, 0.01),
)
"""The staged design of the source chapter, table 12-3: 47 rates, 10 updates at each."""


@overload
def range_test(
    task: Task | Probe,
    *,
    batches: Any = ...,
    val: Any = ...,
    lr_min: float = ...,
    lr_max: float = ...,
    steps: int = ...,
    mode: Literal["exp", "linear"] = ...,
    stages: Sequence[Stage] | None = ...,
    seeds: int = ...,
    loss: Literal["train", "val"] = ...,
    zoom: Literal[False] = ...,
    progress: bool | Reporter | None = ...,
) -> Curve: ...
@overload
def range_test(
    task: Task | Probe,
    *,
    batches: Any = ...,
    val: Any = ...,
    stages: Sequence[Stage] | None = ...,
    seeds: int = ...,
    zoom: Literal[True],
    progress: bool | Reporter | None = ...,
) -> Zoom: ...
@untouched
@collective
def range_test(
    task: Task | Probe,
    *,
    batches: Any = None,
    val: Any = None,
    lr_min: float = 1e-5,
    lr_max: float = 10.0,
    steps: int = 100,
    mode: Literal["exp", "linear"] = "exp",
    stages: Sequence[Stage] | None = None,
    seeds: int = 1,
    loss: Literal["train", "val"] = "train",
    zoom: bool = False,
    progress: bool | Reporter | None = None,
) -> Curve | Zoom:
    """Train while the rate rises, and record the loss at every rate.

    The loss beside rate lr_i is the mini-batch loss just before the update with lr_i (Smith 2015), or with
    `loss="val"` the held-out loss after it. A seed whose loss becomes NaN or infinite, or whose average
    exceeds ten times what the start loses, has diverged: its curve ends there.

    Args:
        task: what to train; nothing of it is changed. Or a `Probe`, with
        batches: the loader that it trains on, and
        val: for `loss="val"`, where it has `evaluate`, a loader of held-out batches.
        lr_min, lr_max: first and last rate.
        steps: number of rates between them, one update each.
        mode: "exp" spaces the rates evenly in log rate, "linear" in the rate.
        stages: a staged design instead, as the textbook's table 12-3 (`TEXTBOOK_STAGES`); each rate is held
            for the stage's `iters` updates and its loss is their mean.
        seeds: how many passes, with seeds counting up from the task's.
        loss: "train" or "val".
        zoom: run the textbook's three rounds: coarse stages, the bracket around the turn, then restarted
            trials at candidate rates, from which the answer backs off.
        progress: True for a bar on stderr, False for silence, or a `Reporter`; by default a bar if stderr is
            a terminal.

    Raises:
        ValueError: rates that are not positive and finite, `lr_min >= lr_max`, fewer than 2 steps, or
            stages that do not rise.
    """
    if loss not in ("train", "val"):
        raise ValueError(f"loss must be 'train' or 'val', but is {loss!r}")
    if stages is None and not zoom:
        plan = spaced_plan(lr_min, lr_max, steps, mode)
    else:
        plan = staged_plan(TEXTBOOK_STAGES if stages is None else stages)
    updates = plan.updates if isinstance(task, Probe) else None
    trained = trainable(task, batches=batches, val=val, steps=updates)
    chosen = tuple(trained.seed + i for i in range(integer("seeds", seeds, at_least=1)))
    with reporting(progress) as reporter:
        reporter.phase("range test")
        reporter.expect(plan.updates * len(chosen))
        if zoom:
            return zoom_in(trained, plan, chosen, reporter.advance)
        return measure_curve(trained, plan, seeds=chosen, loss=loss, progress=reporter.advance)


def spaced_plan(lr_min: float, lr_max: float, steps: int, mode: Literal["exp", "linear"] = "exp") -> RatePlan:
    """Rates from `lr_min` to `lr_max`, one update each."""
    positive_rate("lr_min", lr_min)
    positive_rate("lr_max", lr_max)
    if lr_min >= lr_max:
        raise ValueError(f"lr_min < lr_max must hold, but got lr_min={lr_min}, lr_max={lr_max}")
    count = integer("steps", steps, at_least=2)
    if mode not in ("exp", "linear"):
        raise ValueError(
            f"mode must be 'exp' or 'linear', but is {mode!r}; for a staged design pass stages=[…]"
        )
    lrs = np.geomspace(lr_min, lr_max, count) if mode == "exp" else np.linspace(lr_min, lr_max, count)
    return RatePlan(lrs, (1,) * count, mode)


def staged_plan(stages: Sequence[Stage]) -> RatePlan:
    """The rates of a staged design, one stage after the other."""
    if not stages:
        raise ValueError("stages must not be empty: pass stages=[Stage(1e-4, 9e-4, 1e-4, iters=10), …]")
    for stage in stages:
        if not isinstance(stage, Stage):
            raise TypeError(
                f"stages must hold Stage(start, stop, step, iters), but holds a {type(stage).__name__}"
            )
    for before, after in pairwise(stages):
        if not before.stop < after.start:
            raise ValueError(f"stages must rise, but {after} starts at or below the end of {before}")
    lrs = np.concatenate([stage.rates() for stage in stages])
    iters = tuple(stage.iters for stage in stages for _ in stage.rates())
    return RatePlan(lrs, iters, "staged")
