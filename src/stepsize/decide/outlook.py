"""Which rate a rehearsal's curve speaks for, and what is in doubt of it, now and after a longer one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stepsize.estimate import Regret, Shift
from stepsize.estimate.smoothing import Floats

PLATEAU = 0.5
"""Share of the run below which rates that all fare alike tell nothing: they may stand on a plateau that only
a longer run leaves. From there on they are all as good."""


@dataclass(frozen=True)
class Outlook:
    """From a rehearsal's `regret` over rates to the whole run, among `rates` that did not diverge.

    `alike` says whether all that were tried fare alike, or so many that any of two decades may be best, and
    `seeds` with how many seeds; `located`, `room`, `overfit`, `late` and `head_start` are as for
    `Shift.to_full_length`.
    """

    regret: Regret
    rates: Floats
    alike: bool
    seeds: int
    located: float
    room: float
    overfit: float
    late: float
    head_start: float

    def shift(self, share: float) -> Shift:
        """How far the whole run's curve lies from this one, had it been measured over so much of the run."""
        return Shift.to_full_length(
            share,
            located=self.located,
            room=self.room,
            overfit=self.overfit,
            late=self.late,
            head_start=self.head_start,
        )

    def best(self, share: float) -> float:
        """The rate that should then lose least.

        What another seed may change of where a cliff lies counts at the full length alone: a shorter
        rehearsal knows so little of it that it makes no difference there.
        """
        shift = self.shift(share)
        if share == 1:
            shift = shift.near_a_cliff(self.room, self.seeds)
        return float(self.rates[np.argmin(self.regret.expected(self.rates, shift))])

    def tells(self, share: float) -> bool:
        """Whether a rehearsal of so much of the run tells one rate from another."""
        return share >= PLATEAU or not self.alike

    def doubt(self, lr: float, share: float) -> float:
        """What a rate should then lose; the more, below a cliff that another seed may see elsewhere.

        Everything, as far as is known, where the rehearsal tells nothing.
        """
        if not self.tells(share):
            return 1.0
        shift = self.shift(share)
        return float(self.regret.expected(lr, shift if share == 1 else shift.near_a_cliff(self.room)))

    def left_in_doubt(self, share: float) -> float:
        """What the best rate should lose, were so much of the run rehearsed with the same curve."""
        return self.doubt(self.best(share), share)
