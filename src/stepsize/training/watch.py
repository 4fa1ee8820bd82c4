"""When a member has diverged: the same rule for every engine, applied to each update's training loss."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cache, partial

import numpy as np

from stepsize.task import Task
from stepsize.training.evaluation import Evaluation
from stepsize.training.history import Member
from stepsize.training.memory import is_out_of_memory
from stepsize.training.start import UNKNOWN, Start, task_start

DIVERGED_ABOVE = 10.0
"""A member has diverged when its smoothed training loss exceeds the start by nine times the start's size."""

SMOOTHING = 0.9
"""Decay of the debiased moving average that is compared, so that one unlucky batch does not count."""


class Watch:
    """Follows the training losses of K members and tells which have diverged.

    Diverged means: the loss is not finite, or its moving average m_t = (1−β) Σ β^(t−i) L_i / (1−β^(t+1))
    exceeds both L_0 + (multiple − 1)·|L_0|, where L_0 is the member's loss before its first update, and
    the same of the level and the size that its `start` has over several batches, which is asked for only
    then: L_0 is of one batch, which may lose next to nothing. A start whose losses are all exactly 0 has no
    size to compare with: then only a loss that is not finite counts.
    """

    def __init__(self, members: int, start: Callable[[int], Start], multiple: float = DIVERGED_ABOVE) -> None:
        """`start` is called with a member's row, at most once for each."""
        self._start, self._multiple = start, multiple
        self._average = np.zeros(members)
        self._weight = np.zeros(members)
        self._limit = np.full(members, np.nan)
        self._sure = np.zeros(members, dtype=bool)  # whether a limit rests on several batches

    @classmethod
    def of(cls, task: Task, members: Sequence[Member], evaluation: Evaluation) -> Watch:
        """For members of a task; those of one seed start alike."""
        start = cache(partial(task_start, task, evaluation))
        return cls(len(members), lambda row: start(members[row].seed))

    def diverged(self, row: int, loss: float) -> bool:
        """Take in the loss of one member, by its row; whether it has now diverged."""
        limit = float(self._limit[row])
        if math.isnan(limit):
            limit = self._limit[row] = loss + (self._multiple - 1.0) * abs(loss)
        average = SMOOTHING * float(self._average[row]) + (1 - SMOOTHING) * loss
        weight = SMOOTHING * float(self._weight[row]) + (1 - SMOOTHING)
        self._average[row], self._weight[row] = average, weight
        if not math.isfinite(loss):
            return True
        return average > weight * limit and average > weight * self._sure_limit(row)

    def _sure_limit(self, row: int) -> float:
        """The limit that rests on several batches; infinite where all of them lose exactly nothing."""
        if not self._sure[row]:
            self._sure[row] = True
            start = self._found_out(row)
            # fmax, since the start is not a number where it could not be found out.
            limit = float(np.fmax(self._limit[row], start.level + (self._multiple - 1.0) * start.size))
            self._limit[row] = math.inf if limit == 0 else limit
        return float(self._limit[row])

    def _found_out(self, row: int) -> Start:
        try:
            return self._start(row)
        except (MemoryError, RuntimeError) as error:  # no room for a further model
            if not is_out_of_memory(error):
                raise
            return UNKNOWN

    def first_diverged(self, rows: np.ndarray, losses: np.ndarray) -> np.ndarray:
        """Take in the losses (T, len(rows)) of T updates; the first at which each row diverged, T if none.

        As calls of `diverged` up to that one, but quick where nothing happens: a mean of losses that all keep
        to a limit keeps to it too.
        """
        count = len(losses)
        found = np.full(len(rows), count)
        if count > 1 and (losses <= self._limit[rows]).all():
            fade = SMOOTHING ** np.arange(count, -1.0, -1.0)
            self._average[rows] = fade[0] * self._average[rows] + (1 - SMOOTHING) * (fade[1:] @ losses)
            self._weight[rows] = fade[0] * self._weight[rows] + (1 - fade[0])
            return found
        for place, row in enumerate(rows.tolist()):
            for t, loss in enumerate(losses[:, place].tolist()):
                if self.diverged(row, loss):
                    found[place] = t
                    break
        return found
