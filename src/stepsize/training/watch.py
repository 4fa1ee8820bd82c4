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
"""Decay of the moving average that is compared."""

COUNTED = 3.0
"""A single loss counts for this many times as far above the start as the average may be, so that one jump
does not count: with inputs that are not normalised the first updates throw the loss up a hundredfold, at the
best rates too, and it comes down at once."""


class Watch:
    """Follows the training losses of K members and tells which have diverged.

    Diverged means: the loss is not finite, or its moving average m_t = β·m_(t−1) + (1−β)·min(L_t, most), from
    m_0 = L_0 on, exceeds level + (multiple − 1)·size, where most = level + COUNTED·(multiple − 1)·size. So it
    takes four such losses one after another. Level and size are those of L_0, the member's loss before its
    first update, until a loss exceeds the limit; then those of its `start` over several batches if these are
    larger, since L_0 is of one batch, which may lose next to nothing. A start whose losses are all exactly 0
    has no size to compare with: then only a loss that is not finite counts.
    """

    def __init__(self, members: int, start: Callable[[int], Start], multiple: float = DIVERGED_ABOVE) -> None:
        """`start` is called with a member's row, at most once for each."""
        self._start, self._multiple = start, multiple
        self._average = np.zeros(members)
        self._limit, self._most = np.full(members, np.nan), np.full(members, np.nan)
        self._sure = np.zeros(members, dtype=bool)  # whether a limit rests on several batches

    @classmethod
    def of(cls, task: Task, members: Sequence[Member], evaluation: Evaluation) -> Watch:
        """For members of a task; those of one seed start alike."""
        start = cache(partial(task_start, task, evaluation))
        return cls(len(members), lambda row: start(members[row].seed))

    def diverged(self, row: int, loss: float) -> bool:
        """Take in the loss of one member, by its row; whether it has now diverged."""
        if math.isnan(self._limit[row]):
            self._average[row] = loss
            self._compare_with(row, Start(loss, abs(loss)))
        if not math.isfinite(loss):
            return True
        if loss > self._limit[row] and not self._sure[row]:
            self._make_sure(row)
        counted = min(loss, float(self._most[row]))
        self._average[row] = SMOOTHING * float(self._average[row]) + (1 - SMOOTHING) * counted
        return bool(self._average[row] > self._limit[row])

    def _make_sure(self, row: int) -> None:
        """Let several batches tell the limit; infinite where all of them lose exactly nothing."""
        self._sure[row] = True
        self._compare_with(row, self._found_out(row))
        if self._limit[row] == 0:
            self._limit[row] = self._most[row] = math.inf

    def _compare_with(self, row: int, start: Start) -> None:
        """Raise the limit to that of this start; one of NaN is not known, and changes nothing."""
        above = (self._multiple - 1.0) * start.size
        self._limit[row] = np.fmax(self._limit[row], start.level + above)
        self._most[row] = np.fmax(self._most[row], start.level + COUNTED * above)

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
            return found
        for place, row in enumerate(rows.tolist()):
            for t, loss in enumerate(losses[:, place].tolist()):
                if self.diverged(row, loss):
                    found[place] = t
                    break
        return found
