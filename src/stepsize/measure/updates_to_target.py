"""Updates until the held-out loss first reaches a target, at one batch size, for many rates and seeds."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.utils._pytree import tree_leaves

from stepsize._rng import derived_seed
from stepsize.data import Source, Stream, Tensors, first_batch, samples_in
from stepsize.estimate.paired import falls
from stepsize.task import Task
from stepsize.training import Cost, EngineName, Member, train
from stepsize.training.engine import Progress

PER_DOUBLING = 4
"""Times that the held-out loss is taken while the updates double, with straight lines between."""

HELD = 512
"""Held-out samples at most, the same for every batch size: a target is a loss on these. Short runs spend more
on them than on their updates."""

_SALT = 31


@dataclass(frozen=True)
class Descent:
    """Held-out losses of R rates and S seeds at a batch size: `curves` (S, R, E) after `at` (E,) updates.

    `folds` (S, R, E, F) are the same on each of F parts of the held-out data.
    """

    batch_size: int
    lrs: np.ndarray
    at: np.ndarray
    curves: np.ndarray
    folds: np.ndarray
    cost: Cost
    engine_reason: str

    def updates_to(self, target: float) -> np.ndarray:
        """(S, R): when each run first reaches the target; infinite where it does not."""
        reached = np.full(self.curves.shape[:2], np.inf)
        for place in np.ndindex(reached.shape):
            reached[place] = first_reach(self.at, self.curves[place], target)
        return reached

    def with_more(self, other: Descent) -> Descent:
        """The same with further rates, measured at the same points."""
        lrs = np.concatenate([self.lrs, other.lrs])
        order = np.argsort(lrs)
        curves = np.concatenate([self.curves, other.curves], axis=1)[:, order]
        folds = np.concatenate([self.folds, other.folds], axis=1)[:, order]
        reason = self.engine_reason or other.engine_reason
        cost = self.cost + other.cost
        return Descent(self.batch_size, lrs[order], self.at, curves, folds, cost, reason)

    def lowest(self) -> tuple[int, int] | None:
        """Places of the rate and the update with the lowest mean loss over seeds; None if none is finite."""
        with np.errstate(invalid="ignore"):
            mean = self.curves.mean(axis=0)
        if not np.isfinite(mean).any():
            return None
        rate, update = np.unravel_index(np.argmin(np.where(np.isfinite(mean), mean, np.inf)), mean.shape)
        return int(rate), int(update)

    def learns(self) -> bool:
        """Whether some rate lowers the loss by more than the luck of which samples were held out.

        Rates within a decade fare alike, and so do updates: each decade of either is one try.
        """
        best = self.lowest()
        if best is None or best[1] == 0:
            return False
        decades = 1 + math.log10(self.lrs[-1] / self.lrs[0]) + math.log10(max(1.0, float(self.at[-1])))
        return falls(self.folds[:, best[0], 0], self.folds[:, best[0], best[1]], tries=decades)


def first_reach(at: np.ndarray, losses: np.ndarray, target: float) -> float:
    """The first update with a loss at the target, on straight lines between the points; infinite if none.

    >>> first_reach(np.array([0.0, 10.0, 20.0]), np.array([3.0, 2.0, 1.0]), 1.5)
    15.0
    """
    there = np.flatnonzero(losses <= target)
    if not there.size:
        return math.inf
    i = int(there[0])
    if i == 0:
        return float(at[0])
    share = (losses[i - 1] - target) / (losses[i - 1] - losses[i])
    return float(at[i - 1] + share * (at[i] - at[i - 1]))


def checked_at(steps: int) -> np.ndarray:
    """Numbers of updates done at which the held-out loss is taken: 0, and evenly in logs from 1 to `steps`.

    >>> checked_at(8).tolist()
    [0, 1, 2, 3, 4, 5, 6, 7, 8]
    """
    count = 1 + math.ceil(PER_DOUBLING * math.log2(steps))
    return np.unique(np.round(np.append(0, np.geomspace(1, steps, count))).astype(int))


def descend(
    task: Task,
    lrs: Sequence[float] | np.ndarray,
    *,
    seeds: Sequence[int],
    steps: int,
    engine: EngineName = "auto",
    progress: Progress | None = None,
) -> Descent:
    """Train every rate, held fixed, with every seed over `steps` updates of the task's batch size."""
    rates = np.sort(np.asarray(lrs, dtype=np.float64))
    members = [Member(float(lr), seed) for seed in seeds for lr in rates]
    at = checked_at(steps)
    history = train(
        task,
        members,
        np.tile([[member.lr] for member in members], (1, steps)),
        evaluate_at=at.tolist(),
        engine=engine,
        progress=progress,
    )
    return Descent(
        batch_size=task.batch_size,
        lrs=rates,
        at=at.astype(np.float64),
        curves=history.val_loss.reshape(len(seeds), len(rates), len(at)),
        folds=history.val_folds.reshape(len(seeds), len(rates), len(at), -1),
        cost=history.cost,
        engine_reason="" if engine == "loop" else history.engine_reason,
    )


def at_batch_size(task: Task, batch_size: int) -> Task:
    """The task at another batch size, judged on the same few held-out samples at every one."""
    other = copy.copy(task)  # everything was checked when the task was made
    other.batch_size = batch_size
    other.val = _few(task.val, task.seed)
    return other


def _few(source: Source, seed: int) -> Source:
    if isinstance(source, Stream):
        batch = first_batch(source, HELD)
        leaves = tree_leaves(batch)
        size = samples_in(batch)
        same = all(isinstance(leaf, torch.Tensor) and leaf.ndim and len(leaf) == size for leaf in leaves)
        return Tensors(batch, size) if same else source
    if source.size <= HELD:
        return source
    generator = torch.Generator().manual_seed(derived_seed(_SALT, seed) % 2**63)
    return source.subset(torch.randperm(source.size, generator=generator)[:HELD].sort().values)
