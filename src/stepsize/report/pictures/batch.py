"""Updates over batch sizes with the fitted curve, and the time that each batch size takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np

from stepsize._result import Result
from stepsize.decide.batch_advice import BatchAdvice
from stepsize.decide.critical_batch_result import CriticalBatch, Target
from stepsize.decide.training_advice import TrainingAdvice
from stepsize.report.axes import batch_axis, legend, loss_axis
from stepsize.report.numbers import count, number, rate
from stepsize.report.picture import Picture, Table
from stepsize.report.theme import Colours

if TYPE_CHECKING:
    from matplotlib.axes import Axes


POINTS = 41
"""Places at which the fitted curve is drawn."""


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """Batch sizes that reached a loss, updates and their ends (equal to them with one seed), and the fit.

    `fitted` are the curve's updates at the batch sizes `along`, close enough for a smooth line.
    """

    loss: float
    sizes: tuple[int, ...]
    lrs: tuple[float, ...]
    updates: tuple[float, ...]
    lows: tuple[float, ...]
    highs: tuple[float, ...]
    along: tuple[float, ...]
    fitted: tuple[float, ...]
    critical: float | None


class UpdatesData(msgspec.Struct, frozen=True, kw_only=True):
    """Every target with at least one batch size that reached it, and the noise scale's prediction."""

    targets: tuple[Measured, ...]
    predicted: float | None


