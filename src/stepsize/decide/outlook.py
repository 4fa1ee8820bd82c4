"""Which rate a rehearsal's curve speaks for, and what is in doubt of it, now and after a longer one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stepsize.estimate import Regret, Shift
from stepsize.estimate.smoothing import Floats


@dataclass(frozen=True)
class Outlook:
    """From a rehearsal's `regret` over rates to the whole run, among `rates` that did not diverge.

    `located`, `room`, `overfit` and `late` as for `Shift.to_full_length`.
    """

    regret: Regret
    rates: Floats
    located: float
    room: float
    overfit: float
    late: float

    def shift(self, share: float) -> Shift:
        """How far the whole run's curve lies from this one, had it been measured over so much of the run."""
        return Shift.to_full_length(
            share, located=self.located, room=self.room, overfit=self.overfit, late=self.late
        )

    def best(self, share: float) -> float:
        """The rate that should then lose least."""
        return float(self.rates[np.argmin(self.regret.expected(self.rates, self.shift(share)))])

    def doubt(self, lr: float, share: float) -> float:
        """What a rate should then lose; the more, below a cliff that another seed may see elsewhere."""
        shift = self.shift(share)
        return float(self.regret.expected(lr, shift if share == 1 else shift.near_a_cliff(self.room)))

    def left_in_doubt(self, share: float) -> float:
        """What the best rate should lose, were so much of the run rehearsed with the same curve."""
        return self.doubt(self.best(share), share)
