"""Best rates over batch sizes: measured, as the law goes on, and what the two simple rules would say."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from stepsize._result import Result
from stepsize.decide.scale_result import RateScaling
from stepsize.report.axes import batch_axis, legend, loss_axis
from stepsize.report.numbers import count, rate
from stepsize.report.picture import Picture, Table
from stepsize.report.theme import Colours

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class ScalingData(msgspec.Struct, frozen=True, kw_only=True):
    """Measured batch sizes with their best rates and ends; the law's rates with theirs at further sizes."""

    sizes: tuple[int, ...]
    lrs: tuple[float, ...]
    lows: tuple[float, ...]
    highs: tuple[float, ...]
    law: str
    law_sizes: tuple[int, ...]
    law_lrs: tuple[float, ...]
    law_lows: tuple[float, ...]
    law_highs: tuple[float, ...]
    regimes: tuple[str, ...]
    from_batch: int
    to_batch: int


def data(result: Result) -> ScalingData | None:
    """Of rates that were measured at some batch size."""
    if not isinstance(result, RateScaling) or not result.measured:
        return None
    rows, law = result.measured, result.regimes
    return ScalingData(
        sizes=tuple(row.batch_size for row in rows),
        lrs=tuple(row.lr for row in rows),
        lows=tuple(row.low for row in rows),
        highs=tuple(row.high for row in rows),
        law=result.law,
        law_sizes=tuple(row.batch_size for row in law),
        law_lrs=tuple(row.lr for row in law),
        law_lows=tuple(row.low for row in law),
        law_highs=tuple(row.high for row in law),
        regimes=tuple(row.regime for row in law),
        from_batch=result.from_batch,
        to_batch=result.to_batch,
    )


def draw(axes: Axes, data: ScalingData, colours: Colours) -> None:
    """Dots with intervals, the law with its band, and the rules linear and square root as thin lines."""
    if data.law_sizes:
        axes.fill_between(
            data.law_sizes, data.law_lows, data.law_highs, color=colours.answer, alpha=0.15, linewidth=0
        )
        axes.plot(data.law_sizes, data.law_lrs, color=colours.answer, linewidth=1.2, label="law and 95%")
        start = data.law_lrs[data.law_sizes.index(data.from_batch)]
        for power, style, name in ((1.0, (0, (3, 2)), "in proportion"), (0.5, (0, (1, 2)), "square root")):
            lrs = [start * (size / data.from_batch) ** power for size in data.law_sizes]
            axes.plot(data.law_sizes, lrs, color=colours.danger, linewidth=1, linestyle=style, label=name)
    axes.vlines(data.sizes, data.lows, data.highs, color=colours.ink, linewidth=1.2)
    axes.plot(data.sizes, data.lrs, "o", color=colours.ink, markersize=4, label="measured")
    batch_axis(axes, data.law_sizes or data.sizes)
    lows, highs = (*data.lows, *data.law_lows), (*data.highs, *data.law_highs)
    loss_axis(axes, min(lows) / 1.5, max(highs) * 1.5, "best learning rate")
    legend(axes)


def caption(data: ScalingData) -> str:
    """How the best rate goes with the batch."""
    text = (
        f"The best rate went from {rate(data.lrs[0])} at batch {count(data.sizes[0])} "
        f"to {rate(data.lrs[-1])} at batch {count(data.sizes[-1])}."
    )
    if not data.law_sizes:
        return text
    known = [
        f"{regime} at {count(size)}"
        for size, regime in zip(data.law_sizes, data.regimes, strict=True)
        if regime != "undetermined"
    ]
    named = f" Regimes: {', '.join(known)}." if known else " No regime can be named for sure."
    return f"{text} Law: {data.law}.{named}"


def alt(data: ScalingData) -> str:
    """The picture in words."""
    return f"Best learning rate over {len(data.sizes)} batch sizes, both axes logarithmic. {caption(data)}"


def table(data: ScalingData) -> Table:
    """One row a batch size of the law; of the measured ones where there is none."""
    if not data.law_sizes:
        rows = tuple(
            (count(size), rate(lr), f"{rate(low)} to {rate(high)}", "–")
            for size, lr, low, high in zip(data.sizes, data.lrs, data.lows, data.highs, strict=True)
        )
    else:
        rows = tuple(
            (count(size), rate(lr), f"{rate(low)} to {rate(high)}", regime)
            for size, lr, low, high, regime in zip(
                data.law_sizes, data.law_lrs, data.law_lows, data.law_highs, data.regimes, strict=True
            )
        )
    return Table(("batch", "best rate", "95% interval", "regime"), rows)


SCALING = Picture(
    title="Best rate over batch sizes", data=data, draw=draw, caption=caption, alt=alt, table=table
)
