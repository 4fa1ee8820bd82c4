"""The two axes that most pictures share, rates and losses, and the marks on them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stepsize.report.numbers import count, number, rate, rate_ticks
from stepsize.report.theme import Colours

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NARROW = 4.5
"""Inches below which a picture is one for a phone: fewer ticks, narrower legends."""


def is_narrow(axes: Axes) -> bool:
    """Whether the picture is drawn for a phone."""
    return axes.get_figure(root=True).get_figwidth() < NARROW  # type: ignore[union-attr]


def rate_axis(axes: Axes, lrs: ArrayLike, label: str = "learning rate") -> None:
    """A logarithmic x axis over these rates, with rates as tick labels."""
    rates = np.asarray(lrs, dtype=np.float64)
    margin = (rates.max() / rates.min()) ** 0.02 if rates.max() > rates.min() else 1.5
    low, high = float(rates.min() / margin), float(rates.max() * margin)
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    ticks = rate_ticks(low, high, most=5 if is_narrow(axes) else 8)
    axes.set_xticks(ticks, [rate(tick) for tick in ticks])
    axes.set_xticks([], minor=True)
    axes.set_xlabel(label)


def count_axis(axes: Axes, most: float, label: str = "update") -> None:
    """A linear x axis from zero, with whole numbers."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axes.set_xlim(0, most)
    axes.xaxis.set_major_locator(MaxNLocator(4 if is_narrow(axes) else 8, steps=[1, 2, 5, 10], integer=True))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.set_xlabel(label)


def batch_axis(axes: Axes, sizes: Sequence[int]) -> None:
    """A logarithmic x axis with the batch sizes themselves as ticks."""
    axes.set_xscale("log")
    axes.set_xlim(min(sizes) / 1.25, max(sizes) * 1.25)
    shown = sorted(set(sizes))
    shown = shown[:: -(-len(shown) // (4 if is_narrow(axes) else 10))]
    axes.set_xticks(shown, [count(size) for size in shown])
    axes.set_xticks([], minor=True)
    axes.set_xlabel("batch size")


def loss_axis(axes: Axes, low: float, high: float, label: str) -> None:
    """A y axis over losses with a little room; logarithmic when they span more than a factor of 5."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

    if low > 0 and high / low > 5:
        axes.set_yscale("log")
        room = (high / low) ** 0.06
        low, high = low / room, high * room
        axes.yaxis.set_major_locator(FixedLocator([float(tick) for tick in rate_ticks(low, high, most=6)]))
        axes.yaxis.set_minor_locator(NullLocator())
    else:
        room = 0.06 * (high - low) or 0.06 * abs(high) or 1.0
        low, high = low - room, high + room
        axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
    axes.set_ylim(low, high)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: number(value, 4)))
    axes.set_title(label, loc="left", fontsize=9, color=axes.xaxis.label.get_color(), pad=6)


def answer_mark(
    axes: Axes, lr: float, colours: Colours, low: float | None = None, high: float | None = None
) -> None:
    """The advised rate as a line with its value, and its interval as a band."""
    if low is not None and high is not None:
        axes.axvspan(low, high, color=colours.answer_soft, linewidth=0, zorder=0, label="loses at most 1%")
    axes.axvline(lr, color=colours.answer, linewidth=1.2, zorder=1)
    left, right = np.log(axes.get_xlim())
    room = (math.log(lr) - left) / (
        right - left
    ) > 0.15  # left of the line is free, as the loss falls up to it
    axes.annotate(
        rate(lr),
        (lr, 1),
        xycoords=("data", "axes fraction"),
        xytext=(-4 if room else 4, -3),
        textcoords="offset points",
        ha="right" if room else "left",
        va="top",
        color=colours.answer,
        fontweight="bold",
    )


def danger_zone(axes: Axes, lr: float, colours: Colours, label: str) -> None:
    """Shade everything from a rate on."""
    right = axes.get_xlim()[1]
    if lr < right:
        axes.axvspan(lr, right, color=colours.danger_soft, linewidth=0, zorder=0, label=label)
        axes.axvline(lr, color=colours.danger, linewidth=1, linestyle=(0, (3, 2)), zorder=1)


def gone(axes: Axes, lrs: Sequence[float], colours: Colours) -> None:
    """A cross at the upper edge for each rate that has no loss to show."""
    if lrs:
        axes.plot(
            lrs,
            np.full(len(lrs), 0.97),
            "x",
            color=colours.danger,
            markersize=5,
            markeredgewidth=1.3,
            transform=axes.get_xaxis_transform(),
        )


LETTER, HANDLE, ROW, TITLE = 4.8, 30.0, 14.0, 22.0
"""Points that a letter, a key and a row of the legend take, and the axes' title below it."""


def legend(axes: Axes) -> None:
    """The key in rows above the picture, left-aligned, as many columns as fit; nothing is hidden under it."""
    from matplotlib.layout_engine import ConstrainedLayoutEngine
    from matplotlib.patches import Patch
    from matplotlib.transforms import ScaledTranslation

    keys = sorted(
        zip(*axes.get_legend_handles_labels(), strict=True), key=lambda key: isinstance(key[0], Patch)
    )
    if not keys:
        return
    handles, labels = zip(*keys, strict=True)
    figure = axes.get_figure(root=True)
    assert figure is not None  # axes that were removed have none
    room = 72 * figure.get_figwidth() - 34
    columns = next(n for n in range(len(labels), 0, -1) if n == 1 or _width(labels, n) <= room)
    rows = -(-len(labels) // columns)
    key = axes.legend(
        handles,
        labels,
        loc="lower left",
        bbox_to_anchor=(0, 1, 1, 0),
        bbox_transform=axes.transAxes + ScaledTranslation(0, TITLE / 72, figure.dpi_scale_trans),
        ncols=-(-len(labels) // rows),
    )
    key.set_in_layout(False)  # its width must not shrink the axes, so its height is set aside by hand
    if isinstance(engine := figure.get_layout_engine(), ConstrainedLayoutEngine):
        engine.set(rect=(0, 0, 1, 1 - (rows * ROW + 10) / (72 * figure.get_figheight())))


def _width(labels: Sequence[str], columns: int) -> float:
    """Points across when the labels fill columns from top to bottom, as matplotlib does."""
    rows = -(-len(labels) // columns)
    parts = [labels[i : i + rows] for i in range(0, len(labels), rows)]
    return sum(HANDLE + LETTER * max(map(len, part)) for part in parts)


def finite_range(
    *arrays: Iterable[float] | NDArray[np.float64], cap: float | None = None
) -> tuple[float, float]:
    """Smallest and largest finite value, the latter at most `cap` if that leaves a range."""
    values = np.concatenate([np.ravel(np.asarray(array, dtype=np.float64)) for array in arrays])
    values = values[np.isfinite(values)]
    if not values.size:
        return 0.0, 1.0
    low, high = float(values.min()), float(values.max())
    if cap is not None and math.isfinite(cap) and low < cap:
        high = min(high, cap)
    return low, high
