"""The best rate over the length of the run: as each rehearsal found it, and carried to the full length."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np

from stepsize._result import Result
from stepsize._words import plural
from stepsize.decide.advice import Advice
from stepsize.estimate import basin
from stepsize.report.axes import batch_axis, legend
from stepsize.report.numbers import count, rate
from stepsize.report.picture import Picture, Table
from stepsize.report.pictures.log_axis import log_axis, y_title
from stepsize.report.theme import Colours

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from stepsize.decide.rehearsal import Rehearsal


class Length(msgspec.Struct, frozen=True, kw_only=True):
    """A rehearsal of `steps` updates: the rates tried, the best one, and those from `low` to `high` that lose
    at most 1% of the progress. An open end is the last rate that was tried, and may lie beyond it.
    """

    steps: int
    seeds: int
    lrs: tuple[float, ...]
    lr: float
    low: float
    high: float
    low_open: bool
    high_open: bool


class TrendData(msgspec.Struct, frozen=True, kw_only=True):
    """Rehearsals that learned, shortest first, and the answer for `horizon` updates, None without one."""

    lengths: tuple[Length, ...]
    horizon: int
    lr: float | None
    low: float | None
    high: float | None


def data(result: Result) -> TrendData | None:
    """Of an advice with two lengths to compare: two rehearsals that learned, or one and an answer."""
    if not isinstance(result, Advice):
        return None
    found = [length for one in result.rehearsals if (length := _length(one)) is not None]
    if len(found) + (result.lr is not None) < 2 or not found:
        return None
    return TrendData(
        lengths=tuple(sorted(found, key=lambda length: length.steps)),
        horizon=result.rehearsals[-1].horizon,
        lr=result.lr,
        low=result.lr_low,
        high=result.lr_high,
    )


def _length(rehearsal: Rehearsal) -> Length | None:
    """The best rate of a rehearsal and the range about it; None if no rate ended below the start."""
    order = np.argsort(rehearsal.lrs)
    lrs, losses = rehearsal.lrs[order], np.atleast_2d(rehearsal.losses)[:, order]
    mean, start = rehearsal.mean, rehearsal.start_loss
    if not (np.isfinite(mean).any() and np.isfinite(start) and mean[np.isfinite(mean)].min() < start):
        return None
    around = basin(lrs, losses, start, share=0.01)
    return Length(
        steps=rehearsal.steps,
        seeds=len(rehearsal.seeds),
        lrs=tuple(lrs.tolist()),
        lr=around.lr,
        low=around.low,
        high=around.high,
        low_open=around.low_open,
        high_open=around.high_open,
    )


def draw(axes: Axes, data: TrendData, colours: Colours) -> None:
    """A dot and a bar a length, the rates tried as ticks beside it, and the answer as a diamond."""
    steps = [one.steps for one in data.lengths]
    best = [one.lr for one in data.lengths]
    ends = [end for one in data.lengths for end in (one.low, one.high)]
    ends += [end for end in (data.lr, data.low, data.high) if end is not None]
    batch_axis(axes, [*steps, *([data.horizon] if data.lr is not None else [])])
    axes.set_xlabel("updates of the run")
    low, high = min(ends) / 1.6, max(ends) * 1.6
    log_axis(axes, "y", low, high, rate)
    y_title(axes, "learning rate")
    if data.lr is not None:
        path = [steps[-1], data.horizon], [best[-1], data.lr]
        axes.plot(*path, color=colours.answer, linewidth=1, linestyle=(0, (3, 2)), zorder=2)
        if data.low is not None and data.high is not None:
            axes.vlines(data.horizon, data.low, data.high, color=colours.answer, linewidth=5, alpha=0.35)
        axes.plot(
            [data.horizon], [data.lr], "D", color=colours.answer, markersize=6, label="answer", zorder=4
        )
        falls = data.lr < best[-1]  # the line comes from above, so that there is room below
        axes.annotate(
            rate(data.lr),
            (data.horizon, data.lr),
            xytext=(-8, -4 if falls else 4),
            textcoords="offset points",
            ha="right",
            va="top" if falls else "bottom",
            color=colours.answer,
            fontweight="bold",
        )
    tried = [(one.steps, lr) for one in data.lengths for lr in one.lrs if low < lr < high]
    axes.plot(*zip(*tried, strict=True), "_", color=colours.line, markersize=9, label="rate tried", zorder=1)
    lows, highs = [one.low for one in data.lengths], [one.high for one in data.lengths]
    axes.vlines(steps, lows, highs, color=colours.ink, linewidth=1.6, label="loses at most 1%", zorder=3)
    axes.plot(
        steps, best, "o-", color=colours.ink, markersize=5, linewidth=0.8, label="best rehearsed", zorder=3
    )
    legend(axes)


def caption(data: TrendData) -> str:
    """Where the best rate goes as the run gets longer."""
    first, last = data.lengths[0], data.lengths[-1]
    text = f"The best rate of runs of {count(first.steps)} updates was {rate(first.lr)}"
    if last.steps > first.steps:
        text += f", and of {count(last.steps)} updates {rate(last.lr)}"
    if data.lr is None:
        return f"{text}."
    text += f"; for {count(data.horizon)} the answer is {rate(data.lr)}"
    if data.low is not None and data.high is not None:
        text += f", between {rate(data.low)} and {rate(data.high)}"
    return f"{text}."


def alt(data: TrendData) -> str:
    """The picture in words."""
    return f"Best learning rate over the length of the run, both axes logarithmic. {caption(data)}"


def table(data: TrendData) -> Table:
    """One row a length, the answer last."""
    rows = [
        (count(one.steps), rate(one.lr), _span(one), plural(len(one.lrs), "rate"), plural(one.seeds, "seed"))
        for one in data.lengths
    ]
    if data.lr is not None:
        known = data.low is not None and data.high is not None
        span = f"{rate(data.low or 0.0)} to {rate(data.high or 0.0)}" if known else "–"
        rows.append((count(data.horizon), rate(data.lr), span, "the answer", "–"))
    return Table(("updates", "best rate", "loses at most 1%", "tried", "seeds"), tuple(rows))


def _span(one: Length) -> str:
    """The range, and where it may go on beyond the rates tried."""
    low, high = (
        ("≤ " if one.low_open else "") + rate(one.low),
        ("≥ " if one.high_open else "") + rate(one.high),
    )
    return f"{low} to {high}"


TREND = Picture(
    title="Best rate over the length of the run", data=data, draw=draw, caption=caption, alt=alt, table=table
)
