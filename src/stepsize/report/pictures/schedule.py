"""The schedule: the learning rate over the updates of the real run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np

from stepsize._result import Result
from stepsize.decide.advice import Advice
from stepsize.report.axes import count_axis, is_narrow
from stepsize.report.numbers import count, number, rate
from stepsize.report.picture import Picture, Table
from stepsize.report.theme import Colours

if TYPE_CHECKING:
    from matplotlib.axes import Axes

POINTS = 512
"""More points than pixels add nothing to the picture; jumps keep both their sides."""


class ScheduleData(msgspec.Struct, frozen=True, kw_only=True):
    """The rate at chosen updates, first and last among them.

    `epochs` and `samples` are those passed before each update, on average over an epoch where its last batch
    is smaller; `epochs` is None for a stream, which has none.
    """

    schedule: str
    steps: int
    updates: tuple[int, ...]
    epochs: tuple[float, ...] | None
    samples: tuple[int, ...]
    rates: tuple[float, ...]


def data(result: Result) -> ScheduleData | None:
    """The schedule of an advice that names a rate, unless its lengths are in tokens: a result knows none."""
    if not isinstance(result, Advice) or result.lr is None:
        return None
    run = result.run
    try:
        rates = np.asarray(result.schedule.values(run), dtype=np.float64)
    except ValueError:  # tokens, or epochs of a stream
        return None
    kept = _thinned(rates)
    stream = result.samples is None
    per_update = float(result.batch_size if stream else run.samples_per_update)
    return ScheduleData(
        schedule=str(result.schedule),
        steps=result.steps,
        updates=tuple(kept.tolist()),
        epochs=None if stream else tuple((kept / run.steps_per_epoch).tolist()),
        samples=tuple(np.round(kept * per_update).astype(int).tolist()),
        rates=tuple(rates[kept].tolist()),
    )


def _thinned(rates: np.ndarray) -> np.ndarray:
    """Evenly spaced updates, and both sides of the largest steps."""
    even = np.linspace(0, rates.size - 1, min(POINTS, rates.size)).round().astype(np.int64)
    if rates.size <= POINTS:
        return even
    jumps = np.argsort(np.abs(np.diff(rates)))[-POINTS // 4 :]
    return np.unique(np.concatenate([even, jumps, jumps + 1]))


def draw(axes: Axes, data: ScheduleData, colours: Colours) -> None:
    """A line over an even ground."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    count_axis(axes, max(data.steps - 1, 1))
    top = max(data.rates)
    axes.set_ylim(0, 1.08 * top)
    axes.yaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 2.5, 5, 10]))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: number(value, 3)))
    axes.set_title("learning rate", loc="left", fontsize=9, color=colours.muted, pad=6)
    axes.fill_between(data.updates, 0, data.rates, color=colours.answer_soft, linewidth=0)
    axes.plot(data.updates, data.rates, color=colours.answer, linewidth=2)
    if is_narrow(axes):
        axes.set_xlabel("update of the real run")


def caption(data: ScheduleData) -> str:
    """What to see."""
    if min(data.rates) == max(data.rates):
        return f"The rate stays at {rate(data.rates[0])} through all {count(data.steps)} updates of the run."
    return (
        f"The advised schedule over the {count(data.steps)} updates of the real run: {rate(data.rates[0])} "
        f"at the first, {rate(max(data.rates))} at its peak, {rate(data.rates[-1])} at the last."
    )


def alt(data: ScheduleData) -> str:
    """The picture in words."""
    return f"Learning rate over updates, schedule {data.schedule}. {caption(data)}"


def table(data: ScheduleData) -> Table:
    """The rate at eleven updates, evenly spaced."""
    at = np.unique(np.linspace(0, len(data.updates) - 1, 11).round().astype(int))
    rows = tuple(
        (
            count(data.updates[i]),
            "–" if data.epochs is None else number(data.epochs[i]),
            count(data.samples[i]),
            rate(data.rates[i]),
        )
        for i in at
    )
    return Table(("update", "epoch", "samples", "learning rate"), rows)


SCHEDULE = Picture(title="Schedule", data=data, draw=draw, caption=caption, alt=alt, table=table)
