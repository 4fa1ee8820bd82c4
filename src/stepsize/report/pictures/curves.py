"""The last rehearsal while it ran: held-out loss over updates, one line a rate."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np

from stepsize._result import Result
from stepsize._words import plural
from stepsize.decide.advice import Advice
from stepsize.estimate import mean_over_seeds
from stepsize.report.axes import count_axis, finite_range, legend, loss_axis
from stepsize.report.numbers import count, fraction, loss_name, number, rate
from stepsize.report.picture import Picture, Table
from stepsize.report.pictures.range_test import finite_or_none
from stepsize.report.theme import Colours

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class CurvesData(msgspec.Struct, frozen=True, kw_only=True):
    """`losses` has a row a rate and a column an evaluation: the mean over seeds, None where one diverged."""

    steps: int
    horizon: int
    seeds: int
    lrs: tuple[float, ...]
    updates: tuple[float, ...]
    losses: tuple[tuple[float | None, ...], ...]
    lr: float | None
    start_loss: float | None
    loss_kind: str


def data(result: Result) -> CurvesData | None:
    """The curves of the longest rehearsal."""
    if not isinstance(result, Advice) or not result.rehearsals or not result.rehearsals[-1].updates.size:
        return None
    last = result.rehearsals[-1]
    order = np.argsort(last.lrs)
    return CurvesData(
        steps=last.steps,
        horizon=last.horizon,
        seeds=len(last.seeds),
        lrs=tuple(last.lrs[order].tolist()),
        updates=tuple(last.updates.tolist()),
        losses=tuple(finite_or_none(mean_over_seeds(last.curves[:, i])) for i in order),
        lr=result.lr,
        start_loss=result.start_loss,
        loss_kind=result.loss_kind,
    )


def nearest(data: CurvesData) -> int | None:
    """The rehearsed rate that is nearest to the answer."""
    return int(np.abs(np.log(np.array(data.lrs) / data.lr)).argmin()) if data.lr else None


def draw(axes: Axes, data: CurvesData, colours: Colours) -> None:
    """One line a rate, the nearest to the answer in ink."""
    chosen = nearest(data)
    losses = np.array(data.losses, dtype=np.float64)
    low, high = finite_range(losses, cap=data.start_loss)
    count_axis(axes, data.steps)
    loss_axis(axes, low, high, f"{loss_name(data.loss_kind)}, mean of {plural(data.seeds, 'seed')}")
    shades = _shades(len(data.lrs), chosen, colours)
    for i, (lr, row, shade) in enumerate(zip(data.lrs, losses, shades, strict=True)):
        axes.plot(
            data.updates,
            row,
            color=shade,
            linewidth=2.2 if i == chosen else 1.4,
            zorder=4 if i == chosen else 3,
            label=rate(lr),
        )
    legend(axes)


def _shades(rates: int, chosen: int | None, colours: Colours) -> list[str]:
    """Blue below the answer, vermilion above, paler with distance; without one, stronger with the rate."""
    if chosen is None:
        ramp = (colours.low_3, colours.low_2, colours.low_1, colours.answer)
        return [ramp[i * len(ramp) // rates] for i in range(rates)]
    below, above = (
        (colours.low_1, colours.low_2, colours.low_3),
        (colours.high_1, colours.high_2, colours.high_3),
    )
    left = [below[min(chosen - i, 3) - 1] for i in range(chosen)]
    right = [above[min(i - chosen, 3) - 1] for i in range(chosen + 1, rates)]
    return [*left, colours.ink, *right]


def caption(data: CurvesData) -> str:
    """What to see."""
    chosen = nearest(data)
    length = fraction(data.steps, data.horizon)
    text = f"The same rehearsals while they ran, over {count(data.steps)} updates ({length})."
    if chosen is None:
        text += " The stronger a line's colour, the higher its rate."
    else:
        text += (
            f" Blue rates lie below {rate(data.lrs[chosen])}, orange ones above. What counts is where a line "
            "ends: a rate that leads early may be overtaken."
        )
    return text


def alt(data: CurvesData) -> str:
    """The picture in words."""
    ends = ", ".join(f"{rate(lr)}: {_end(row)}" for lr, row in zip(data.lrs, data.losses, strict=True))
    return f"{loss_name(data.loss_kind).capitalize()} over updates, one line a rate. At the end: {ends}."


def _end(row: tuple[float | None, ...]) -> str:
    return "diverged" if row[-1] is None else number(row[-1])


def table(data: CurvesData) -> Table:
    """The loss of each rate at up to eight evaluations."""
    at = np.unique(np.linspace(0, len(data.updates) - 1, 8).round().astype(int))
    columns = ("learning rate", *(f"update {count(data.updates[i])}" for i in at))
    rows = tuple(
        (rate(lr), *(number(row[i], 4) if row[i] is not None else "diverged" for i in at))
        for lr, row in zip(data.lrs, data.losses, strict=True)
    )
    return Table(columns, rows)


CURVES = Picture(title="Learning curves", data=data, draw=draw, caption=caption, alt=alt, table=table)
