"""What is suspicious about a schedule on a run, and what it amounts to in numbers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from stepsize.schedules.algebra import Joint, Sequence
from stepsize.schedules.bound import HorizonError
from stepsize.schedules.clock import Array
from stepsize.schedules.policy import Policy
from stepsize.schedules.robbins_monro import Verdict, verdict
from stepsize.schedules.schedule import Schedule
from stepsize.schedules.units import Run, number_text

Kind = Literal[
    "does_not_fit",
    "jump_up",
    "zero_first_rate",
    "zero_rate",
    "peak_not_reached",
    "revival",
    "milestone_after_end",
]

_JUMP = 1.5
"""Rates that grow by more than this factor between two updates, after a phase that did not, count as a
jump."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One suspicious thing: what, at which update, and in words what to do about it."""

    kind: Kind
    update: int
    message: str

    def __str__(self) -> str:
        return f"{self.kind} at update {self.update}: {self.message}"


@dataclass(frozen=True, slots=True)
class Report:
    """Findings, and the schedule in numbers.

    `area` is Σ η and `squares` Σ η² over the run. `effective_memory` = (Σ η)²/Σ η² is the number of
    updates at
    one constant rate that would have the same area and the same accumulated noise: T for a constant
    rate, fewer the more uneven the schedule is. All three are None when it does not fit the run.
    """

    findings: tuple[Finding, ...]
    area: float | None
    squares: float | None
    effective_memory: float | None
    robbins_monro: Verdict

    @property
    def ok(self) -> bool:
        """Whether nothing was found."""
        return not self.findings

    def __str__(self) -> str:
        lines = [str(finding) for finding in self.findings] or ["nothing suspicious"]
        if self.area is not None and self.squares is not None and self.effective_memory is not None:
            lines.append(
                f"area {self.area:.6g}, sum of squares {self.squares:.6g}, "
                f"effective memory {self.effective_memory:.6g} updates"
            )
        return "\n".join([*lines, str(self.robbins_monro)])


def check(schedule: Schedule, run: Run | int) -> Report:
    """Look for what usually was not meant.

    Found are: a schedule that does not fit the run (such as a warm-up longer than the run), a first rate of
    zero (an update that does nothing), rates of zero before the end, a jump upwards between phases, a peak
    that the run never reaches, rates that rise again near the end, milestones after the end.
    """
    run = run if isinstance(run, Run) else Run(steps=run)
    conclusion = verdict(schedule)
    try:
        bound = schedule.resolve(run)
        values = bound.values()
    except ValueError as error:
        kind = "longer or shorter than the run" if isinstance(error, HorizonError) else "does not resolve"
        return Report((Finding("does_not_fit", 0, f"{kind}: {error}"),), None, None, None, conclusion)
    findings = [
        *_zeros(values),
        *_jumps(schedule, run, values),
        *_peak(schedule, values),
        *_revival(values),
        *_late_milestones(schedule, run),
    ]
    area, squares = float(values.sum()), float((values**2).sum())
    memory = area**2 / squares if squares else 0.0
    return Report(tuple(sorted(findings, key=lambda f: f.update)), area, squares, memory, conclusion)


def _zeros(values: Array) -> Iterator[Finding]:
    zero = np.flatnonzero(values == 0)
    if zero.size and zero[0] == 0:
        yield Finding(
            "zero_first_rate",
            0,
            "the first update has rate 0 and does nothing: a warm-up of (t + 1)/W starts above it",
        )
    inner = zero[(zero > 0) & (zero < len(values) - 1)]
    if inner.size:
        yield Finding(
            "zero_rate", int(inner[0]), f"{inner.size} updates before the last have rate 0 and do nothing"
        )


def _jumps(schedule: Schedule, run: Run, values: Array) -> Iterator[Finding]:
    sequence = _sequence_in(schedule)
    if sequence is None:
        return
    for place in map(int, sequence.boundaries(run.steps, run)[1:-1]):
        before, after = values[place - 1], values[place]
        if after > _JUMP * before:
            yield Finding(
                "jump_up",
                place,
                f"the rate jumps up from {number_text(float(f'{before:.4g}'))} to "
                f"{number_text(float(f'{after:.4g}'))} "
                "between two phases: do their peaks agree?",
            )


def _sequence_in(schedule: Schedule) -> Sequence | None:
    while not isinstance(schedule, Sequence):
        inner = getattr(schedule, "inner", None)
        if inner is None:
            return None
        schedule = inner
    return schedule


def _peak(schedule: Schedule, values: Array) -> Iterator[Finding]:
    top = int(values.argmax())
    if values[top] < 0.95 * schedule.peak:
        yield Finding(
            "peak_not_reached",
            top,
            f"the highest rate of the run is {values[top]:.4g}, {values[top] / schedule.peak:.0%} of the "
            f"peak {schedule.peak:.4g}",
        )


def _revival(values: Array) -> Iterator[Finding]:
    low = int(np.flatnonzero(values <= 1.01 * values.min())[-1])
    last = values[-1]
    if low > 0 and low >= len(values) // 2 and last > 2 * values[low] and last > 0.01 * values.max():
        yield Finding(
            "revival",
            low,
            f"the rate falls to {values[low]:.4g} and ends at {last:.4g}: the run stops in mid-cycle",
        )


def _late_milestones(schedule: Schedule, run: Run) -> Iterator[Finding]:
    while isinstance(schedule, Joint):
        schedule = schedule.inner
    if not isinstance(schedule, Policy):
        return
    for name in ("milestones", "cuts", "at"):
        for place in schedule.values_by_name.get(name, ()):
            updates = run.updates(place)
            if updates > run.steps:
                yield Finding(
                    "milestone_after_end", run.steps, f"{name}: {place} comes after the end of the run"
                )
