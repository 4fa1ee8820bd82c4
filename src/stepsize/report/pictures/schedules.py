"""Schedules at equal budget: the held-out loss over the peak rate, a line for each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from stepsize._result import Result
from stepsize.decide.schedule_comparison_result import ScheduleComparison
from stepsize.decide.training_advice import TrainingAdvice
from stepsize.report.axes import finite_range, legend, loss_axis, rate_axis
from stepsize.report.numbers import count, number, rate, short
from stepsize.report.picture import Picture, Table
from stepsize.report.theme import Colours

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TALLEST = 4.0
"""Losses are shown up to so many times the spread of the schedules' best ones, and a tenth of the lowest."""


class ScheduleLine(msgspec.Struct, frozen=True, kw_only=True):
    """One schedule: peak rates with mean losses, None where one diverged; what its best one ends behind."""

    schedule: str
    lrs: tuple[float, ...]
    losses: tuple[float | None, ...]
    lr: float | None
    loss: float | None
    behind: float | None
    low: float | None
    high: float | None
    alike: bool


class SchedulesData(msgspec.Struct, frozen=True, kw_only=True):
    """The schedules, lowest first, after so many updates of the horizon."""

    lines: tuple[ScheduleLine, ...]
    best: str
    steps: int
    horizon: int


def data(result: Result) -> SchedulesData | None:
    """Of a comparison in which something learned, or of the advice that rests on one."""
    found = result.schedules if isinstance(result, TrainingAdvice) else result
    if not isinstance(found, ScheduleComparison) or found.best is None:
        return None
    lines = tuple(
        ScheduleLine(
            schedule=row.schedule,
            lrs=row.lrs,
            losses=row.losses,
            lr=row.lr,
            loss=row.loss,
            behind=row.behind,
            low=row.behind_low,
            high=row.behind_high,
            alike=row.alike,
        )
        for row in found.rows
    )
    return SchedulesData(lines=lines, best=found.best, steps=found.steps, horizon=found.horizon)


def draw(axes: Axes, data: SchedulesData, colours: Colours) -> None:
    """The best schedule in the colour of the answer, the others told apart by their marks."""
    marks = "os^Dvp*X"
    shades = (colours.ink, colours.danger, colours.muted, colours.low_2, colours.high_2)
    others = 0
    for place, line in enumerate(data.lines):
        known = [(lr, loss) for lr, loss in zip(line.lrs, line.losses, strict=True) if loss is not None]
        if not known:
            continue
        best = line.schedule == data.best
        colour = colours.answer if best else shades[others % len(shades)]
        others += not best
        axes.plot(
            *zip(*known, strict=True),
            marker=marks[place % len(marks)],
            markersize=4,
            color=colour,
            linewidth=1.6 if best else 1,
            label=short(line.schedule),
            zorder=3 if best else 2,
        )
    rate_axis(axes, [lr for line in data.lines for lr in line.lrs], "peak learning rate")
    ends = [line.loss for line in data.lines if line.loss is not None]
    low, high = min(ends), max(ends)
    shown = [loss for line in data.lines for loss in line.losses if loss is not None]
    loss_axis(axes, *finite_range(shown, cap=high + TALLEST * (high - low) + 0.1 * abs(low)), "held-out loss")
    legend(axes)


def caption(data: SchedulesData) -> str:
    """Which ends lowest, and which cannot be told from it."""
    best = data.lines[0]
    text = (
        f"With {short(best.schedule)} runs end lowest after {count(data.steps)} of {count(data.horizon)} "
        f"updates, at a peak of {rate(best.lr or 0.0)}."
    )
    alike = [short(line.schedule) for line in data.lines[1:] if line.alike]
    return f"{text} No difference to {', '.join(alike)} was detected." if alike else text


def alt(data: SchedulesData) -> str:
    """The picture in words."""
    return f"Held-out loss over the peak learning rate for {len(data.lines)} schedules. {caption(data)}"


def table(data: SchedulesData) -> Table:
    """One row a schedule."""
    rows = tuple(
        (
            line.schedule,
            number(line.lr),
            number(line.loss, 4),
            "lowest" if line.schedule == data.best else number(line.behind),
            _span(line),
        )
        for line in data.lines
    )
    return Table(("schedule", "best peak rate", "held-out loss", "behind", "interval"), rows)


def _span(line: ScheduleLine) -> str:
    if line.low is None or line.high is None:
        return "–"
    return f"{number(line.low, 2)} to {number(line.high, 2)}"


SCHEDULES = Picture(
    title="Schedules at equal budget", data=data, draw=draw, caption=caption, alt=alt, table=table
)
