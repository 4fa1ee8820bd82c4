"""The price of being wrong: what a multiple of the advised rate would give up."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np

from stepsize._result import Result
from stepsize.decide.advice import Advice
from stepsize.report.axes import rate_axis
from stepsize.report.numbers import number, percent, rate
from stepsize.report.picture import Picture, Table
from stepsize.report.theme import Colours

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TALLEST = 0.5
"""Losing more than half of the progress is drawn at the top: how much more does not matter."""


class PriceData(msgspec.Struct, frozen=True, kw_only=True):
    """Share of the progress lost at each multiple of the rate, None where it was not measured or diverged."""

    lr: float
    factors: tuple[float, ...]
    losses: tuple[float | None, ...]
    regrets: tuple[float | None, ...]


def data(result: Result) -> PriceData | None:
    """The prices of an advice that names a rate."""
    if (
        not isinstance(result, Advice)
        or result.lr is None
        or not any(p.regret is not None for p in result.prices)
    ):
        return None
    prices = sorted(result.prices, key=lambda price: price.factor)
    return PriceData(
        lr=result.lr,
        factors=tuple(price.factor for price in prices),
        losses=tuple(price.loss for price in prices),
        regrets=tuple(price.regret for price in prices),
    )


def draw(axes: Axes, data: PriceData, colours: Colours) -> None:
    """A stem for each multiple, with its figure on top."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    factors = np.array(data.factors)
    rate_axis(axes, factors, "learning rate, as a multiple of the advice")
    low, high = axes.get_xlim()
    axes.set_xlim(low / 1.15, high * 1.15)
    axes.set_xticks(factors, [f"×{number(factor)}" for factor in factors])
    known = np.array([0.0 if regret is None else min(regret, TALLEST) for regret in data.regrets])
    top = max(float(known.max()), 0.01)
    axes.set_ylim(min(0.0, float(known.min())), 1.22 * top)
    axes.yaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 2.5, 5, 10]))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{number(100 * value)}%"))
    axes.set_title("progress lost", loc="left", fontsize=9, color=colours.muted, pad=6)
    for factor, height, regret in zip(factors, known, data.regrets, strict=True):
        advised = np.isclose(factor, 1)
        if regret is None:
            axes.plot(
                [factor], [0], "x", color=colours.danger, markersize=6, markeredgewidth=1.5, clip_on=False
            )
            label, colour = "no loss", colours.danger
        else:
            colour = colours.answer if advised else colours.ink
            axes.plot([factor, factor], [0, height], color=colours.line, linewidth=1.4)
            axes.plot([factor], [height], "o", color=colour, markersize=7, clip_on=False)
            label = percent(regret) if regret <= TALLEST else f"{percent(regret)} ↑"
        axes.annotate(
            label, (factor, height), xytext=(0, 8), textcoords="offset points", ha="center", color=colour
        )


def caption(data: PriceData) -> str:
    """What to see."""
    return (
        f"What other rates than {rate(data.lr)} are expected to give up, as a share of the progress "
        "from the loss at the start to the best. " + _steeper(data)
    ).strip()


def _steeper(data: PriceData) -> str:
    """On which side a mistake costs more, if both sides were measured at the same distance."""
    by_factor = dict(zip(data.factors, data.regrets, strict=True))
    for factor in sorted((f for f in by_factor if f > 1), reverse=True):
        other = next((f for f in by_factor if np.isclose(f * factor, 1)), None)
        if other is None:
            continue
        above, below = by_factor[factor], by_factor[other]
        if below is not None and above is None:
            return f"Too low is the safer side: at ×{number(factor)} there is no loss to report."
        if above is None or below is None or max(above, below) < 2 * max(min(above, below), 0.001):
            continue
        return "Too low is the safer side." if above > below else "Too high is the safer side."
    return ""


def alt(data: PriceData) -> str:
    """The picture in words."""
    parts = ", ".join(
        f"times {number(factor)}: {percent(regret) if regret is not None else 'not known'}"
        for factor, regret in zip(data.factors, data.regrets, strict=True)
    )
    return f"Share of the progress lost at multiples of the advised rate {rate(data.lr)}: {parts}."


def table(data: PriceData) -> Table:
    """Rate, loss and share lost at each multiple."""
    rows = tuple(
        (f"×{number(factor)}", rate(factor * data.lr), number(loss, 4), percent(regret))
        for factor, loss, regret in zip(data.factors, data.losses, data.regrets, strict=True)
    )
    return Table(("multiple", "learning rate", "expected loss", "progress lost"), rows)


PRICE = Picture(title="The price of being wrong", data=data, draw=draw, caption=caption, alt=alt, table=table)
