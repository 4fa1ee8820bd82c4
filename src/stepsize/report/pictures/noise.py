"""The noise scale along a run, with its interval at every point, and the batch size that was used."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np

from stepsize._result import Result
from stepsize.measure.noise_result import NoiseScale
from stepsize.report.axes import legend, loss_axis
from stepsize.report.numbers import count, number
from stepsize.report.picture import Picture, Table
from stepsize.report.theme import Colours

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class NoiseData(msgspec.Struct, frozen=True, kw_only=True):
    """Points with an estimate: updates done, scale, and its interval; `high` is None where it is open."""

    unit: str
    batch: float
    updates: tuple[int, ...]
    scales: tuple[float, ...]
    lows: tuple[float, ...]
    highs: tuple[float | None, ...]


def data(result: Result) -> NoiseData | None:
    """Of a noise scale with at least one point estimate above zero."""
    if not isinstance(result, NoiseScale):
        return None
    points = [point for point in result.points if point.scale]
    if not points:
        return None
    return NoiseData(
        unit=result.unit,
        batch=result.batch_size * result.per_sample,
        updates=tuple(point.update for point in points),
        scales=tuple(float(point.scale) for point in points if point.scale),
        lows=tuple(point.low for point in points),
        highs=tuple(point.high for point in points),
    )


def draw(axes: Axes, data: NoiseData, colours: Colours) -> None:
    """A dot for each point, a bar for its interval, an arrow where that is open; a line for the batch."""
    x = np.arange(len(data.updates))
    top = 4 * max(*data.scales, data.batch)
    ends = [top if high is None else high for high in data.highs]
    floor = min(*data.scales, data.batch) / 4
    axes.vlines(
        x, np.maximum(data.lows, floor), ends, color=colours.answer, linewidth=1.2, label="95% interval"
    )
    axes.plot(x, data.scales, "o-", color=colours.answer, markersize=4, linewidth=0.8, label="noise scale")
    opened = [i for i, high in enumerate(data.highs) if high is None]
    if opened:
        axes.plot(opened, [top] * len(opened), "^", color=colours.answer, markersize=5, label="no upper end")
    axes.axhline(
        data.batch, color=colours.danger, linewidth=1, linestyle=(0, (3, 2)), label="batch size used"
    )
    axes.set_xlim(-0.5, len(x) - 0.5)
    axes.set_xticks(x, [count(update) for update in data.updates])
    axes.set_xlabel("updates done")
    known = [high for high in data.highs if high is not None]
    low = max(min(*data.lows, data.batch), floor)
    loss_axis(axes, low, max(*known, *data.scales, data.batch, top if opened else 0.0), data.unit)
    legend(axes)


def caption(data: NoiseData) -> str:
    """Where the scale went, and where the batch size stands."""
    first, last = data.scales[0], data.scales[-1]
    where = "below" if data.batch < last else "above"
    return (
        f"The noise scale is {number(first)} {data.unit} after {count(data.updates[0])} updates and "
        f"{number(last)} after {count(data.updates[-1])}. The batch in use, {number(data.batch)}, is "
        f"{where} that."
    )


def alt(data: NoiseData) -> str:
    """The picture in words."""
    return f"Gradient noise scale with intervals at {len(data.updates)} points of a run. {caption(data)}"


def table(data: NoiseData) -> Table:
    """One row a point."""
    rows = tuple(
        (count(update), number(scale), number(low), "∞" if high is None else number(high))
        for update, scale, low, high in zip(data.updates, data.scales, data.lows, data.highs, strict=True)
    )
    return Table(("updates done", f"noise scale, {data.unit}", "from", "to"), rows)


NOISE = Picture(title="Noise scale", data=data, draw=draw, caption=caption, alt=alt, table=table)
