"""Which schedule a logged column of rates came from."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from stepsize.schedules.algebra import Sequence
from stepsize.schedules.clock import Array
from stepsize.schedules.combine import sequence
from stepsize.schedules.fits import hold_decay, pieces, warmups, whole
from stepsize.schedules.logs import Log, read_log
from stepsize.schedules.schedule import Schedule
from stepsize.schedules.units import Run


@dataclass(frozen=True, slots=True)
class Recognition:
    """The schedule found, or None; `error` is the largest relative difference from the log.

    `run` is the run on which the schedule gives the logged rates; `why` says in words what was decided.
    """

    schedule: Schedule | None
    run: Run
    error: float
    why: str

    def __str__(self) -> str:
        return self.why


def recognise(
    log: Log, *, run: Run | int | None = None, column: str | None = None, tolerance: float = 1e-5
) -> Recognition:
    """Find the schedule and parameters behind logged rates, the simplest that fits within `tolerance`.

    The run ends with the log unless `run` says otherwise. The log must hold every update from 0 on. Tried,
    in this order: constant, steps, exponential, line, cosine and REX, polynomial, inverse decay, sigmoid,
    inverse square root and Noam, cycles, one-cycle; then each after a linear warm-up of either convention;
    hold and decay; at last up to eight straight pieces.

    Raises `ValueError` for a log with gaps or fewer than three updates.
    """
    updates, rates = read_log(log, column=column)
    if len(updates) < 3 or (updates != np.arange(len(updates))).any():
        raise ValueError(
            "recognise needs every update from 0 on, and at least three: fill the gaps or audit instead"
        )
    run = Run(steps=len(rates)) if run is None else run if isinstance(run, Run) else Run(steps=run)
    if rates.max() == 0:
        return Recognition(None, run, math.inf, "all rates are 0")
    best: tuple[float, Schedule | None] = (math.inf, None)
    for candidate in _candidates(rates, run.steps):
        error = _error(candidate, run, rates)
        if error <= tolerance:
            name = f"{candidate}, to within {error:.1g} of the peak over {len(rates)} updates"
            return Recognition(candidate, run, error, name)
        if error < best[0]:
            best = (error, candidate)
    why = f"no known schedule fits within {tolerance:g}"
    if best[1] is not None:
        why += f"; the nearest is {best[1]}, off by {best[0]:.2g} of the peak"
    return Recognition(None, run, best[0], why)


def _error(candidate: Schedule, run: Run, rates: Array) -> float:
    try:
        values = candidate.resolve(run)(np.arange(len(rates)))
    except ValueError:
        return math.inf
    return float(np.abs(values - rates).max() / rates.max())


def _candidates(rates: Array, steps: int) -> Iterator[Schedule]:
    yield from whole(rates, steps)
    for warm in warmups(rates):
        rest = rates[warm.steps :]
        if len(rest) >= 3:
            for after in (*whole(rest, steps - warm.steps), *hold_decay(rest, steps - warm.steps)):
                yield _together(warm.schedule | after)
    yield from hold_decay(rates, steps)
    yield from pieces(rates)


def _together(schedule: Schedule) -> Schedule:
    """One factor in front where all phases have the same peak, as a person would write it."""
    phases = schedule.phases if isinstance(schedule, Sequence) else (schedule,)
    peak = phases[0].peak
    if peak == 1 or any(phase.peak != peak for phase in phases):
        return schedule
    return peak * sequence(*(phase.at(1.0) for phase in phases))
