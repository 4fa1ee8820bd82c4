"""The price of being wrong: what a multiple of the advised rate would give up."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np

from stepsize._result import Result
from stepsize.decide.advice import Advice
from stepsize.estimate import loss_at, mean_over_seeds
from stepsize.report.axes import danger_zone, legend, rate_axis
from stepsize.report.numbers import number, percent, rate
from stepsize.report.picture import Picture, Table
from stepsize.report.pictures.range_test import finite_or_none
from stepsize.report.theme import Colours

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TALLEST = 0.12
"""A loss of more than this share of the progress runs out of the picture: how much more does not matter."""

POINTS = 121
"""Places at which the loss between rehearsed rates is drawn."""


class PriceData(msgspec.Struct, frozen=True, kw_only=True):
    """Share of the progress lost over multiples of the rate, None where it is not known or a run diverged.

    `at` and `lost` are the line, `rehearsed` and `rehearsed_lost` the rates that were tried, and `factors`,
    `losses` and `regrets` the multiples that the advice prices.
    """

    lr: float
    at: tuple[float, ...]
    lost: tuple[float | None, ...]
    rehearsed: tuple[float, ...]
    rehearsed_lost: tuple[float | None, ...]
    factors: tuple[float, ...]
    losses: tuple[float | None, ...]
    regrets: tuple[float | None, ...]
    cliff: float | None


def data(result: Result) -> PriceData | None:
    """The prices of an advice that names a rate, and the line between them from its last rehearsal."""
    if not isinstance(result, Advice) or result.lr is None or not result.rehearsals:
        return None
    last = result.rehearsals[-1]
    order = np.argsort(last.lrs)
    lrs, mean = last.lrs[order], mean_over_seeds(last.losses)[order]
    start, best = result.start_loss, float(mean.min())
    if start is None or not np.isfinite(best) or not best < start:
        return None
    at = np.geomspace(lrs[0], lrs[-1], POINTS)
    prices = sorted(result.prices, key=lambda price: price.factor)
    beyond = lrs[(mean >= start) & (lrs > result.lr)]
    return PriceData(
        lr=result.lr,
        at=tuple((at / result.lr).tolist()),
        lost=finite_or_none((loss_at(lrs, mean, at) - best) / (start - best)),
        rehearsed=tuple((lrs / result.lr).tolist()),
        rehearsed_lost=finite_or_none((mean - best) / (start - best)),
        factors=tuple(price.factor for price in prices),
        losses=tuple(price.loss for price in prices),
        regrets=tuple(price.regret for price in prices),
        cliff=float(beyond[0] / result.lr) if beyond.size else None,
    )


def draw(axes: Axes, data: PriceData, colours: Colours) -> None:
    """A line over multiples of the advice, dots where a rate was rehearsed, rings where it is priced."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    rate_axis(axes, [*data.rehearsed, *data.factors], "learning rate, as a multiple of the advice")
    ticks = axes.get_xticks()
    axes.set_xticks(ticks, [f"×{number(tick)}" for tick in ticks])
    known = [lost for lost in (*data.rehearsed_lost, *data.regrets) if lost is not None]
    top = min(max(*known, 0.02), TALLEST)
    axes.set_ylim(0, 1.15 * top)
    axes.yaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 2.5, 5, 10]))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{number(100 * value)}%"))
    axes.set_title("progress lost", loc="left", fontsize=9, color=colours.muted, pad=6)
    if data.cliff is not None:
        danger_zone(axes, data.cliff, colours, "worse than the start")
        legend(axes)
    axes.axvline(1, color=colours.answer, linewidth=1.2, zorder=1)
    axes.plot(data.at, np.array(data.lost, dtype=np.float64), color=colours.ink, linewidth=2, zorder=3)
    tried = np.array(data.rehearsed_lost, dtype=np.float64)
    axes.plot(data.rehearsed, tried, "o", color=colours.ink, markersize=4, zorder=3)
    for factor, regret in zip(data.factors, data.regrets, strict=True):
        if regret is not None and regret <= 1.1 * top and not np.isclose(factor, 1):
            _ring(axes, factor, regret, colours)


def _ring(axes: Axes, factor: float, regret: float, colours: Colours) -> None:
    """A priced multiple, its figure beside it on the side of the advice."""
    axes.plot(
        [factor],
        [regret],
        "o",
        color=colours.paper,
        markersize=8,
        markeredgecolor=colours.ink,
        markeredgewidth=1.6,
        zorder=4,
    )
    right = factor < 1
    axes.annotate(
        f"×{number(factor)} loses {percent(regret)}",
        (factor, regret),
        xytext=(9 if right else -9, 3),
        textcoords="offset points",
        ha="left" if right else "right",
        va="bottom",
    )


def caption(data: PriceData) -> str:
    """What to see."""
    return (
        f"What other rates than {rate(data.lr)} are expected to give up, as a share of the progress "
        "from the loss at the start to the best. " + _steeper(data)
    ).strip()


def _steeper(data: PriceData) -> str:
    """On which side a mistake costs more, where both sides were measured at the same distance."""
    if data.cliff is not None:
        return f"From ×{number(data.cliff)} on nothing is learned, so too low is the safer side."
    by_factor = dict(zip(data.factors, data.regrets, strict=True))
    for factor in sorted((factor for factor in by_factor if factor > 1), reverse=True):
        other = next((below for below in by_factor if np.isclose(below * factor, 1)), None)
        if other is None:
            continue
        above, below = by_factor[factor], by_factor[other]
        if above is not None and below is not None and max(above, below) >= 2 * max(min(above, below), 0.001):
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