class TimesData(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds to the target at each batch size with their ends, and the batch sizes chosen."""

    loss: float
    sizes: tuple[int, ...]
    seconds: tuple[float, ...]
    lows: tuple[float, ...]
    highs: tuple[float, ...]
    chosen: dict[str, int]


def _advice_in(result: Result) -> BatchAdvice | None:
    """The batch size's advice, by itself or in that on training."""
    advice = result.batch if isinstance(result, TrainingAdvice) else result
    return advice if isinstance(advice, BatchAdvice) else None


def updates_data(result: Result) -> UpdatesData | None:
    """Of a critical batch, or of the advice that rests on one."""
    advice = _advice_in(result)
    critical = result if advice is None else advice.critical
    if not isinstance(critical, CriticalBatch):
        return None
    targets = tuple(
        _measured(target) for target in critical.targets if any(row.updates for row in target.rows)
    )
    if not targets:
        return None
    predicted = None if critical.prediction is None else critical.prediction.batch
    return UpdatesData(targets=targets, predicted=predicted)


def _measured(target: Target) -> Measured:
    rows = [row for row in target.rows if row.updates is not None]
    known = target.fit.batch is not None and bool(rows)
    along = np.geomspace(rows[0].batch_size, rows[-1].batch_size, POINTS).tolist() if known else []
    return Measured(
        loss=target.loss,
        sizes=tuple(row.batch_size for row in rows),
        lrs=tuple(row.lr or 0.0 for row in rows),
        updates=tuple(row.updates or 0.0 for row in rows),
        lows=tuple(row.updates_low or row.updates or 0.0 for row in rows),
        highs=tuple(row.updates_high or row.updates or 0.0 for row in rows),
        along=tuple(along),
        fitted=tuple(map(target.fit.updates, along)),
        critical=target.fit.batch,
    )


def draw_updates(axes: Axes, data: UpdatesData, colours: Colours) -> None:
    """Dots with intervals for each target, its curve, and a line at the hardest target's critical batch."""
    shades = np.linspace(0.35, 1.0, len(data.targets)) if len(data.targets) > 1 else np.ones(1)
    for target, shade in zip(data.targets, shades.tolist(), strict=True):
        axes.vlines(target.sizes, target.lows, target.highs, color=colours.answer, alpha=shade, linewidth=1.2)
        axes.plot(
            target.sizes,
            target.updates,
            "o",
            color=colours.answer,
            alpha=shade,
            markersize=4,
            label=f"loss {number(target.loss)}",
        )
        if target.fitted:
            axes.plot(target.along, target.fitted, "-", color=colours.answer, alpha=shade, linewidth=0.9)
    last = data.targets[-1]
    batch_axis(axes, [size for target in data.targets for size in target.sizes])
    low, high = axes.get_xlim()
    if last.critical is not None and low < last.critical < high:
        axes.axvline(
            last.critical, color=colours.danger, linewidth=1, linestyle=(0, (3, 2)), label="critical batch"
        )
    if data.predicted is not None and low < data.predicted < high:
        axes.axvline(
            data.predicted, color=colours.danger, linewidth=1, linestyle=(0, (1, 2)), label="noise scale"
        )
    lows, highs = (min(min(t.lows) for t in data.targets), max(max(t.highs) for t in data.targets))
    loss_axis(axes, lows, highs, "updates to the loss")
    legend(axes)


def caption_updates(data: UpdatesData) -> str:
    """Where more samples stop to save updates."""
    last = data.targets[-1]
    text = (
        f"To a loss of {number(last.loss)} batch {count(last.sizes[0])} took {count(last.updates[0])} updates"
        f" and batch {count(last.sizes[-1])} took {count(last.updates[-1])}."
    )
    if last.critical is not None:
        text += f" The critical batch of the fitted curve is {number(last.critical)}."
    return text


def alt_updates(data: UpdatesData) -> str:
    """The picture in words."""
    return f"Updates over batch size for {len(data.targets)} losses. {caption_updates(data)}"


def table_updates(data: UpdatesData) -> Table:
    """One row a batch size and loss."""
    rows = tuple(
        (number(target.loss), count(size), rate(lr), count(updates), f"{count(low)} to {count(high)}")
        for target in data.targets
        for size, lr, updates, low, high in zip(
            target.sizes, target.lrs, target.updates, target.lows, target.highs, strict=True
        )
    )
    return Table(("loss", "batch", "best rate", "updates", "95% interval"), rows)


def times_data(result: Result) -> TimesData | None:
    """Of advice that rests on at least one time."""
    advice = _advice_in(result)
    if advice is None or not advice.times:
        return None
    rows = advice.times
    return TimesData(
        loss=advice.critical.targets[-1].loss,
        sizes=tuple(row.batch_size for row in rows),
        seconds=tuple(row.seconds for row in rows),
        lows=tuple(row.low for row in rows),
        highs=tuple(row.high for row in rows),
        chosen={choice.objective: choice.batch_size for choice in advice.choices if choice.batch_size},
    )


def draw_times(axes: Axes, data: TimesData, colours: Colours) -> None:
    """A dot and a bar for each batch size, and a ring about the one chosen for time."""
    ends = [max(data.seconds) * 4, min(data.seconds) / 4]
    axes.vlines(
        data.sizes,
        np.maximum(data.lows, ends[1]),
        np.minimum(data.highs, ends[0]),
        color=colours.answer,
        linewidth=1.2,
        label="95% interval",
    )
    axes.plot(data.sizes, data.seconds, "o-", color=colours.answer, markersize=4, linewidth=0.8, label="time")
    if (best := data.chosen.get("time")) in data.sizes:
        place = data.sizes.index(best)
        axes.plot(
            [best],
            [data.seconds[place]],
            "o",
            color=colours.danger,
            markersize=10,
            fillstyle="none",
            label="soonest",
        )
    batch_axis(axes, data.sizes)
    loss_axis(
        axes, max(min(data.lows), ends[1]), min(max(data.highs), ends[0]), "seconds of training to the loss"
    )
    legend(axes)


def caption_times(data: TimesData) -> str:
    """The three choices."""
    names = {"time": "soonest", "compute": "with the fewest samples", "budget": "cheapest within the budget"}
    parts = [f"batch {count(size)} {names[name]}" for name, size in data.chosen.items()]
    return f"To a loss of {number(data.loss)}: {', '.join(parts)}."


def alt_times(data: TimesData) -> str:
    """The picture in words."""
    return f"Seconds to a loss over {len(data.sizes)} batch sizes, with intervals. {caption_times(data)}"


def table_times(data: TimesData) -> Table:
    """One row a batch size."""
    rows = tuple(
        (count(size), number(seconds), f"{number(low)} to {number(high)}")
        for size, seconds, low, high in zip(data.sizes, data.seconds, data.lows, data.highs, strict=True)
    )
    return Table(("batch", "seconds", "95% interval"), rows)


UPDATES = Picture(
    title="Updates over batch sizes",
    data=updates_data,
    draw=draw_updates,
    caption=caption_updates,
    alt=alt_updates,
    table=table_updates,
)
TIMES = Picture(
    title="Time over batch sizes",
    data=times_data,
    draw=draw_times,
    caption=caption_times,
    alt=alt_times,
    table=table_times,
)
