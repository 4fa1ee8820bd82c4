"""A probe as something to train: its batches, its horizon, its rates and its held-out loss."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import torch
from torch.utils._pytree import tree_flatten

from stepsize._check_task import integer
from stepsize._ranks import current
from stepsize._rng import derived_seed, isolated_rng
from stepsize.data import Batch, samples_in
from stepsize.loaders import Loader
from stepsize.probe import Probe
from stepsize.schedules import Run
from stepsize.task import Task
from stepsize.training.optimizers import set_control
from stepsize.training.state import GradScaler, preserved

FOLDS = 8
"""Parts that held-out batches are shared out to, at most: their spread tells what the loss owes to them."""

FRESH_SHARE, FEWEST_FRESH, MOST_FRESH = 0.01, 8, 32
"""Batches that stand in for held-out data, as a share of the horizon, and the least and most of them."""

SEARCHED = 256
"""Calls of `step` within which one that is told too few `accumulate` is searched for its update."""

_FRESH = 2**30
"""Seed of the batches that stand in for held-out data, beyond those that training counts up to."""

_SALT = 59


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
        self._ranks = current().size
        for _ in range(2):
            with preserved(*self.state), isolated_rng(self.seed), Rates(self.probe) as rates:
                rates.set(max(float(group["lr"]) for group in self.groups))
                batches = self.loader.batches(self.seed)
                losses.append([self._tried(batches, rates) for _ in range(2)])
        if not np.allclose(losses[0], losses[1], rtol=1e-3, equal_nan=True):
            self.warnings = (
                "step gave other losses when tried again from the same start: state lacks what it changes",
            )
        if self._ranks > 1:
            with preserved(*self.state):
                same = len(set(current().all(_digest(next(self.loader.batches(self.seed)))))) == 1
            if same:
                self.warnings += (
                    "every rank was given the same batches: share the data out, as with a DistributedSampler",
                )

    def _tried(self, batches: Iterator[Batch], rates: Rates) -> float:
        rates.stepped = False
        losses = []
        for _ in range(self.probe.accumulate):
            batch = next(batches)
            self.samples_each = max(self.samples_each, samples_in(batch))
            losses.append(loss_of(self.probe.step(batch)))
        if not rates.stepped and not self.scaled:
            raise ValueError(self._never_stepped(batches, rates))
        return mean_of_ranks(float(np.mean(losses)))

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


def mean_of_ranks(loss: float) -> float:
    """The loss over all ranks' batches, for what every rank decides alike."""
    return float(current().mean(np.array(loss)))


def _digest(batch: Batch) -> str:
    """What tells one batch from another."""
    told = hashlib.sha256()
    for leaf in tree_flatten(batch)[0]:
        if isinstance(leaf, torch.Tensor):
            told.update(leaf.detach().cpu().reshape(-1).contiguous().view(torch.uint8).numpy().data)
        else:
            told.update(str(leaf).encode())
    return told.hexdigest()


def loss_of(returned: Any) -> float:
    """What a step or an evaluation returned, as a number."""
    value = returned.get("loss") if isinstance(returned, Mapping) else returned
    if isinstance(value, torch.Tensor) and value.numel() == 1:
        return float(value.detach())
    if isinstance(value, (int, float, np.number)) and not isinstance(value, bool):
        return float(value)
    what = f"a tensor of shape {tuple(value.shape)}" if isinstance(value, torch.Tensor) else f"{value!r:.60}"
    raise TypeError(
        f"step must return the loss as a number, a tensor with one element, or a mapping with 'loss', but "
        f"returned {what}: end it with `return loss`"
    )


class Rates:
    """Holds a probe's optimizers at a rate, over what schedulers set, while it is entered as a context."""

    def __init__(self, probe: Probe) -> None:
        self._probe, self._lr = probe, 0.0
        self.stepped = False
        """Whether an optimizer has stepped since this was last set to False."""

    def set(self, lr: float, controls: Mapping[str, float] | None = None) -> None:
        """The rate of the largest group, and further hyperparameters, from here on."""
        self._lr = lr
        for optimizer in self._probe.optimizers:
            self._probe.set_rate(optimizer, lr)
            for group in optimizer.param_groups:
                for name, value in (controls or {}).items():
                    set_control(group, name, value)

    def __enter__(self) -> Rates:
        self._handles = [
            handle
            for optimizer in self._probe.optimizers
            for handle in (
                optimizer.register_step_pre_hook(self._before),
                optimizer.register_step_post_hook(self._after),
            )
        ]
        return self

    def __exit__(self, *_: object) -> None:
        for handle in self._handles:
            handle.remove()

    def _before(self, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        self._probe.set_rate(optimizer, self._lr)

    def _after(self, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        self.stepped = True


@dataclass(frozen=True)
class ProbeEvaluation:
    """The held-out loss of a probe as it is: by its own function on `val`, or by steps at rate 0.

    `folds` hold batches of about the same number each; `weights` (F,) are their shares of the samples, and
    `shares` (F,) this rank's part of a fold, 1 on average. All ranks together have `samples`.
    """

    run: ProbeRun
    folds: tuple[tuple[Batch, ...], ...]
    shares: np.ndarray
    weights: np.ndarray
    samples: int

    @classmethod
    def of(cls, run: ProbeRun) -> ProbeEvaluation:
        with preserved(*run.state):
            if run.val is not None:
                batches = list(run.val.once())
            else:
                source = run.loader.batches(run.seed if run.loader.fixed else _FRESH)
                batches = [next(source) for _ in range(fresh_batches(run))]
        if not batches:
            raise ValueError("val must give batches, but gave none: pass val=loader")
        count = min(FOLDS, current().least(len(batches)))
        folds = tuple(
            tuple(batches[i] for i in part) for part in np.array_split(np.arange(len(batches)), count)
        )
        own = np.array([sum(samples_in(batch) for batch in fold) for fold in folds], dtype=np.float64)
        sizes = current().mean(own)
        return cls(run, folds, own / sizes, sizes / sizes.sum(), round(sizes.sum() * current().size))

    @property
    def batches(self) -> tuple[tuple[Batch, ...], ...]:
        """The folds: what `train` counts."""
        return self.folds

    @property
    def functions(self) -> tuple[str, ...]:
        """What is measured: the loss alone."""
        return ("loss",)

    def of_state(self) -> dict[str, np.ndarray]:
        """The loss on every fold, (F,), at the probe's present state; whatever it changes is put back."""
        seed = derived_seed(_SALT, self.run.seed) % 2**63
        with preserved(*self.run.state), isolated_rng(seed):
            losses = np.array([self._of_fold(fold) for fold in self.folds])
        return {"loss": current().mean(losses * self.shares)}

    def _of_fold(self, fold: Sequence[Batch]) -> float:
        probe = self.run.probe
        sizes = np.array([samples_in(batch) for batch in fold], dtype=np.float64)
        if self.run.val is not None:
            assert probe.evaluate is not None
            with torch.no_grad():
                losses = [loss_of(probe.evaluate(batch)) for batch in fold]
        else:
            with Rates(probe) as rates:
                rates.set(0.0)
                losses = [loss_of(probe.step(batch)) for batch in fold]
        return float(np.average(losses, weights=sizes))


def fresh_batches(run: ProbeRun) -> int:
    """Batches that stand in for held-out data: whole updates of them, a small share of the horizon."""
    wished = int(np.clip(FRESH_SHARE * run.steps, FEWEST_FRESH, MOST_FRESH))
    return math.ceil(wished / run.probe.accumulate) * run.probe.accumulate
