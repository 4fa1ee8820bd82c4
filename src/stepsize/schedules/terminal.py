"""Schedules as text: a chart, a table, the list of all shapes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from stepsize.schedules.policy import COMPOSITIONS, SHAPES
from stepsize.schedules.schedule import Schedule
from stepsize.schedules.units import Run

_MARKS = "*o+x#@%&"


def chart(schedules: Mapping[str, Schedule], run: Run | int, *, width: int = 72, height: int = 17) -> str:
    """A chart in plain characters: one mark a schedule, rates on the left, updates below."""
    run = run if isinstance(run, Run) else Run(steps=run)
    columns = np.linspace(0, run.steps - 1, max(2, width)).round()
    curves = [schedule.resolve(run)(columns) for schedule in schedules.values()]
    top = max(float(curve.max()) for curve in curves) or 1.0
    grid = [[" "] * len(columns) for _ in range(height)]
    for index, curve in enumerate(curves):
        rows = np.clip(((1.0 - curve / top) * (height - 1)).round().astype(int), 0, height - 1)
        for column, row in enumerate(rows):
            grid[row][column] = _MARKS[index % len(_MARKS)]
    labels = {
        0: f"{top:.3g}",
        (height - 1) // 2: f"{top * (1 - ((height - 1) // 2) / (height - 1)):.3g}",
        height - 1: "0",
    }
    margin = max(map(len, labels.values()))
    lines = [f"{labels.get(row, ''):>{margin}} |{''.join(cells).rstrip()}" for row, cells in enumerate(grid)]
    last = str(run.steps - 1)
    lines.append(f"{'':>{margin}} +{'-' * len(columns)}")
    lines.append(f"{'':>{margin}}  0{last:>{len(columns) - 1}}")
    lines += [f"{'':>{margin}}  {_MARKS[index % len(_MARKS)]} {name}" for index, name in enumerate(schedules)]
    return "\n".join(lines)


def table(schedules: Mapping[str, Schedule], run: Run | int, *, rows: int = 11) -> str:
    """Rates at evenly spaced updates, one column a schedule."""
    run = run if isinstance(run, Run) else Run(steps=run)
    updates = np.unique(np.linspace(0, run.steps - 1, min(rows, run.steps)).round())
    columns = [["update", *(f"{int(update)}" for update in updates)]]
    for name, schedule in schedules.items():
        columns.append([name, *(f"{rate:.6g}" for rate in schedule.resolve(run)(updates))])
    widths = [max(map(len, column)) for column in columns]
    return "\n".join(
        "  ".join(f"{cell:>{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in zip(*columns, strict=True)
    )


def listing() -> str:
    """Every schedule by name, one line each."""
    lines = [f"{name:<14} {entry.summary}" for name, entry in sorted(SHAPES.items())]
    lines += [f"{name:<14} {(make.__doc__ or '').splitlines()[0]}" for name, make in COMPOSITIONS.items()]
    return "\n".join(lines)
