"""Pieces that many sections share: curves and ends of runs as plain numbers, and their words."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import ArrayLike

from stepsize.chapter.result import Estimate, Series, Style, Values
from stepsize.chapter.rules import Difference, mean_and_interval
from stepsize.report.numbers import number
from stepsize.runs import Runs
from stepsize.runs.statistics import Arm

POINTS = 240
"""Points of a line at most: more than a phone's picture has pixels between them."""


def values(array: ArrayLike) -> Values:
    """Numbers with None for what is not finite."""
    return tuple(float(v) if math.isfinite(v) else None for v in np.asarray(array, dtype=np.float64).ravel())


def thin(*arrays: ArrayLike, points: int = POINTS) -> tuple[np.ndarray, ...]:
    """The arrays at the same evenly spaced places, ends included."""
    columns = [np.asarray(array) for array in arrays]
    at = np.unique(np.linspace(0, len(columns[0]) - 1, min(points, len(columns[0]))).round().astype(int))
    return tuple(column[at] for column in columns)


def line(label: str, x: ArrayLike, y: ArrayLike, *, style: Style = "line") -> Series:
    """A line without intervals, thinned."""
    xs, ys = thin(x, y)
    return Series(label=label, x=values(xs), y=values(ys), style=style)


def band(label: str, x: ArrayLike, rows: ArrayLike, *, style: Style = "line") -> Series:
    """The mean over seeds of rows (S, P), with the lowest and the highest seed as its band."""
    found = np.asarray(rows, dtype=np.float64)
    gone = ~np.isfinite(found).all(axis=0)
    with np.errstate(invalid="ignore"):
        mean, low, high = (np.where(gone, np.nan, f(found)) for f in (_mean, _low, _high))
    xs, mean, low, high = thin(x, mean, low, high)
    return Series(label=label, x=values(xs), y=values(mean), low=values(low), high=values(high), style=style)


def _mean(rows: np.ndarray) -> np.ndarray:
    return np.asarray(rows.mean(axis=0))


def _low(rows: np.ndarray) -> np.ndarray:
    return np.asarray(rows.min(axis=0))


def _high(rows: np.ndarray) -> np.ndarray:
    return np.asarray(rows.max(axis=0))


def arm_of(runs: Runs, lr: float, batch_size: int | None = None, schedule: str | None = None) -> Arm:
    """The one arm with this rate (at this batch size and schedule)."""
    found = [
        arm
        for arm in runs.arms
        if arm.lr == lr and batch_size in (None, arm.batch_size) and schedule in (None, arm.schedule)
    ]
    assert len(found) == 1, (lr, batch_size, schedule, list(runs.arms))
    return found[0]


def finals(runs: Runs, arm: Arm, by: str = "accuracy") -> np.ndarray:
    """Final values over seeds, (S,), NaN where a run diverged."""
    return np.array([run.final(by) for run in runs.arms[arm]])


def curves(runs: Runs, arm: Arm, by: str = "accuracy") -> tuple[np.ndarray, np.ndarray]:
    """Updates (E,) and values (S, E) of an arm."""
    members = runs.arms[arm]
    rows = np.array([run.val_loss if by == "val_loss" else run.metrics[by] for run in members])
    return members[0].evaluated_at, rows


def estimate(name: str, seeds: ArrayLike, unit: str = "") -> Estimate:
    """A mean over seeds with its interval."""
    found = np.asarray(seeds, dtype=np.float64)
    mean, low, high = mean_and_interval(found)
    return Estimate(
        name=name, value=_known(mean), low=_known(low), high=_known(high), seeds=len(found), unit=unit
    )


def apart(name: str, found: Difference, unit: str = "") -> Estimate:
    """A difference with its interval."""
    return Estimate(
        name=name,
        value=_known(found.mean),
        low=_known(found.low),
        high=_known(found.high),
        seeds=found.seeds,
        unit=unit,
    )


def plain(name: str, value: float, unit: str = "") -> Estimate:
    """A number without an interval: it was computed, or counted."""
    return Estimate(name=name, value=_known(value), unit=unit)


def _known(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def percent(share: float) -> str:
    """An accuracy: `97.31%`."""
    return "–" if not math.isfinite(share) else f"{100 * share:.2f}%"


def points(found: Difference) -> str:
    """A difference of accuracies with its interval: `+0.21 points [−0.10, 0.52]`."""
    if not (math.isfinite(found.low) and math.isfinite(found.high)):
        return (
            "no interval" if math.isnan(found.mean) or abs(found.mean) != math.inf else "the other diverged"
        )
    mean, low, high = (f"{100 * v:.2f}".replace("-", "−") for v in (found.mean, found.low, found.high))
    sign = "" if mean.startswith("−") else "+"
    return f"{sign}{mean} points [{low}, {high}]"


def interval(low: float, high: float) -> str:
    """`[0.1, 0.3]`."""
    return f"[{number(low)}, {number(high)}]"


def listed(items: Iterable[object], last: str = "and") -> str:
    """`a, b and c`."""
    texts = [str(item) for item in items]
    return texts[0] if len(texts) == 1 else f"{', '.join(texts[:-1])} {last} {texts[-1]}"


def ends(runs: Runs, arms: Sequence[Arm]) -> str:
    """Final accuracies in words: `0.2: 97.1%, 0.3: 97.2%`."""
    return ", ".join(f"{arm.lr:g}: {percent(float(np.mean(finals(runs, arm))))}" for arm in arms)
