"""How the chapter's two kinds of pictures are drawn: lines over a pair of axes, and heights as contours."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np

from stepsize.chapter.result import Chapter, Drawing, Lines, Series, Surface
from stepsize.report.axes import batch_axis, count_axis, is_narrow, legend, rate_axis
from stepsize.report.figures import render
from stepsize.report.numbers import count, number, rate, rate_ticks
from stepsize.report.picture import Picture, Table
from stepsize.report.theme import THEMES, Colours, ThemeName

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DASHES: tuple[object, ...] = ("-", (0, (5, 2)), (0, (1.5, 1.5)), (0, (6, 2, 1.5, 2)), "-", (0, (3, 1)))
"""Lines are told apart by their dashes too, not by colour alone."""

MARKERS = "osD^vP"
ROWS = 6
"""Points of a line in the table behind its picture."""

BAND = 0.18


def palette(colours: Colours) -> tuple[str, ...]:
    """Colours of up to six lines, in their order."""
    return (
        colours.answer,
        colours.danger,
        colours.low_2,
        colours.ink,
        colours.high_2,
        colours.muted,
    )


def draw_lines(axes: Axes, data: Lines, colours: Colours) -> None:
    """Lines with their bands, marks and shaded stretches; the key above."""
    _x_axis(axes, data)
    shades = palette(colours)
    for span in data.spans:
        axes.axvspan(span.start, span.end, color=colours.answer_soft, linewidth=0, zorder=0, label=span.label)
    for i, series in enumerate(data.series):
        _line(axes, series, shades[i % len(shades)], i)
    _y_axis(axes, data)
    for mark in data.marks:
        axes.axvline(mark.x, color=colours.muted, linewidth=1, linestyle=(0, (3, 2)), zorder=1)
        axes.annotate(
            mark.label,
            (mark.x, 1),
            xycoords=("data", "axes fraction"),
            xytext=(4, -3),
            textcoords="offset points",
            va="top",
            color=colours.muted,
        )
    if len(data.series) > 1 or data.spans:
        legend(axes)


def _line(axes: Axes, series: Series, shade: str, number: int) -> None:
    x, y = (np.array(values, dtype=np.float64) for values in (series.x, series.y))
    if series.low:
        low, high = (np.array(values, dtype=np.float64) for values in (series.low, series.high))
        if series.style in ("line and dots", "dots"):
            axes.vlines(x, low, high, color=shade, linewidth=1)
        else:
            axes.fill_between(x, low, high, color=shade, alpha=BAND, linewidth=0)
    marker = MARKERS[number % len(MARKERS)] if "dots" in series.style else None
    axes.plot(
        x,
        y,
        color=shade,
        linestyle="none" if series.style == "dots" else DASHES[number % len(DASHES)],
        linewidth=1.7,
        marker=marker,
        markersize=4.5,
        drawstyle="steps-post" if series.style == "steps" else "default",
        label=series.label,
    )


def _x_axis(axes: Axes, data: Lines) -> None:
    xs = np.array([x for series in data.series for x in series.x if x is not None])
    low, high = (float(xs.min()), float(xs.max())) if xs.size else (0.0, 1.0)
    if data.x_scale == "count":
        count_axis(axes, high, data.x_label)
    elif data.x_scale == "rate":
        rate_axis(axes, xs, data.x_label)
    elif data.x_scale == "batch":
        batch_axis(axes, sorted({round(x) for series in data.series[:1] for x in series.x if x is not None}))
        axes.set_xlabel(data.x_label)
    elif data.x_scale == "log":
        axes.set_xscale("log")
        low = float(xs[xs > 0].min()) if (xs > 0).any() else 1.0
        axes.set_xlim(low, high)
        ticks = rate_ticks(low, high, most=4 if is_narrow(axes) else 8)
        axes.set_xticks(ticks, [f"{tick:,.0f}" if tick >= 1 else rate(tick) for tick in ticks])
        axes.set_xticks([], minor=True)
        axes.set_xlabel(data.x_label)
    else:
        margin = 0.02 * (high - low)
        axes.set_xlim(low - margin, high + margin)
        axes.set_xlabel(data.x_label)


def _y_axis(axes: Axes, data: Lines) -> None:
    from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

    ys = np.array([v for s in data.series for row in (s.y, s.low, s.high) for v in row if v is not None])
    low, high = (float(ys.min()), float(ys.max())) if ys.size else (0.0, 1.0)
    if data.y_range is not None:
        low, high = data.y_range
    if data.y_scale == "log":
        low = low if low > 0 else float(ys[ys > 0].min())
        room = (high / low) ** 0.04 if high > low else 2.0
        axes.set_yscale("log")
        low, high = low / room, high * room
        axes.yaxis.set_major_locator(FixedLocator([float(tick) for tick in rate_ticks(low, high, most=6)]))
        axes.yaxis.set_minor_locator(NullLocator())
    else:
        if data.y_range is None:
            room = 0.06 * (high - low) or 0.06 * abs(high) or 1.0
            low, high = low - room, high + room
        axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
    axes.set_ylim(low, high)
    share = "accuracy" in data.y_label
    axes.yaxis.set_major_formatter(
        FuncFormatter(lambda value, _: f"{100 * value:.4g}%" if share else number(value, 4))
    )
    axes.set_title(data.y_label, loc="left", fontsize=9, color=axes.xaxis.label.get_color(), pad=6)


def draw_surface(axes: Axes, data: Surface, colours: Colours) -> None:
    """Contours from low to high, labelled with heights, and the path over them."""
    z = np.array(data.z, dtype=np.float64)
    levels = np.unique(np.quantile(z, np.linspace(0.02, 0.98, 11)))
    drawn = axes.contour(data.x, data.y, z, levels=levels, colors=colours.low_1, linewidths=1.2)
    axes.clabel(drawn, levels[::2], fontsize=7, colors=colours.muted, fmt=lambda value: number(value, 4))
    if data.path_x:
        axes.plot(
            np.array(data.path_x, dtype=np.float64),
            np.array(data.path_y, dtype=np.float64),
            "o-",
            color=colours.danger,
            markersize=2.5,
            linewidth=1,
            label=data.path_label,
        )
        legend(axes)
    axes.grid(visible=False)
    axes.set_xlabel(data.x_label)
    axes.set_title(data.y_label, loc="left", fontsize=9, color=axes.xaxis.label.get_color(), pad=6)


def figure_of(data: Drawing, theme: ThemeName, width: float, height: float) -> Figure:
    """The picture as a figure of its own."""
    draw = draw_lines if isinstance(data, Lines) else draw_surface
    picture: Picture[Any] = Picture(
        title=data.title,
        data=lambda _: data,
        draw=draw,
        caption=lambda _: data.caption,
        alt=lambda _: data.alt,
        table=lambda _: table_of(data),
    )
    return render(picture, data, THEMES[theme], width, height)


def table_of(data: Drawing) -> Table:
    """The numbers behind a picture: some points of each line, or the heights at some places."""
    if isinstance(data, Surface):
        columns = tuple(np.unique(np.linspace(0, len(data.x) - 1, 5).round().astype(int)).tolist())
        rows = tuple(np.unique(np.linspace(0, len(data.y) - 1, 5).round().astype(int)).tolist())
        head = (f"{data.z_label} at", *(number(data.x[c]) for c in columns))
        return Table(
            head, tuple((number(data.y[r]), *(number(data.z[r][c], 4) for c in columns)) for r in rows)
        )
    body = []
    for series in data.series:
        at = np.unique(np.linspace(0, len(series.x) - 1, min(ROWS, len(series.x))).round().astype(int))
        for i in at.tolist():
            spread = f"{number(series.low[i], 4)} to {number(series.high[i], 4)}" if series.low else "–"
            x = series.x[i]
            whole = data.x_scale in ("count", "batch") and x is not None
            body.append(
                (series.label, count(x or 0) if whole else number(x, 4), number(series.y[i], 4), spread)
            )
    return Table(("line", data.x_label, data.y_label, "band"), tuple(body))


def draw_named(
    chapter: Chapter,
    path: str | os.PathLike[str] | None = None,
    *,
    name: str | None = None,
    theme: ThemeName = "light",
    width: float = 7.2,
    height: float = 4.0,
) -> Figure:
    """One picture of the chapter, saved if a path is given."""
    known = {d.name: d for section in chapter.sections for d in section.findings.drawings}
    if not known:
        raise ValueError("this Chapter holds nothing to draw")
    if name is not None and name not in known:
        raise ValueError(f"name must be one of {list(known)}, but got {name!r}")
    if theme not in THEMES:
        raise ValueError(f"theme must be one of {list(THEMES)}, but got {theme!r}")
    drawn = figure_of(known[name or next(iter(known))], theme, width, height)
    if path is not None:
        drawn.savefig(path)
    return drawn
