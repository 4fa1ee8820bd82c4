"""The Robbins-Monro conditions, decided from the asymptotics of a schedule.

A stochastic approximation with rates η_k converges (under its usual assumptions) if Σ η_k = ∞ and
Σ η_k² < ∞ (Robbins and Monro, 1951). Each shape declares how its endless extension
falls; everything built from shapes follows by the algebra of `Tail`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from stepsize.schedules.units import number_text

if TYPE_CHECKING:
    from stepsize.schedules.schedule import Schedule


@dataclass(frozen=True, slots=True)
class Tail:
    """Rates that lie between two positive multiples of ratio^t · t^(−power), from some update on.

    Cyclical rates count by their cycle's mean, which decides both sums alike.
    """

    ratio: float = 1.0
    power: float = 0.0

    def __mul__(self, other: Tail) -> Tail:
        return Tail(self.ratio * other.ratio, self.power + other.power)

    @property
    def sum_diverges(self) -> bool:
        """Whether Σ ratio^t · t^(−power) = ∞."""
        return self.ratio > 1 or (self.ratio == 1 and self.power <= 1)

    @property
    def squares_converge(self) -> bool:
        """Whether Σ (ratio^t · t^(−power))² < ∞."""
        return self.ratio < 1 or (self.ratio == 1 and self.power > 0.5)

    def __str__(self) -> str:
        if self.ratio < 1:
            return f"a geometric sequence of ratio {self.ratio:.6g}"
        if self.ratio > 1:
            return f"growth by {self.ratio:.6g} per update"
        return f"t^-{number_text(self.power)}" if self.power else "a constant"


@dataclass(frozen=True, slots=True)
class Verdict:
    """Both conditions and the conclusion, with the reason.

    `sum_diverges` and `squares_converge` are None for a schedule that ends by design: it has no
    endless extension, both its sums are finite, and the theorem says nothing about it.
    """

    satisfied: bool
    sum_diverges: bool | None
    squares_converge: bool | None
    reason: str

    def __str__(self) -> str:
        return f"Robbins-Monro: {'satisfied' if self.satisfied else 'not satisfied'}: {self.reason}"


def verdict(schedule: Schedule) -> Verdict:
    """Decide the two conditions for the endless extension of a schedule.

    Where the last phase ends with the run, the answer is that it stops by design.
    """
    tail = schedule._tail()
    if tail is None:
        return Verdict(False, None, None, "it stops by design: the horizon is finite, so Σ η is finite")
    diverges, converge = tail.sum_diverges, tail.squares_converge
    like = f"it behaves like {tail}"
    if diverges and converge:
        reason = f"{like}, so Σ η = ∞ (power ≤ 1) and Σ η² < ∞ (power > 1/2)"
    elif diverges:
        reason = f"{like}, so Σ η² = ∞: the noise of the gradient never averages out"
    else:
        reason = f"{like}, so Σ η < ∞: it may stop before it arrives"
    return Verdict(diverges and converge, diverges, converge, reason)
