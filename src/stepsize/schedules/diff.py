"""Where two schedules differ, and by how much."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from stepsize.schedules.clock import Array
from stepsize.schedules.schedule import Schedule
from stepsize.schedules.units import Run

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True, eq=False)
class Difference:
    """Two schedules over a run.

    `first` is the first update at which they differ (None when they never do), `count` how many updates
    differ, `worst` the update with the largest difference, `largest` that difference, as a fraction of the
    larger of the two peaks; `area` is Σ of the second over Σ of the first.
    """

    a: Schedule
    b: Schedule
    run: Run
    a_values: Array
    b_values: Array
    first: int | None
    count: int
    worst: int
    largest: float
    area: float

    @property
    def same(self) -> bool:
        """Whether all rates are equal to the last bit."""
        return self.first is None

    def __str__(self) -> str:
        if self.same:
            return f"{self.a} and {self.b} have the same {self.run.steps} rates"
        a, b = self.a_values[self.worst], self.b_values[self.worst]
        return (
            f"{self.count} of {self.run.steps} rates differ, from update {self.first} on; most at update "
            f"{self.worst}: "
            f"{a:.6g} against {b:.6g} ({self.largest:.2g} of the peak); area {self.area:.4g} times the "
            f"first's"
        )

    def plot(self, *, ax: Axes | None = None, **options: Any) -> Axes:
        """Both over the run, with the space between them shaded."""
        from stepsize.schedules.plot import plot

        axes = plot({str(self.a): self.a, str(self.b): self.b}, self.run, ax=ax, **options)
        x = np.arange(self.run.steps)
        axes.fill_between(x, self.a_values, self.b_values, color="0.5", alpha=0.2, linewidth=0)
        return axes


def diff(a: Schedule, b: Schedule, run: Run | int) -> Difference:
    """Compare two schedules update by update."""
    run = run if isinstance(run, Run) else Run(steps=run)
    left, right = a.values(run), b.values(run)
    gap = np.abs(left - right)
    where = np.flatnonzero(gap)
    worst = int(gap.argmax())
    scale = max(left.max(), right.max())
    total = float(left.sum())
    return Difference(
        a=a,
        b=b,
        run=run,
        a_values=left,
        b_values=right,
        first=int(where[0]) if where.size else None,
        count=int(where.size),
        worst=worst,
        largest=float(gap[worst] / scale) if scale else 0.0,
        area=float(right.sum() / total) if total else float("inf"),
    )
