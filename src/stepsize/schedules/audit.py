"""The rates that were applied against the rates that were planned."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stepsize.schedules.clock import Array
from stepsize.schedules.logs import Log, read_log
from stepsize.schedules.schedule import Schedule
from stepsize.schedules.units import Run


@dataclass(frozen=True, eq=False)
class Audit:
    """What a log says about a plan.

    `updates`, `applied` and `planned` have shape (n,). `off` (m,) lists the updates where they differ by
    more than `tolerance`, relative to the plan. `shift` is the number of updates by which the log runs
    ahead of the plan (negative: lags) if that alone explains all differences, `factor` the constant ratio if
    that does; both None otherwise.
    """

    updates: npt.NDArray[np.int64]
    applied: Array
    planned: Array
    off: npt.NDArray[np.int64]
    tolerance: float
    shift: int | None
    factor: float | None

    @property
    def ok(self) -> bool:
        """Whether every logged rate is the planned one."""
        return not len(self.off)

    def __str__(self) -> str:
        if self.ok:
            return f"all {len(self.updates)} logged rates are as planned"
        worst = int(np.argmax(np.abs(self.applied - self.planned)))
        text = (
            f"{len(self.off)} of {len(self.updates)} logged rates are not as planned, first at update "
            f"{self.off[0]}; "
            f"worst at {self.updates[worst]}: {self.applied[worst]:.6g} applied, "
            f"{self.planned[worst]:.6g} planned"
        )
        if self.shift is not None:
            text += f"; the log {'runs ahead' if self.shift > 0 else 'lags'} by {abs(self.shift)} updates"
        if self.factor is not None:
            text += f"; all are {self.factor:.6g} times the plan"
        return text


def audit(
    log: Log, schedule: Schedule, run: Run | int, *, column: str | None = None, tolerance: float = 1e-5
) -> Audit:
    """Compare a log with the schedule that it should have followed.

    `tolerance` is relative; the default lets float32 logs pass. An update past the end of the run is compared
    with the value that holds there.
    """
    updates, applied = read_log(log, column=column)
    bound = schedule.resolve(run)
    planned = bound(updates)
    off = updates[~_close(applied, planned, tolerance)]
    shift = factor = None
    if len(off):
        shift = next(
            (
                by
                for by in (1, -1, 2, -2)
                if _close(applied, bound(np.maximum(updates + by, 0)), tolerance)[updates + by >= 0].all()
            ),
            None,
        )
        ratios = applied[planned > 0] / planned[planned > 0]
        if shift is None and ratios.size and np.ptp(ratios) <= tolerance * ratios[0]:
            factor = float(np.median(ratios))
    return Audit(updates, applied, planned, off, tolerance, shift, factor)


def _close(applied: Array, planned: Array, tolerance: float) -> npt.NDArray[np.bool_]:
    close: npt.NDArray[np.bool_] = (
        np.abs(applied - planned) <= tolerance * planned + np.finfo(np.float32).tiny
    )
    return close
