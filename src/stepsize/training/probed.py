"""A probe as something to train: its batches, its horizon, and what was noticed when it was tried."""

from __future__ import annotations

import hashlib
import logging
import math
from collections.abc import Iterator
from functools import cached_property
from typing import Any, Literal

import numpy as np
import torch
from torch.utils._pytree import tree_flatten

from stepsize._check_task import integer
from stepsize._ranks import current
from stepsize._rng import isolated_rng
from stepsize.data import Batch, samples_in
from stepsize.loaders import Loader
from stepsize.probe import Probe
from stepsize.schedules import Run
from stepsize.task import Task
from stepsize.training.probe_evaluation import ProbeEvaluation
from stepsize.training.probe_step import Rates, loss_of, mean_of_ranks
from stepsize.training.state import GradScaler, preserved

_log = logging.getLogger("stepsize")

SEARCHED = 256
"""Calls of `step` within which one that is told too few `accumulate` is searched for its update."""


class ProbeRun:
    """A probe with the batches that it trains on, for so many updates; it takes a task's place in `train`.

    `batch_size` are the samples of an update, `samples_each` those of one batch, and `loss_kind` what rates
    are judged on. Trying it out has changed nothing. `warnings` say what was noticed when its step was tried.
    """

    samples: None = None
    epochs: None = None
    """The length of an epoch is not known: steps are all that a schedule goes by."""

    def __init__(self, probe: Probe, batches: Any, steps: int, val: Any = None) -> None:
        if batches is None or steps is None:
            missing = "batches" if batches is None else "steps"
            raise TypeError(
                f"{missing} must be given with a probe: pass batches=loader, steps=5000, the updates of the "
                "real run"
            )
        self.probe, self.steps = probe, integer("steps", steps, at_least=1)
        self.name, self.seed, self.device = probe.name, probe.seed, probe.device
        self.metrics: dict[str, Any] = {}
        if val is not None and probe.evaluate is None:
            raise ValueError(
                "val needs a function that takes the loss without training: pass "
                "Probe(…, evaluate=lambda batch: loss)"
            )
        self.loader = Loader("batches", batches, seed=probe.seed)
        self.val = None if val is None else Loader("val", val, seed=probe.seed)
        self.loss_kind: Literal["validation", "fresh training batches", "training batches"]
        self.warnings: tuple[str, ...] = ()
        self.samples_each, self._ranks = 1, 1
        with preserved(*self.state):
            self.loader.find_order()
        self._try()
        if val is not None:
            self.loss_kind = "validation"
        else:
            self.loss_kind = "training batches" if self.loader.fixed else "fresh training batches"

    @cached_property
    def evaluation(self) -> ProbeEvaluation:
        """How its held-out loss is taken; the batches are read once and kept."""
        return ProbeEvaluation.of(self)

    @property
    def state(self) -> tuple[Any, ...]:
        """All that training it changes."""
        held_out = () if self.val is None else self.val.state
        return (*self.probe.state, *self.loader.state, *held_out)

    @property
    def batch_size(self) -> int:
        """Samples of an update, over all of its batches and all ranks."""
        return self.samples_each * self.probe.accumulate * self._ranks

    @property
    def scaled(self) -> bool:
        """Whether a gradient scaler is at work, which may leave updates out."""
        return any(isinstance(item, GradScaler) and item.is_enabled() for item in self.probe.state)

    @property
    def run(self) -> Run:
        """The real run, as far as a schedule needs to know it."""
        return Run(steps=self.steps)

    @property
    def groups(self) -> list[dict[str, Any]]:
        """The parameter groups of all its optimizers."""
        return [group for optimizer in self.probe.optimizers for group in optimizer.param_groups]

    @property
    def optimizer_name(self) -> str:
        """The optimizer classes' names."""
        return " + ".join(type(optimizer).__name__ for optimizer in self.probe.optimizers)

    def _try(self) -> None:
        """Two updates, twice over: they must update, give losses, and give the same ones again."""
        losses = []
        self._ranks, self._moved = current().size, False
        for _ in range(2):
            with preserved(*self.state), isolated_rng(self.seed), Rates(self.probe) as rates:
                rates.set(max(float(group["lr"]) for group in self.groups))
                batches = self.loader.batches(self.seed)
                losses.append([self._tried(batches, rates) for _ in range(2)])
        if not np.allclose(losses[0], losses[1], rtol=1e-3, equal_nan=True):
            self.warnings = (
                "step gave other losses when tried again from the same start: state lacks what it changes",
            )
        if self._moved:
            self.warnings += (
                "step moves a scheduler that is not in state, and it stays moved: pass state=[…, scheduler]",
            )
        if self._ranks > 1:
            with preserved(*self.state):
                same = len(set(current().all(_digest(next(self.loader.batches(self.seed)))))) == 1
            if same:
                self.warnings += (
                    "every rank was given the same batches: share the data out, as with a DistributedSampler",
                )
        for warning in self.warnings:
            _log.warning("%s: %s", self.name, warning)

    def _tried(self, batches: Iterator[Batch], rates: Rates) -> float:
        rates.stepped = False
        losses = []
        for _ in range(self.probe.accumulate):
            batch = next(batches)
            self.samples_each = max(self.samples_each, samples_in(batch))
            losses.append(loss_of(self.probe.step(batch)))
        if not rates.stepped and not self.scaled:
            raise ValueError(self._never_stepped(batches, rates))
        self._moved |= any(self._moved_by_another(optimizer, rates.lr) for optimizer in self.probe.optimizers)
        return mean_of_ranks(float(np.mean(losses)))

    def _moved_by_another(self, optimizer: torch.optim.Optimizer, lr: float) -> bool:
        """Whether a rate is no longer the one that was set, and a scheduler that `state` lacks may be why."""
        # accelerate wraps schedulers and optimizers
        moved = [getattr(getattr(item, "scheduler", item), "optimizer", None) for item in self.state]
        known = any(optimizer is one or optimizer is getattr(one, "optimizer", None) for one in moved)
        shares = zip(optimizer.param_groups, self.probe.shares(optimizer), strict=True)
        return not known and any(
            "initial_lr" in group and not math.isclose(float(group["lr"]), lr * share, rel_tol=1e-6)
            for group, share in shares
        )

    def _never_stepped(self, batches: Iterator[Batch], rates: Rates) -> str:
        for call in range(self.probe.accumulate + 1, SEARCHED + 1):
            self.probe.step(next(batches))
            if rates.stepped:
                return (
                    "accumulate must be the calls of step from one update to the next, but is "
                    f"{self.probe.accumulate}, and the first update came with call {call}: pass "
                    f"Probe(…, accumulate={call})"
                )
        return (
            f"step must step the optimizers, but in {SEARCHED} calls of it none of {self.optimizer_name} was "
            "stepped: pass the ones that step uses"
        )

    def __repr__(self) -> str:
        return (
            f"ProbeRun({self.name!r}: judged on {self.loss_kind}; {self.optimizer_name}, batch "
            f"{self.batch_size:,}, {self.steps:,} updates, {self.device})"
        )


