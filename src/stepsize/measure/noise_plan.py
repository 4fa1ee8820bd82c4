"""What `noise_scale` is asked for, checked, and how it goes about it."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from stepsize._check_task import integer, positive_rate
from stepsize._ranks import Group, current
from stepsize.data import Stream
from stepsize.losses import Supervised
from stepsize.measure.inner_products import keeps_second_moments
from stepsize.measure.noise_result import KindTaken, Method
from stepsize.measure.probe_gradients import ProbeBatches
from stepsize.schedules import Schedule
from stepsize.task import Task
from stepsize.training.probed import ProbeRun, Trainable

Kind = Literal["auto", "simple", "preconditioned", "gauss_newton"]

CHECKPOINTS = 4
"""Points along the run unless told otherwise: the scale moves by a factor of ten and more while training."""

PRECISION = 0.1
"""Relative standard deviation to reach at each point unless told otherwise."""

FIRST_BATCHES = 8
"""Micro-batches to begin with, if single samples have no gradients of their own."""

FIRST_SAMPLES = 64
"""Single samples to begin with; doubled until the precision is reached."""

MOST_BATCHES = 64
"""Gauss-Newton products cost a pass over the subset each: more micro-batches are not used."""

STREAM_EXAMPLES = 16_384
"""Samples per point at most where the data never end, or are read from a probe's loader."""


