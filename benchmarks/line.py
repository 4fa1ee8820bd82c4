"""A cost that grows in a straight line: what is fixed, what each member adds, and where it bends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

LEAST = 4
"""Points that a line must explain before another one can be said to leave it."""

TOLERANCE = 1.25
"""How far above the line a cost may lie without being called a bend: repeats differ by about a tenth."""


@dataclass(frozen=True)
class Line:
    """cost(count) = fixed + each * count."""

    fixed: float
    each: float

    def __call__(self, count: float) -> float:
        return self.fixed + self.each * count

    def misfit(self, counts: Sequence[float], costs: Sequence[float]) -> float:
        """The largest distance of a cost from the line, as a share of the cost."""
        return max(abs(self(n) / cost - 1) for n, cost in zip(counts, costs, strict=True))


def fit(counts: Sequence[float], costs: Sequence[float]) -> Line:
    """The line with the least squares of relative errors: small counts weigh as much as large ones."""
    costs_ = np.asarray(costs, dtype=np.float64)
    columns = np.stack([np.ones(len(costs_)), np.asarray(counts, dtype=np.float64)], axis=1)
    fixed, each = np.linalg.lstsq(columns / costs_[:, None], np.ones(len(costs_)), rcond=None)[0]
    return Line(float(fixed), float(each))


def straight(counts: Sequence[float], costs: Sequence[float]) -> int:
    """How many points, from the first, lie on a line: those before a cost of over `TOLERANCE` times the line.

    The line is drawn through all points before the one in question, at least `LEAST`. Counts must increase.
    """
    for end in range(LEAST, len(counts)):
        if costs[end] > TOLERANCE * fit(counts[:end], costs[:end])(counts[end]):
            return end
    return len(counts)
