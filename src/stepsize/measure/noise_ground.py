"""What the noise of a run's gradients is measured on: a task's own copies, or a probe's objects in use."""

from __future__ import annotations

import copy
import time
from collections.abc import Generator
from typing import Any, Protocol

from torch import nn

from stepsize._ranks import Group
from stepsize.measure.gradients import (
    GradientSource,
    PerBatch,
    PerSample,
    Samples,
    Source,
    expected_squares,
    layered,
)
from stepsize.measure.inner_products import GaussNewton, InnerProduct, Plain, Preconditioned, adams_divisor
from stepsize.measure.noise_plan import NoisePlan
from stepsize.measure.operators import Surface
from stepsize.measure.probe_gradients import ProbeBatches, ProbeGradients
from stepsize.task import Task
from stepsize.training.probed import ProbeRun
from stepsize.training.waypoints import Stop, Waypoint, probe_stops, waypoints

SUBSET = 256
"""Samples on which the Gauss-Newton matrix is taken."""


class Ground(Protocol):
    """A run that is stopped along its way, and what its gradients are taken from there."""

    def stops(self) -> Generator[Any]:
        """Train on to each of the plan's points."""
        ...

    def source(self, stop: Any) -> GradientSource:
        """The gradients there."""
        ...

    def inner_product(self, stop: Any, source: Any, count: int) -> InnerProduct:
        """In which they are measured, from the first `count` of them where that is needed."""
        ...


def ground_of(plan: NoisePlan, group: Group) -> Ground:
    """The plan's task, or its probe."""
    if isinstance(plan.task, ProbeRun):
        return _ProbeGround(plan, plan.task, group)
    return _TaskGround(plan, plan.task, group)


class _TaskGround:
    """Gradients by vmap or autograd, on copies of a model."""

    def __init__(self, plan: NoisePlan, task: Task, group: Group) -> None:
        self._plan, self._task, self._group = plan, task, group

    def stops(self) -> Generator[Waypoint]:
        plan = self._plan
        return waypoints(self._task, plan.rates, plan.at, seed=plan.seed, controls=plan.controls)

    def source(self, stop: Waypoint) -> Source:
        return _source(self._plan, self._task, stop.model, self._group)

    def inner_product(self, stop: Waypoint, source: Source, count: int) -> InnerProduct:
        plan, task = self._plan, self._task
        if plan.kind == "preconditioned":
            squares = expected_squares(source, count, task.batch_size, self._group)
            return Preconditioned(
                adams_divisor(dict(stop.model.named_parameters()), [stop.optimizer], squares)
            )
        if plan.kind == "gauss_newton":
            subset = Samples(task, min(SUBSET, task.samples or SUBSET), seed=plan.seed)
            _, batch = next(subset.chunks(0, 1, 1))
            return GaussNewton(Surface(task, copy.deepcopy(stop.model), batch))
        return Plain()


def _source(plan: NoisePlan, task: Task, model: nn.Module, group: Group) -> Source:
    samples = Samples(task, plan.size, seed=plan.seed, share=group.rank, shares=group.size)
    per_sample = plan.method == "per sample" or (plan.method == "ranks" and plan.size == 1)
    return (PerSample if per_sample else PerBatch)(task, model, samples)


def seconds_of_gradients(plan: NoisePlan, task: Task) -> tuple[float, float]:
    """What the gradients at all points take here at the least and at the most, by those of a new model.

    The least are those that every point begins with; the most, all that there are, doubled up to.
    """
    group = Group()
    source = _source(plan, task, task.make_model(plan.seed), group)
    count = source.samples.available(min(plan.first, plan.most))
    if not count:
        return 0.0, 0.0
    try:
        layered(source, count, Plain(), group)  # what only the first call in a process pays
        started = time.perf_counter()
        layered(source, count, Plain(), group)
    except FloatingPointError:
        return 0.0, 0.0
    least = (time.perf_counter() - started) * plan.passes / 2 * len(plan.at)
    return least, least * max(1.0, 2 * plan.most / count - 1)


class _ProbeGround:
    """Gradients by the user's own step, on the user's own objects."""

    def __init__(self, plan: NoisePlan, run: ProbeRun, group: Group) -> None:
        self._plan, self._run, self._group = plan, run, group

    def stops(self) -> Generator[Stop]:
        plan = self._plan
        return probe_stops(self._run, plan.rates, plan.at, seed=plan.seed, controls=plan.controls)

    def source(self, stop: Stop) -> ProbeGradients:
        seed = self._plan.seed
        return ProbeGradients(self._run, ProbeBatches(self._run, seed, self._group.size), seed)

    def inner_product(self, stop: Stop, source: ProbeGradients, count: int) -> InnerProduct:
        if self._plan.kind == "simple":
            return Plain()
        squares = expected_squares(source, count, self._run.batch_size, self._group)
        return Preconditioned(adams_divisor(source.weights, self._run.probe.optimizers, squares))
