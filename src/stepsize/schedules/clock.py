"""The time that a schedule's shape sees."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from stepsize.schedules.units import Length, LengthLike, Run

Array: TypeAlias = npt.NDArray[np.float64]


ENDLESS = 2.0**53
"""Updates beyond which float64 cannot tell neighbours apart; an endless schedule stands still there."""


_SHORTEST = 1e-6
"""A period shorter than this says nothing about updates, and t divided by it may overflow."""


def blend(low: float | Array, high: float | Array, share: Array) -> Array:
    """From `low` at share 0 to `high` at share 1, exact at both ends."""
    values: Array = low * (1.0 - share) + high * share
    return values


@dataclass(frozen=True, slots=True)
class Clock:
    """Updates since the phase began, and how long the phase is.

    `t` (n,) lies in [0, T]: t = 0 is the first update of the phase, t = T the point where it is over.
    `T` is infinite for the endless extension of a schedule that needs no horizon. `run` is what
    percentages, epochs, samples and tokens refer to. `sized` says that a sequence has fixed `T`.
    """

    t: Array
    T: float
    run: Run | None
    sized: bool = False

    @property
    def z(self) -> Array:
        """The share of the phase that has passed, t / T, in [0, 1]."""
        if math.isinf(self.T):
            raise ValueError("this schedule ends, so it needs a run: resolve(Run(steps=...))")
        return self.t / self.T

    def updates(self, length: LengthLike) -> float:
        """A length in updates; raises `ValueError` when it comes to practically none."""
        updates = self.place(length)
        if updates < _SHORTEST:
            raise ValueError(
                f"'{Length.of(length)}' comes to {updates:g} updates, which is none: lengthen it"
            )
        return updates

    def place(self, length: LengthLike) -> float:
        """A point in the phase, 0 included, in updates."""
        length = Length.of(length)
        if self.run is None:
            if length.unit != "steps":
                raise ValueError(f"'{length}' needs a run to refer to: resolve(Run(steps=...))")
            return length.amount
        return float(self.run.updates(length))

    def phase(self, start: float, stop: float) -> Clock:
        """The clock of the phase [start, stop), for the times of this one that fall into it."""
        return Clock(np.clip(self.t - start, 0.0, stop - start), stop - start, self.run, sized=True)
