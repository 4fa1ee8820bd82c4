"""Rate by batch size: what each pair costs against the best, as shades of a grid."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from stepsize._words import plural
from stepsize.report.axes import is_narrow, legend, rate_axis
from stepsize.report.numbers import count, number, percent, rate
from stepsize.report.picture import Picture, Table
from stepsize.report.pictures.grid import LEVELS, Cell, HeatmapData, Quantity, State, data, level_of
from stepsize.report.pictures.log_axis import y_title
from stepsize.report.theme import Colours

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SIGNS: dict[State, str] = {"diverged": "x", "worse than the start": "+", "not reached": "_", "stopped": "|"}
"""Marks that do without colour."""

FONT = 7.5
"""Points of the values within cells; left out where a cell is too small to hold them."""

ALONE = 0.2
"""Half the width, in ln(rate), of the cell of a batch size with one rate."""


def draw(axes: Axes, data: HeatmapData, colours: Colours) -> None:
    """A cell a pair, darker the better; its value where there is room, and a frame about each row's best."""
    edges = [_edges([cell.lr for cell in row.cells]) for row in data.rows]
    rate_axis(axes, [float(one[0]) for one in edges] + [float(one[-1]) for one in edges])
    axes.set_xlim(min(one[0] for one in edges), max(one[-1] for one in edges))
    axes.set_ylim(-0.5, len(data.rows) - 0.5)
    axes.set_yticks(range(len(data.rows)), [count(row.batch_size) for row in data.rows])
    axes.grid(visible=False)
    shades = (colours.answer, colours.low_1, colours.low_2, colours.low_3, colours.answer_soft)
    write = _fits(axes, data, edges)
    inside = f" (in the cells: {data.quantity if is_narrow(axes) else data.what})"
    y_title(axes, f"batch size{inside if write else ''}")
    for place, (row, ends) in enumerate(zip(data.rows, edges, strict=True)):
        for cell, left, right in zip(row.cells, ends[:-1], ends[1:], strict=True):
            if cell.state == "missing":
                continue
            known = cell.state == "measured"
            level = level_of(data.quantity, cell.behind) if known and cell.behind is not None else None
            lost = colours.grid if cell.state in ("not reached", "stopped") else colours.danger_soft
            shade = lost if level is None else shades[level]
            axes.barh(place, right - left, 1, left, color=shade, edgecolor=colours.paper, linewidth=0.8)
            if level is not None and cell.value is not None and write:
                axes.text(
                    float(np.sqrt(left * right)),
                    place,
                    _written(data, cell.value),
                    ha="center",
                    va="center",
                    fontsize=FONT,
                    color=colours.paper if level < 2 else colours.ink,
                )
    _signs(axes, data, edges, colours)
    _frames(axes, data, edges, colours)
    shown = {
        level_of(data.quantity, cell.behind)
        for row in data.rows
        for cell in row.cells
        if cell.state == "measured" and cell.behind is not None
    }
    for level in sorted(shown):
        axes.barh(np.nan, 1, color=shades[level], label=LEVELS[data.quantity][level][1])
    legend(axes)


def _signs(axes: Axes, data: HeatmapData, edges: Sequence[np.ndarray], colours: Colours) -> None:
    """A mark in each cell that has no shade, by what became of it."""
    for state, sign in SIGNS.items():
        places = [
            (float(np.sqrt(ends[i] * ends[i + 1])), place)
            for place, (row, ends) in enumerate(zip(data.rows, edges, strict=True))
            for i, cell in enumerate(row.cells)
            if cell.state == state
        ]
        if places:
            lost = state in ("diverged", "worse than the start")
            colour = colours.danger if lost else colours.muted
            x, y = zip(*places, strict=True)
            axes.plot(x, y, sign, color=colour, markersize=6, markeredgewidth=1.5, label=state)


