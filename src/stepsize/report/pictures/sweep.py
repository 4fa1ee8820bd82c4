"""A sweep in two pictures: where each rate ended at each batch size, and how the rates got there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np

from stepsize._result import Result
from stepsize._words import plural
from stepsize.report.axes import finite_range, gone, legend, loss_axis, rate_axis
from stepsize.report.numbers import count, loss_name, number, rate
from stepsize.report.picture import Picture, Table
from stepsize.report.pictures import curves
from stepsize.report.pictures.curves import CurvesData
from stepsize.report.pictures.range_test import finite_or_none
from stepsize.report.theme import Colours
from stepsize.runs.statistics import Arm
from stepsize.runs.table import Runs

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LINES = 7
"""Lines that can be told apart in one picture; the table has them all."""


class EndsData(msgspec.Struct, frozen=True, kw_only=True):
    """A line for each batch size and schedule: means and intervals over seeds, None where one diverged."""

    labels: tuple[str, ...]
    lrs: tuple[float, ...]
    mean: tuple[tuple[float | None, ...], ...]
    low: tuple[tuple[float | None, ...], ...]
    high: tuple[tuple[float | None, ...], ...]
    seeds: int
    loss_kind: str


def ends_data(result: Result) -> EndsData | None:
    """The final held-out losses of all arms."""
    if not isinstance(result, Runs) or not result.runs:
        return None
    found = {summary.arm: summary for summary in result.summary() if not summary.stopped}
    lrs = sorted({arm.lr for arm in found})
    groups = sorted({(arm.batch_size, arm.schedule) for arm in found})
    many = len({schedule for _, schedule in groups}) > 1

    def values(name: str) -> tuple[tuple[float | None, ...], ...]:
        known = {arm: getattr(summary, name) for arm, summary in found.items()}
        return tuple(
            tuple(known.get(Arm(lr=lr, batch_size=size, schedule=schedule)) for lr in lrs)
            for size, schedule in groups
        )

    return EndsData(
        labels=tuple(f"batch {count(size)}{', ' + schedule if many else ''}" for size, schedule in groups),
        lrs=tuple(lrs),
        mean=values("mean"),
        low=values("low"),
        high=values("high"),
        seeds=max(s.seeds for s in found.values()),
        loss_kind=result.loss_kind,
    )


def draw_ends(axes: Axes, data: EndsData, colours: Colours) -> None:
    """A line for each batch size and schedule, its intervals as bars."""
    mean, low, high = (np.array(rows, dtype=np.float64)[:LINES] for rows in (data.mean, data.low, data.high))
    rate_axis(axes, data.lrs)
    label = f"{loss_name(data.loss_kind)}, mean of {plural(data.seeds, 'seed')}"
    loss_axis(axes, *finite_range(mean, low, high), label)
    below, above = (
        (colours.low_1, colours.low_2, colours.low_3),
        (colours.high_1, colours.high_2, colours.high_3),
    )
    shades = [colours.ink, *(shade for pair in zip(below, above, strict=True) for shade in pair)]
    for i, name in enumerate(data.labels[:LINES]):
        axes.vlines(data.lrs, low[i], high[i], color=shades[i], linewidth=1)
        axes.plot(data.lrs, mean[i], color=shades[i], marker="o", markersize=4, linewidth=1.6, label=name)
    nothing = [lr for lr, column in zip(data.lrs, mean.T, strict=True) if not np.isfinite(column).any()]
    gone(axes, nothing, colours)
    legend(axes)


def ends_caption(data: EndsData) -> str:
    """What to see."""
    text = "Bars are 90% bootstrap intervals over the seeds; a rate without a point diverged."
    if len(data.labels) > LINES:
        text += f" Drawn are {LINES} of {len(data.labels)} lines; the table has all."
    return text


def ends_alt(data: EndsData) -> str:
    """The picture in words."""
    best = []
    for label, row in zip(data.labels, data.mean, strict=True):
        known = [(value, lr) for value, lr in zip(row, data.lrs, strict=True) if value is not None]
        best.append(f"{label}: lowest at {rate(min(known)[1])}" if known else f"{label}: all diverged")
    return f"{loss_name(data.loss_kind).capitalize()} at the end over learning rate. {'; '.join(best)}."


def ends_table(data: EndsData) -> Table:
    """The mean at each rate, a row for each batch size and schedule."""
    rows = tuple(
        (label, *("diverged" if value is None else number(value, 4) for value in row))
        for label, row in zip(data.labels, data.mean, strict=True)
    )
    return Table(("", *(rate(lr) for lr in data.lrs)), rows)


def curves_data(result: Result) -> CurvesData | None:
    """The rates at the batch size and schedule of the best run; none for a halving."""
    if not isinstance(result, Runs) or result.halving is not None:
        return None
    best = result.best()
    if best is None:
        return None
    lines = sorted(
        result.curves(batch_size=best.arm.batch_size, schedule=best.arm.schedule),
        key=lambda line: line.arm.lr,
    )
    return CurvesData(
        steps=best.updates,
        horizon=best.updates,
        seeds=best.seeds,
        lrs=tuple(line.arm.lr for line in lines),
        updates=tuple(lines[0].updates.tolist()),
        losses=tuple(finite_or_none(line.mean) for line in lines),
        lr=best.arm.lr,
        start_loss=float(lines[0].mean[0]) if np.isfinite(lines[0].mean[0]) else None,
        loss_kind=result.loss_kind,
    )


def curves_caption(data: CurvesData) -> str:
    """What to see."""
    assert data.lr is not None
    return (
        f"The runs at the best batch size and schedule, over {count(data.steps)} updates: {rate(data.lr)} in "
        "ink, lower rates blue, higher ones orange. A rate that leads early may be overtaken."
    )


SWEEP_ENDS = Picture(
    title="Where the runs ended",
    data=ends_data,
    draw=draw_ends,
    caption=ends_caption,
    alt=ends_alt,
    table=ends_table,
)
SWEEP_CURVES = Picture(
    title="How they got there",
    data=curves_data,
    draw=curves.draw,
    caption=curves_caption,
    alt=curves.alt,
    table=curves.table,
)
