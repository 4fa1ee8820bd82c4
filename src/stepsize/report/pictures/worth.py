"""What each part of the answer is worth: the progress that is lost without it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from stepsize._result import Result
from stepsize.decide.training_advice import TrainingAdvice
from stepsize.report.axes import is_narrow
from stepsize.report.numbers import percent, short
from stepsize.report.picture import Picture, Table
from stepsize.report.theme import Colours

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LONGEST = 1.0
"""Intervals are drawn as far as all of the progress, either way."""


class WorthData(msgspec.Struct, frozen=True, kw_only=True):
    """Other choices with the share of the progress that each loses, None where it diverges, and intervals."""

    names: tuple[str, ...]
    lost: tuple[float | None, ...]
    lows: tuple[float | None, ...]
    highs: tuple[float | None, ...]
    words: tuple[str, ...]


def data(result: Result) -> WorthData | None:
    """Of an advice on training that prices its parts; the batch size, priced in time, is left to a table."""
    if not isinstance(result, TrainingAdvice):
        return None
    priced = [one for one in result.omissions if one.part != "batch size"]
    if not any(one.lost is not None for one in priced):
        return None
    return WorthData(
        names=tuple(f"{one.part} {short(one.instead)}" for one in priced),
        lost=tuple(one.lost for one in priced),
        lows=tuple(one.low for one in priced),
        highs=tuple(one.high for one in priced),
        words=tuple(one.words for one in priced),
    )


def draw(axes: Axes, data: WorthData, colours: Colours) -> None:
    """A dot for each, with its interval; the answer itself is the line at 0."""
    from matplotlib.ticker import MaxNLocator

    places = range(len(data.names), 0, -1)
    axes.axvline(0, color=colours.answer, linewidth=1.2)
    for place, name, lost, low, high in zip(
        places, data.names, data.lost, data.lows, data.highs, strict=True
    ):
        gone = lost is None
        axes.annotate(
            f"{name}: diverges" if gone else name,
            (0, place),
            xycoords=("axes fraction", "data"),
            xytext=(2, 4),
            textcoords="offset points",
            color=colours.danger if gone else colours.muted,
            fontsize="small",
            bbox={"facecolor": colours.paper, "edgecolor": "none", "pad": 1},
        )
        if lost is None:
            continue
        if low is not None and high is not None:
            axes.hlines(place, max(low, -LONGEST), min(high, LONGEST), color=colours.line, linewidth=2)
        axes.plot([min(lost, LONGEST)], [place], "o", color=colours.ink, markersize=5)
    axes.set_yticks([])
    axes.set_ylim(0.5, len(data.names) + 0.9)
    axes.xaxis.set_major_locator(MaxNLocator(5 if is_narrow(axes) else 7, steps=[1, 2, 5, 10]))
    axes.xaxis.set_major_formatter(lambda value, _: percent(value))
    axes.set_xlabel("share of the progress lost")
    title = "the answer is the line at 0"
    axes.set_title(title, loc="left", fontsize=9, color=axes.xaxis.label.get_color(), pad=6)


def caption(data: WorthData) -> str:
    """The dearest omission."""
    known = [(lost, name) for lost, name in zip(data.lost, data.names, strict=True) if lost is not None]
    lost, name = max(known)
    return f"Most is lost with {name}: {percent(lost) if lost < 1 else 'all of the progress'}."


def alt(data: WorthData) -> str:
    """The picture in words."""
    return f"Progress lost by {len(data.names)} other choices, with 95% intervals. {caption(data)}"


def table(data: WorthData) -> Table:
    """One row a choice."""
    return Table(("instead", "costs"), tuple(zip(data.names, data.words, strict=True)))


WORTH = Picture(title="What each part is worth", data=data, draw=draw, caption=caption, alt=alt, table=table)
