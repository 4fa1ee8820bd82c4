"""The largest stable rate along a run, and the rate of the run beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np

from stepsize._result import Result
from stepsize.measure.sharpness_result import Sharpness
from stepsize.report.axes import legend, loss_axis
from stepsize.report.numbers import count, number, rate
from stepsize.report.picture import Picture, Table
from stepsize.report.theme import Colours

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class CeilingData(msgspec.Struct, frozen=True, kw_only=True):
    """Points with a ceiling: updates done, the largest curvature, the ceiling; and the run's rate, if any."""

    updates: tuple[int, ...]
    curvatures: tuple[float, ...]
    ceilings: tuple[float, ...]
    lr: float | None


def data(result: Result) -> CeilingData | None:
    """Of a curvature with at least one ceiling."""
    if not isinstance(result, Sharpness):
        return None
    points = [(p.update, p.largest, p.ceiling) for p in result.points if p.ceiling is not None]
    if not points:
        return None
    updates, curvatures, ceilings = zip(*points, strict=True)
    return CeilingData(updates=updates, curvatures=curvatures, ceilings=ceilings, lr=result.lr)


def draw(axes: Axes, data: CeilingData, colours: Colours) -> None:
    """A dot for each point, a line for the rate of the run."""
    x = np.arange(len(data.updates))
    axes.plot(x, data.ceilings, "o-", color=colours.answer, markersize=4, linewidth=0.8, label="stable up to")
    shown = list(data.ceilings)
    if data.lr is not None:
        shown.append(data.lr)
        axes.axhline(
            data.lr, color=colours.danger, linewidth=1, linestyle=(0, (3, 2)), label="rate of the run"
        )
    axes.set_xlim(-0.5, len(x) - 0.5)
    axes.set_xticks(x, [count(update) for update in data.updates])
    axes.set_xlabel("updates done")
    loss_axis(axes, min(shown) / 2, max(shown) * 2, "learning rate")
    legend(axes)


def caption(data: CeilingData) -> str:
    """Where the ceiling went."""
    text = (
        f"Rates up to {rate(data.ceilings[0])} are stable after {count(data.updates[0])} updates, up to "
        f"{rate(data.ceilings[-1])} after {count(data.updates[-1])}."
    )
    return text if data.lr is None else f"{text} The run's peak rate is {rate(data.lr)}."


def alt(data: CeilingData) -> str:
    """The picture in words."""
    return f"Largest stable learning rate at {len(data.updates)} points of a run. {caption(data)}"


def table(data: CeilingData) -> Table:
    """One row a point."""
    rows = tuple(
        (count(update), number(curvature), rate(ceiling))
        for update, curvature, ceiling in zip(data.updates, data.curvatures, data.ceilings, strict=True)
    )
    return Table(("updates done", "largest curvature", "stable up to"), rows)


CEILING = Picture(title="Stable rates", data=data, draw=draw, caption=caption, alt=alt, table=table)