Trainable = Task | ProbeRun
"""What `train` trains."""


def trainable(
    task: Task | Probe | ProbeRun, *, batches: Any = None, val: Any = None, steps: int | None = None
) -> Trainable:
    """What a measurement was called with, ready to be trained.

    Raises:
        TypeError: neither a Task nor a Probe; a Task with batches of its own; a Probe without batches or
            steps.
    """
    if isinstance(task, (Task, ProbeRun)):
        for name, value in (("batches", batches), ("val", val), ("steps", steps)):
            if value is not None:
                raise TypeError(
                    f"{name} goes with a Probe, but task is a {type(task).__name__}, which has its own: pass "
                    "task.replace(…)"
                )
        return task
    if isinstance(task, Probe):
        return ProbeRun(task, batches, steps, val)  # type: ignore[arg-type]  # it says what is missing
    raise TypeError(
        f"task must be a stepsize.Task or a Probe, but is a {type(task).__name__}: make one with ss.Task(…), "
        "or with ss.Probe(step=…, state=[…], optimizers=[…]) for a training loop of your own"
    )


def only_task(task: Any) -> Task:
    """The task itself, where nothing else will do.

    Raises `TypeError`, which tells for a probe what takes one.
    """
    if isinstance(task, Task):
        return task
    what = f"task must be a stepsize.Task, but is a {type(task).__name__}: make one with ss.Task(…)"
    if isinstance(task, (Probe, ProbeRun)):
        what += (
            ". A probe trains on the batches that its loader gives, and here they are varied; find_lr, "
            "range_test, noise_scale and sweep take one"
        )
    raise TypeError(what)


def _digest(batch: Batch) -> str:
    """What tells one batch from another."""
    told = hashlib.sha256()
    for leaf in tree_flatten(batch)[0]:
        if isinstance(leaf, torch.Tensor):
            told.update(leaf.detach().cpu().reshape(-1).contiguous().view(torch.uint8).numpy().data)
        else:
            told.update(str(leaf).encode())
    return told.hexdigest()
