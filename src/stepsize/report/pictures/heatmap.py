"""Rate by batch size: what each pair costs against the best, as shades of a grid."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import msgspec
import numpy as np

from stepsize._result import Result
from stepsize.decide.batch_advice import BatchAdvice
from stepsize.decide.critical_batch_result import BatchRow, CriticalBatch
from stepsize.decide.scale_result import BestRate, RateScaling
from stepsize.decide.training_advice import TrainingAdvice
from stepsize.report.axes import is_narrow, legend, rate_axis
from stepsize.report.numbers import count, loss_name, number, percent, plural, rate
from stepsize.report.picture import Picture, Table
from stepsize.report.pictures.log_axis import y_title
from stepsize.report.theme import Colours
from stepsize.runs.table import Runs

if TYPE_CHECKING:
    from matplotlib.axes import Axes

State = Literal["measured", "worse than the start", "diverged", "not reached", "stopped", "missing"]
"""What became of a cell. `stopped` was left out by a halving, `missing` was not trained."""

SIGNS: dict[State, str] = {"diverged": "x", "worse than the start": "+", "not reached": "_", "stopped": "|"}
"""Marks that do without colour."""

Quantity = Literal["loss", "updates"]

LEVELS: dict[Quantity, tuple[tuple[float, str], ...]] = {
    "loss": ((0.01, "≤ 1% lost"), (0.05, "≤ 5%"), (0.2, "≤ 20%"), (0.5, "≤ 50%"), (np.inf, "more")),
    "updates": ((1.1, "≤ 1.1 × the fewest"), (1.5, "≤ 1.5"), (2.0, "≤ 2"), (4.0, "≤ 4"), (np.inf, "more")),
}
"""Up to where each shade goes, strongest first: the share of the progress that is lost against the best
loss, or the updates as a multiple of the fewest."""

FONT = 7.5
"""Points of the values within cells; left out where a cell is too small to hold them."""


ALONE = 0.2
"""Half the width, in ln(rate), of the cell of a batch size with one rate."""


class Cell(msgspec.Struct, frozen=True, kw_only=True):
    """A rate at a batch size: the value measured, and how far it is `behind` as `LEVELS` has it."""

    lr: float
    state: State
    value: float | None = None
    behind: float | None = None


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """A batch size with its cells, rates rising, and the place of its best one."""

    batch_size: int
    cells: tuple[Cell, ...]
    best: int | None


class HeatmapData(msgspec.Struct, frozen=True, kw_only=True):
    """Batch sizes rising. `within` tells whether a cell is measured against the best of its own batch size
    or of all; `what` is the quantity in words.
    """

    rows: tuple[Row, ...]
    quantity: Quantity
    what: str
    within: Literal["batch size", "all"]


def data(result: Result) -> HeatmapData | None:
    """Of a grid of at least two rates by two batch sizes, or of the searches at several batch sizes."""
    if isinstance(result, Runs):
        return _whole(_of_runs(result))
    if isinstance(result, RateScaling):
        return _whole(_of_scaling(result))
    if isinstance(result, TrainingAdvice):
        found: Result | None = result.batch
    else:
        found = result
    critical = found.critical if isinstance(found, BatchAdvice) else found
    return _whole(_of_critical(critical)) if isinstance(critical, CriticalBatch) else None


def _whole(data: HeatmapData | None) -> HeatmapData | None:
    """The data, unless there is nothing to compare."""
    if data is None or len(data.rows) < 2 or all(row.best is None for row in data.rows):
        return None
    return data if len({cell.lr for row in data.rows for cell in row.cells}) > 1 else None


def _of_runs(runs: Runs) -> HeatmapData | None:
    """The schedule of the best run; progress is that from the mean loss at the start to the lowest of all."""
    best = runs.best()
    if best is None or best.mean is None:
        return None
    starts = [run.val_loss[0] for run in runs.runs if run.evaluated_at[0] == 0]
    start = float(np.mean(starts)) if starts else np.nan
    if not start > best.mean:
        return None
    found = {(s.arm.batch_size, s.arm.lr): s for s in runs.summary() if s.arm.schedule == best.arm.schedule}
    lrs = sorted({lr for _, lr in found})
    rows = []
    for size in sorted({size for size, _ in found}):
        cells = []
        for lr in lrs:
            end = found.get((size, lr))
            if end is None:
                cells.append(Cell(lr=lr, state="missing"))
            elif end.mean is None:
                cells.append(Cell(lr=lr, state="diverged"))
            else:
                cells.append(_cell(lr, end.mean, best.mean, start, stopped=end.stopped))
        rows.append(_row(size, cells))
    what = f"{loss_name(runs.loss_kind)} at the end"
    return HeatmapData(rows=tuple(rows), quantity="loss", what=what, within="all")


def _of_scaling(found: RateScaling) -> HeatmapData | None:
    """Each batch size against its own best: they were trained for different numbers of updates."""
    rows = [row for one in found.measured if (row := _of_best_rate(one)) is not None]
    what = "held-out loss at the end"
    return HeatmapData(rows=tuple(rows), quantity="loss", what=what, within="batch size")


def _of_best_rate(one: BestRate) -> Row | None:
    finite = one.losses[np.isfinite(one.losses)]
    if one.start_loss is None or not finite.size or not finite.min() < one.start_loss:
        return None
    best, start = float(finite.min()), one.start_loss
    cells = [
        _cell(lr, loss, best, start) if np.isfinite(loss) else Cell(lr=lr, state="diverged")
        for lr, loss in zip(one.lrs.tolist(), one.losses.tolist(), strict=True)
    ]
    return _row(one.batch_size, cells)


def _cell(lr: float, loss: float, best: float, start: float, *, stopped: bool = False) -> Cell:
    """A cell with a loss, and the share of the progress from `start` to `best` that it lacks."""
    state: State = "worse than the start" if loss >= start else "stopped" if stopped else "measured"
    return Cell(lr=lr, state=state, value=loss, behind=(loss - best) / (start - best))


def _of_critical(found: CriticalBatch) -> HeatmapData | None:
    """Updates to the hardest target, each batch size against its own best."""
    if not found.targets:
        return None
    target = found.targets[-1]
    rows = tuple(_of_batch(row) for row in target.rows if row.lrs)
    what = f"updates to a loss of {number(target.loss)}"
    return HeatmapData(rows=rows, quantity="updates", what=what, within="batch size")


def _of_batch(row: BatchRow) -> Row:
    fewest = min((updates for updates in row.updates_by_lr if updates is not None), default=1.0)
    cells = []
    for lr, updates in zip(row.lrs, row.updates_by_lr, strict=True):
        if updates is not None:
            cells.append(Cell(lr=lr, state="measured", value=updates, behind=updates / fewest))
        else:
            cells.append(Cell(lr=lr, state="diverged" if lr in row.diverged else "not reached"))
    return _row(row.batch_size, cells)


def _row(size: int, cells: Sequence[Cell]) -> Row:
    known = [
        (cell.value, place)
        for place, cell in enumerate(cells)
        if cell.state == "measured" and cell.value is not None
    ]
    return Row(batch_size=size, cells=tuple(cells), best=min(known)[1] if known else None)


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


def level_of(quantity: Quantity, behind: float) -> int:
    """The place of the shade in `LEVELS`."""
    return next(i for i, (limit, _) in enumerate(LEVELS[quantity]) if behind <= limit * (1 + 1e-9))


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
