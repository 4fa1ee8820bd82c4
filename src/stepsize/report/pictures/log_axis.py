"""A logarithmic axis between two ends, with round numbers as ticks however near the ends are."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

from stepsize.report.axes import is_narrow
from stepsize.report.numbers import number, rate_ticks

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def log_axis(
    axes: Axes, which: Literal["x", "y"], low: float, high: float, write: Callable[[float], str] = number
) -> None:
    """Make one of the axes run from `low` to `high`, both above 0, with ticks as `write` writes them."""
    axes.set(**{f"{which}scale": "log", f"{which}lim": (low, high)})
    ticks = [float(tick) for tick in rate_ticks(low, high, most=5 if is_narrow(axes) else 7)]
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_ticks(ticks, [write(tick) for tick in ticks])
    axis.set_ticks([], minor=True)


def y_title(axes: Axes, text: str) -> None:
    """What the y axis shows, above it, where it is read without turning the head."""
    axes.set_title(text, loc="left", fontsize=9, color=axes.xaxis.label.get_color(), pad=6)
