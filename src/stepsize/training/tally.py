"""What members leave while they are trained, gathered into their history."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from stepsize.data import samples_in
from stepsize.training.history import Cost, History, Member, MemberStatus
from stepsize.training.probed import ProbeRun, Trainable


@dataclass(frozen=True)
class Left:
    """What one member has left: as `Tally`, without its first axis."""

    train_loss: np.ndarray
    val_loss: np.ndarray
    val_folds: np.ndarray
    metrics: dict[str, np.ndarray]
    alive: bool
    updates_done: int


class Tally:
    """The losses of K members at T updates, and their E evaluations on F folds, weighed with `weights` (F,).

    `train_loss` (K, T), `val_loss` and each of `metrics` (K, E), `val_folds` (K, E, F): NaN where nothing
    was trained or evaluated. `alive` and `updates_done` (K,).
    """

    def __init__(
        self, members: int, steps: int, evaluations: int, weights: np.ndarray, metrics: Sequence[str]
    ) -> None:
        shape = (members, evaluations)
        self._weights = weights
        self.train_loss = np.full((members, steps), np.nan)
        self.val_loss = np.full(shape, np.nan)
        self.val_folds = np.full((*shape, len(weights)), np.nan)
        self.metrics = {name: np.full(shape, np.nan) for name in metrics}
        self.alive = np.ones(members, dtype=bool)
        self.updates_done = np.zeros(members, dtype=np.int64)

    def keep(self, rows: Sequence[int], column: int, folds: Mapping[str, np.ndarray]) -> None:
        """Note what an evaluation of these members gave: "loss" and each metric on every fold, (len, F)."""
        for name, values in folds.items():
            mean = values @ self._weights
            if name == "loss":
                self.val_loss[rows, column], self.val_folds[rows, column] = mean, values
            else:
                self.metrics[name][rows, column] = mean

    def of(self, row: int) -> Left:
        """What one member has left."""
        return Left(
            self.train_loss[row],
            self.val_loss[row],
            self.val_folds[row],
            {name: values[row] for name, values in self.metrics.items()},
            bool(self.alive[row]),
            int(self.updates_done[row]),
        )

    def take_in(self, row: int, left: Left) -> None:
        """Note what a member has left in another process."""
        self.train_loss[row], self.val_loss[row] = left.train_loss, left.val_loss
        self.val_folds[row] = left.val_folds
        for name, values in left.metrics.items():
            self.metrics[name][row] = values
        self.alive[row], self.updates_done[row] = left.alive, left.updates_done

    def history(
        self,
        task: Trainable,
        members: Sequence[Member],
        rates: np.ndarray,
        evaluated_at: Sequence[int],
        *,
        reason: str,
        seconds: float,
    ) -> History:
        """All of it; `reason` says why no stack was trained, if none was."""
        status: list[MemberStatus] = ["ok" if alive else "diverged" for alive in self.alive]
        updates = int(self.updates_done.sum())
        cost = Cost(updates=updates, samples=self._samples(task), seconds=seconds, runs=updates / task.steps)
        return History(
            members=tuple(members),
            status=tuple(status),
            rates=rates,
            train_loss=self.train_loss,
            evaluated_at=np.array(evaluated_at, dtype=np.float64),
            val_loss=self.val_loss,
            val_folds=self.val_folds,
            metrics=self.metrics,
            updates_done=tuple(int(n) for n in self.updates_done),
            engine="loop" if reason else "stack",
            engine_reason=reason,
            cost=cost,
        )

    def _samples(self, task: Trainable) -> int:
        """Samples that all members have seen, the last partial batch of each epoch kept."""
        size, done = task.batch_size, [int(n) for n in self.updates_done]
        if task.samples is not None:
            epochs = [divmod(n, -(-task.samples // size)) for n in done]
            return sum(whole * task.samples + rest * size for whole, rest in epochs)
        each = size if isinstance(task, ProbeRun) else samples_in(task.trial_batch(size))
        return sum(done) * each