@dataclass(frozen=True)
class NoisePlan:
    """The arguments, checked."""

    task: Trainable
    lr: float
    rates: np.ndarray
    controls: dict[str, np.ndarray]
    at: tuple[int, ...]
    kind: KindTaken
    method: Method
    reason: str
    size: int
    most: int
    precision: float
    deadline: float
    per_sample: float
    seed: int
    interrupted: bool

    @property
    def first(self) -> int:
        """Micro-batches to begin with."""
        return max(FIRST_SAMPLES // self.size, FIRST_BATCHES)

    @property
    def passes(self) -> int:
        """Times that each gradient is computed."""
        return 3 if self.kind == "preconditioned" else 2


def planned(
    task: Trainable,
    lr: float,
    schedule: Schedule | str,
    kind: Kind = "auto",
    *,
    steps: int | None = None,
    checkpoints: int | Sequence[int] = CHECKPOINTS,
    precision: float = PRECISION,
    examples: int | None = None,
    micro_batch: int | None = None,
    seconds: float | None = None,
    per_sample: float = 1.0,
    seed: int | None = None,
) -> NoisePlan:
    """What `noise_scale` was asked for, with what it takes where nothing else is."""
    positive_rate("lr", lr)
    for name, value in (("precision", precision), ("per_sample", per_sample), ("seconds", seconds)):
        if value is not None and not (value > 0 and math.isfinite(value)):
            raise ValueError(f"{name} must be a finite number above 0, but is {value!r}")
    length = max(1, task.steps // 4) if steps is None else integer("steps", steps, at_least=1)
    if isinstance(task, ProbeRun) and not isinstance(checkpoints, int):
        length = task.steps
    if length > task.steps:
        raise ValueError(f"steps must not exceed the task's {task.steps} updates, but is {length}")
    chosen = _chosen_kind(task, kind)
    method: Method
    interrupted = False
    try:
        method, reason, size = _chosen_method(task, chosen, micro_batch)
    except KeyboardInterrupt:
        interrupted = True
        method, reason, size = "per sample", "interrupted before it was known whether that works", 1
    shape = (Schedule.parse(schedule) if isinstance(schedule, str) else schedule).at(lr)
    return NoisePlan(
        task=task,
        lr=lr,
        rates=shape.values(task.run)[:length],
        controls={name: values[:length] for name, values in shape.controls(task.run).items()},
        at=_points(checkpoints, length),
        kind=chosen,
        method=method,
        reason=reason,
        size=size,
        most=_most(task, size, chosen, examples),
        precision=precision,
        deadline=math.inf if seconds is None else time.perf_counter() + seconds,
        per_sample=per_sample,
        seed=task.seed if seed is None else integer("seed", seed, at_least=0),
        interrupted=interrupted,
    )


def _points(checkpoints: int | Sequence[int], length: int) -> tuple[int, ...]:
    if isinstance(checkpoints, int):
        count = integer("checkpoints", checkpoints, at_least=1)
        spaced = np.geomspace(max(1, length / 4 ** (count - 1)), length, count)
        return tuple(sorted({round(float(point)) for point in spaced}))
    at = tuple(checkpoints)
    if not at or list(at) != sorted(set(at)) or at[0] < 0 or at[-1] > length:
        raise ValueError(f"checkpoints must rise within 0…{length} updates, but are {list(at)}")
    return at


def _chosen_kind(task: Trainable, kind: Kind) -> KindTaken:
    if isinstance(task, ProbeRun):
        adaptive = all(map(keeps_second_moments, task.probe.optimizers))
    else:
        adaptive = keeps_second_moments(task.make_optimizer(task.make_model(task.seed), 1.0))
    if kind == "auto":
        return "preconditioned" if adaptive else "simple"
    if kind not in ("simple", "preconditioned", "gauss_newton"):
        raise ValueError(
            f"kind must be 'auto', 'simple', 'preconditioned' or 'gauss_newton', but is {kind!r}"
        )
    if kind == "preconditioned" and not adaptive:
        raise ValueError(
            f"kind='preconditioned' needs second moments, but {task.optimizer_name} keeps none: "
            "pass kind='simple'"
        )
    if kind == "gauss_newton" and isinstance(task, ProbeRun):
        raise ValueError(
            "kind='gauss_newton' needs the model's outputs apart from the loss, which a probe's step does "
            "not show: pass kind='simple', or a Task made with ss.supervised(criterion)"
        )
    if kind == "gauss_newton" and isinstance(task, Task) and not isinstance(task.loss, Supervised):
        raise ValueError(
            "kind='gauss_newton' needs the outputs apart from the criterion, but the loss is a "
            f"{type(task.loss).__name__}: make it with ss.supervised(criterion), or pass kind='simple'"
        )
    return kind


def _chosen_method(task: Trainable, kind: str, micro_batch: int | None) -> tuple[Method, str, int]:
    """How gradients are taken, why so, and the samples in a micro-batch."""
    if isinstance(task, ProbeRun):
        if micro_batch is not None:
            raise ValueError(
                f"micro_batch={micro_batch} goes with a Task: a probe's micro-batches are the batches that "
                "its loader gives; pass batches=a loader of smaller ones"
            )
        probed = ProbeBatches(task, task.seed, current().size)
        return _among_ranks("micro-batches", probed.why(), probed.size, current().size)
    size = 0 if micro_batch is None else integer("micro_batch", micro_batch, at_least=1)
    method: Method = "per sample" if size == 1 else "micro-batches"
    reason = f"micro_batch={size} was asked for"
    if not size and kind == "gauss_newton":
        reason = "each Gauss-Newton product costs a pass over the subset"
    elif not size:
        found = task.capabilities().per_example_gradients
        if found:
            method, reason, size = "per sample", found.why, 1
        else:
            reason = f"single samples have no gradient here: {found.why}"
    if size == 0:
        norms = any(
            isinstance(m, torch.nn.modules.batchnorm._BatchNorm) for m in task.make_model(task.seed).modules()
        )
        size = task.batch_size if norms else max(1, task.batch_size // 4)
        if task.samples is not None and not norms:
            size = max(1, min(size, task.samples // FIRST_BATCHES))
    return _among_ranks(method, reason, size, Group().size)


def _among_ranks(method: Method, reason: str, size: int, ranks: int) -> tuple[Method, str, int]:
    if ranks == 1:
        return method, reason, size
    return "ranks", f"{ranks} ranks, each on its share of the data ({reason})", size


def _most(task: Trainable, size: int, kind: str, examples: int | None) -> int:
    """Micro-batches of each rank at most."""
    wanted = math.inf if examples is None else integer("examples", examples, at_least=1) / size
    there = max(STREAM_EXAMPLES / size, FIRST_BATCHES)
    if isinstance(task, Task) and not isinstance(task.train, Stream):
        there = task.train.size // size
    cap = MOST_BATCHES if kind == "gauss_newton" else math.inf
    ranks = current().size if isinstance(task, ProbeRun) else Group().size
    return max(1, int(min(wanted, there, cap) / ranks))