def _frames(axes: Axes, data: HeatmapData, edges: Sequence[np.ndarray], colours: Colours) -> None:
    """A frame about the best cell of each batch size."""
    label = "best of a batch size"
    for place, (row, ends) in enumerate(zip(data.rows, edges, strict=True)):
        if row.best is None:
            continue
        left, right = ends[row.best], ends[row.best + 1]
        axes.plot(
            [left, right, right, left, left],
            np.array([-0.5, -0.5, 0.5, 0.5, -0.5]) + place,
            color=colours.ink,
            linewidth=2,
            solid_joinstyle="miter",
            clip_on=False,
            zorder=4,
            label=label,
        )
        label = "_nolegend_"


def _edges(lrs: Sequence[float]) -> np.ndarray:
    """Ends of the cells, half-way between neighbouring rates on a log scale."""
    logs = np.log(lrs)
    half = np.diff(logs) / 2 if len(logs) > 1 else np.array([ALONE])
    edges: np.ndarray = np.exp(
        np.concatenate([[logs[0] - half[0]], logs[:-1] + half[: len(logs) - 1], [logs[-1] + half[-1]]])
    )
    return edges


def _written(data: HeatmapData, value: float) -> str:
    return count(value) if data.quantity == "updates" else number(value)


def _fits(axes: Axes, data: HeatmapData, edges: Sequence[np.ndarray]) -> bool:
    """Whether every value has room in its cell, across and down."""
    figure = axes.get_figure(root=True)
    assert figure is not None  # axes that were removed have none
    wide, high = (72 * inches for inches in figure.get_size_inches())
    low, top = axes.get_xlim()
    per_log = 0.88 * wide / np.log(top / low)
    narrowest = min(float(np.diff(np.log(ends)).min()) for ends in edges) * per_log
    longest = max(
        (
            len(_written(data, cell.value))
            for row in data.rows
            for cell in row.cells
            if cell.value is not None
        ),
        default=0,
    )
    return bool(0.65 * FONT * longest < narrowest and 0.7 * high / len(data.rows) > 1.5 * FONT)


def caption(data: HeatmapData) -> str:
    """Where the best rate goes with the batch size, and what the shades say."""
    best = [(row.batch_size, row.cells[row.best].lr) for row in data.rows if row.best is not None]
    (small, low), (large, high) = best[0], best[-1]
    if small == large:
        text = f"Only at batch {count(small)} was there a best rate, {rate(low)}."
    elif low == high:
        text = (
            f"The best of the rates tried is {rate(low)} at batch {count(small)} and at {count(large)} alike."
        )
    else:
        text = (
            f"The best rate goes from {rate(low)} at batch {count(small)} to {rate(high)} at batch "
            f"{count(large)}."
        )
    against = "of all" if data.within == "all" else "at its batch size"
    told = "loses less of the progress" if data.quantity == "loss" else "takes fewer updates"
    text += f" The stronger the blue, the nearer a pair comes to the best {against}: it {told}."
    lost = sum(cell.state == "diverged" for row in data.rows for cell in row.cells)
    return f"{text} {plural(lost, 'pair')} diverged." if lost else text


def alt(data: HeatmapData) -> str:
    """The picture in words."""
    best = "; ".join(
        f"batch {count(row.batch_size)}: best at {rate(row.cells[row.best].lr)}"
        if row.best is not None
        else f"batch {count(row.batch_size)}: none"
        for row in data.rows
    )
    return f"Grid of learning rate by batch size, shaded by {data.what}. {best}."


def table(data: HeatmapData) -> Table:
    """One row a pair."""
    rows = tuple(
        (
            count(row.batch_size),
            rate(cell.lr),
            cell.state if cell.value is None else number(cell.value, 4),
            _behind(data.quantity, cell),
        )
        for row in data.rows
        for cell in row.cells
    )
    against = "progress lost" if data.quantity == "loss" else "times the fewest"
    return Table(("batch", "learning rate", data.what, against), rows)


def _behind(quantity: Quantity, cell: Cell) -> str:
    if cell.behind is None:
        return "–"
    text = percent(cell.behind) if quantity == "loss" else number(cell.behind)
    return text if cell.state == "measured" else f"{text}, {cell.state}"


HEATMAP = Picture(title="Rate by batch size", data=data, draw=draw, caption=caption, alt=alt, table=table)
