"""The two axes that most pictures share, rates and losses, and the marks on them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stepsize.report.numbers import number, rate, rate_ticks
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
    ticks = rate_ticks(low, high, most=5 if is_narrow(axes) else 9)
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


def loss_axis(axes: Axes, low: float, high: float, label: str) -> None:
    """A y axis over losses with a little room; logarithmic when they span more than a factor of 20."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

    if low > 0 and high / low > 20:
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
        axes.axvspan(low, high, color=colours.answer_soft, linewidth=0, zorder=0)
    axes.axvline(lr, color=colours.answer, linewidth=1.2, zorder=1)
    _note(axes, rate(lr), (lr, 1), (4, -3), va="top", color=colours.answer, fontweight="bold")


def danger_zone(axes: Axes, lr: float, colours: Colours, text: str) -> None:
    """Shade everything from a rate on, and say why: inside if there is room, left of it otherwise."""
    left, right = np.log(axes.get_xlim())
    if np.log(lr) >= right:
        return
    axes.axvspan(lr, np.exp(right), color=colours.danger_soft, linewidth=0, zorder=0)
    axes.axvline(lr, color=colours.danger, linewidth=1, linestyle=(0, (3, 2)), zorder=1)
    letters = 0.017 if not is_narrow(axes) else 0.036  # of the axes' width, each
    if (right - np.log(lr)) / (right - left) > letters * len(text):
        _note(axes, text, (lr, 0), (5, 5), ha="left", va="bottom", color=colours.danger)
    else:
        _note(axes, text, (lr, 0), (-5, 5), ha="right", va="bottom", color=colours.danger)


def _note(axes: Axes, text: str, at: tuple[float, float], offset: tuple[int, int], **options: Any) -> None:
    """Text beside a rate: `at` in data and axes fraction, `offset` in points."""
    axes.annotate(
        text, at, xycoords=("data", "axes fraction"), xytext=offset, textcoords="offset points", **options
    )


def gone(axes: Axes, lrs: Sequence[float], colours: Colours, **options: Any) -> None:
    """A cross at the upper edge for each run that has no loss to show."""
    axes.plot(lrs, np.full(len(lrs), 0.975), "x", color=colours.danger, markersize=5, markeredgewidth=1.3,
              transform=axes.get_xaxis_transform(), clip_on=False, **options)  # fmt: skip


def legend(axes: Axes, columns: int | None = None) -> None:
    """The key in rows above the picture, left-aligned; nothing is hidden under it."""
    handles, labels = axes.get_legend_handles_labels()
    if not handles:
        return
    wide = min(columns or len(handles), len(handles))
    columns = min(2, wide) if is_narrow(axes) else wide
    above = 22 / (72 * axes.get_figure(root=True).get_figheight())  # type: ignore[union-attr]
    axes.legend(handles, labels, loc="lower left", bbox_to_anchor=(0, 1 + 1.25 * above), ncols=columns)


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
