"""What a result tells an experiment tracker: its values, its curves over updates, its words and a picture."""

from __future__ import annotations

from collections.abc import Iterator
from functools import singledispatch
from typing import Any, NamedTuple

import msgspec
import numpy as np

from stepsize._result import Provenance, Result
from stepsize.decide.advice import Advice
from stepsize.decide.rehearsal import Rehearsal
from stepsize.decide.training_advice import TrainingAdvice
from stepsize.estimate import mean_over_seeds
from stepsize.measure.curve import Curve
from stepsize.measure.noise_result import NoiseScale
from stepsize.measure.zoom import Zoom
from stepsize.report.figures import FIGURES, draw
from stepsize.runs.table import Runs
from stepsize.trackers import Value, tracker_of
from stepsize.training.history import Cost

POINTS = 200
"""Of a schedule that is drawn, at most."""


class Series(NamedTuple):
    """A curve over updates; what is not finite is left out when it is told."""

    name: str
    updates: np.ndarray
    values: np.ndarray


def log_to(result: Result, target: Any, name: str | None = None) -> None:
    """Tell a tracker of a result, everything under `name`; by default under what it is, such as "advice"."""
    tracker = tracker_of(target)
    title = name or _snake(type(result).__name__)
    tracker.values(title, values_of(result))
    for series in curves_of(result):
        finite = np.isfinite(series.values)
        if finite.any():
            updates = [int(update) for update in series.updates[finite]]
            tracker.curve(f"{title}/{series.name}", updates, series.values[finite].tolist())
    if type(result).__str__ is not object.__str__:  # else it has no words, only fields
        tracker.text(f"{title}/words", str(result))
    if any(picture.data(result) is not None for picture in FIGURES.values()):
        tracker.figure(f"{title}/picture", draw(result))


def values_of(result: Result) -> dict[str, Value]:
    """Every field that is a text or a number, and what the cost and the origin consist of."""
    return dict(_values(result, ""))


def _values(struct: msgspec.Struct, before: str) -> Iterator[tuple[str, Value]]:
    for field in msgspec.structs.fields(struct):
        value = getattr(struct, field.name)
        if isinstance(value, (str, int, float, bool)):
            yield before + field.encode_name, value
        elif isinstance(value, (Cost, Provenance)):
            yield from _values(value, f"{field.name}/")


@singledispatch
def curves_of(result: Result) -> Iterator[Series]:
    """The curves over updates that a result holds; a kind that is not registered has none."""
    yield from ()


@curves_of.register
def _(result: Curve) -> Iterator[Series]:
    done = np.cumsum(np.broadcast_to(result.iters_per_rate, len(result.lrs)))
    yield Series("lr", done, result.lrs)
    yield Series("loss", done, mean_over_seeds(result.losses))


@curves_of.register
def _(result: Zoom) -> Iterator[Series]:
    for name, curve in (("coarse", result.coarse), ("bracket", result.bracket)):
        if curve is not None:
            yield from _within(name, curve)


@curves_of.register
def _(result: Rehearsal) -> Iterator[Series]:
    for place, lr in enumerate(result.lrs):
        yield Series(f"lr {lr:g}", result.updates, result.curves[:, place].mean(axis=0))


@curves_of.register
def _(result: Advice) -> Iterator[Series]:
    if result.bracket is not None:
        yield from _within("range test", result.bracket)
    for number, rehearsal in enumerate(result.rehearsals, start=1):
        yield from _within(f"rehearsal {number}", rehearsal)
    if isinstance(result, TrainingAdvice) and result.check is not None:
        yield from _within("check", result.check)
    if result.lr is not None:
        updates = np.unique(np.linspace(0, result.steps - 1, POINTS).astype(int))
        yield Series("schedule", updates, result.schedule.resolve(result.run)(updates))


@curves_of.register
def _(result: NoiseScale) -> Iterator[Series]:
    updates = np.array([point.update for point in result.points])
    for name in ("scale", "low", "high", "loss"):
        values = [getattr(point, name) for point in result.points]
        yield Series(name, updates, np.array([np.nan if v is None else v for v in values], dtype=np.float64))


@curves_of.register
def _(result: Runs) -> Iterator[Series]:
    for run in result.runs:
        cell = run.cell
        place = f"lr {cell.lr:g} batch {cell.batch_size} {cell.schedule} seed {cell.seed}"
        for name, (updates, values) in run.curves.items():
            yield Series(f"{name}/{place}", updates, values)


def _within(name: str, result: Result) -> Iterator[Series]:
    for series in curves_of(result):
        yield series._replace(name=f"{name}/{series.name}")


def _snake(name: str) -> str:
    """A class's name in small letters: NoiseScale as noise_scale."""
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in name).strip("_")
