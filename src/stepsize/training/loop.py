"""The loop: one member after another, any model, any torch optimizer. The stack's twin and its fallback."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import nn

from stepsize._rng import RngState, capture_rng, isolated_rng, restore_rng
from stepsize.data import Batch
from stepsize.task import Task
from stepsize.training.dropout import RowMajorDropout, needs_row_major
from stepsize.training.evaluation import Evaluation
from stepsize.training.functions import Records
from stepsize.training.history import Member
from stepsize.training.optimizers import needs_closure, set_control
from stepsize.training.watch import Watch


@dataclass
class _Runner:
    """One member's own state: model, optimizer, place in the data, random numbers."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    batches: Iterator[Batch]
    rng: RngState
    ratios: list[float] = field(init=False)
    trained: list[nn.Parameter] = field(init=False)
    updated: list[torch.Tensor] = field(init=False)
    needs_closure: bool = field(init=False)

    def __post_init__(self) -> None:
        self.ratios = [float(group["lr"]) for group in self.optimizer.param_groups]
        self.trained = [p for p in self.model.parameters() if p.requires_grad]
        self.updated = [p for group in self.optimizer.param_groups for p in group["params"]]
        self.needs_closure = needs_closure(self.optimizer)


class Loop:
    """Trains members one after another.

    `rates` (K, T) holds every member's rate at every update, `controls` further hyperparameters (T,) that
    all share. `train_loss` (K, T) fills up as training advances; it is NaN where nothing was trained. Nothing
    is recorded, so `records` stay as they are.
    """

    def __init__(
        self,
        task: Task,
        members: Sequence[Member],
        rates: np.ndarray,
        evaluation: Evaluation,
        controls: Mapping[str, np.ndarray],
        records: Records | None = None,
    ) -> None:
        self._task, self._rates, self._evaluation, self._controls = task, rates, evaluation, controls
        self.alive = np.ones(len(members), dtype=bool)
        self.train_loss = np.full(rates.shape, np.nan)
        self.updates_done = np.zeros(len(members), dtype=np.int64)
        self._watch = Watch.of(task, members, evaluation)
        self._done = 0
        self._runners = [self._start(member) for member in members]
        # Around the loss alone: a mode costs time on every call to torch, those of the optimizer too.
        row_major = needs_row_major(self._runners[0].model, task.loss)
        self._masks = RowMajorDropout() if row_major else nullcontext()

    def _start(self, member: Member) -> _Runner:
        model = self._task.make_model(member.seed)
        with isolated_rng(member.seed):
            rng = capture_rng()
        return _Runner(model, self._task.make_optimizer(model, 1.0), self._task.batches(member.seed), rng)

    def advance(self, count: int) -> None:
        """Train every living member for `count` more updates."""
        for row in np.flatnonzero(self.alive):
            self._advance_one(int(row), count)
        self._done += count

    def _advance_one(self, row: int, count: int) -> None:
        runner = self._runners[row]
        runner.model.train()
        with isolated_rng():
            restore_rng(runner.rng)
            for t in range(self._done, self._done + count):
                loss = self._update(runner, float(self._rates[row, t]), t)
                self.train_loss[row, t] = loss
                self.updates_done[row] += 1
                if self._watch.diverged(row, loss):
                    self.drop([row])
                    break
            runner.rng = capture_rng()

    def _update(self, runner: _Runner, lr: float, t: int) -> float:
        for group, ratio in zip(runner.optimizer.param_groups, runner.ratios, strict=True):
            group["lr"] = lr * ratio
            for name, values in self._controls.items():
                set_control(group, name, float(values[t]))
        batch = next(runner.batches)
        first: list[float] = []

        def closure() -> float:
            runner.optimizer.zero_grad()
            with self._masks:
                loss = self._task.loss(runner.model, batch)
                loss.backward(inputs=runner.trained)  # and into nothing else that the loss may use
            self._task.clipping.clip(runner.updated)
            first.append(float(loss.detach()))
            return first[-1]

        if runner.needs_closure:  # it calls the closure as often as it likes
            runner.optimizer.step(closure)
        else:
            closure()
            runner.optimizer.step()
        return first[0]

    def evaluate(self) -> dict[str, np.ndarray]:
        """Held-out "loss" and each metric on every fold, (K, F); NaN for members that are gone."""
        shape = (len(self._runners), len(self._evaluation.batches))
        results = {name: np.full(shape, np.nan) for name in self._evaluation.functions}
        for row in np.flatnonzero(self.alive):
            for name, folds in self._evaluation.of_model(self._runners[row].model).items():
                results[name][row] = folds
        return results

    def check_evaluation(self, start: Mapping[int, np.ndarray]) -> None:
        """Nothing to check: the loop evaluates each model as it is."""

    def close(self) -> None:
        """Nothing of the caller's was changed."""

    def member(self, row: int) -> tuple[nn.Module, torch.optim.Optimizer]:
        """The model and the optimizer of a living member, as they are now."""
        runner = self._runners[row]
        return runner.model, runner.optimizer

    def drop(self, rows: Sequence[int]) -> None:
        """Stop training these members and free their weights."""
        for row in rows:
            self.alive[row] = False
            runner = self._runners[row]
            runner.model, runner.batches, runner.trained, runner.updated = nn.Module(), iter(()), [], []
            runner.optimizer.param_groups.clear()
            runner.optimizer.state.clear()
