"""What a map of rate by batch size shows: cells with what they cost against the best, out of four results."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec
import numpy as np

from stepsize._result import Result
from stepsize.decide.batch_advice import BatchAdvice
from stepsize.decide.critical_batch_result import BatchRow, CriticalBatch
from stepsize.decide.scale_result import BestRate, RateScaling
from stepsize.decide.training_advice import TrainingAdvice
from stepsize.report.numbers import loss_name, number
from stepsize.runs.table import Runs

State = Literal["measured", "worse than the start", "diverged", "not reached", "stopped", "missing"]
"""What became of a cell. `stopped` was left out by a halving, `missing` was not trained."""

Quantity = Literal["loss", "updates"]

LEVELS: dict[Quantity, tuple[tuple[float, str], ...]] = {
    "loss": ((0.01, "≤ 1% lost"), (0.05, "≤ 5%"), (0.2, "≤ 20%"), (0.5, "≤ 50%"), (np.inf, "more")),
    "updates": ((1.1, "≤ 1.1 × the fewest"), (1.5, "≤ 1.5"), (2.0, "≤ 2"), (4.0, "≤ 4"), (np.inf, "more")),
}
"""Up to where each shade goes, strongest first: the share of the progress that is lost against the best
loss, or the updates as a multiple of the fewest."""


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


def level_of(quantity: Quantity, behind: float) -> int:
    """The place of the shade in `LEVELS`."""
    return next(i for i, (limit, _) in enumerate(LEVELS[quantity]) if behind <= limit * (1 + 1e-9))
