"""The range test: loss over a rising rate, the rules' answers on it, and where it diverges."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np

from stepsize._result import Result
from stepsize._words import plural
from stepsize.decide.advice import Advice
from stepsize.measure.curve import Curve
from stepsize.report.axes import danger_zone, finite_range, legend, loss_axis, rate_axis
from stepsize.report.numbers import loss_name, number, rate
from stepsize.report.picture import Picture, Table
from stepsize.report.theme import Colours

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MARKS = ("o", "s", "^", "D", "v", "P", "X")
"""One shape a rule, told apart without colour."""


class Mark(msgspec.Struct, frozen=True):
    """A rule's answer, at the averaged loss there; or None and its reason."""

    rule: str
    lr: float | None
    loss: float | None
    status: str
    why: str


class RangeData(msgspec.Struct, frozen=True, kw_only=True):
    """`losses` has a row a seed, None where there is no loss; `stages` are the first rates of each stage."""

    lrs: tuple[float, ...]
    losses: tuple[tuple[float | None, ...], ...]
    smoothed: tuple[float | None, ...]
    diverged_at: tuple[float, ...]
    stages: tuple[float, ...]
    iters: tuple[int, ...]
    start_loss: float | None
    loss_kind: str
    marks: tuple[Mark, ...]


def from_curve(curve: Curve) -> RangeData:
    """What the picture shows of a range test."""
    finite = np.isfinite(curve.smoothed)
    marks = []
    for rule, suggestion in curve.suggestions.items():
        loss = None
        if suggestion.lr is not None and finite.any():
            loss = float(np.interp(np.log(suggestion.lr), np.log(curve.lrs[finite]), curve.smoothed[finite]))
        marks.append(Mark(rule, suggestion.lr, loss, suggestion.status, suggestion.why))
    return RangeData(
        lrs=tuple(curve.lrs.tolist()),
        losses=tuple(finite_or_none(row) for row in np.atleast_2d(curve.losses)),
        smoothed=finite_or_none(curve.smoothed),
        diverged_at=tuple(np.sort(curve.diverged_at[np.isfinite(curve.diverged_at)]).tolist()),
        stages=_stage_starts(curve) if curve.mode == "staged" else (),
        iters=curve.iters_per_rate,
        start_loss=curve.start_loss,
        loss_kind=curve.loss_kind,
        marks=tuple(marks),
    )


def finite_or_none(values: np.ndarray) -> tuple[float | None, ...]:
    """JSON has no NaN and no infinity."""
    return tuple(float(value) if np.isfinite(value) else None for value in values)


def _stage_starts(curve: Curve) -> tuple[float, ...]:
    """Where the step between rates, or the iterations at each, change."""
    steps = np.diff(curve.lrs)
    iters = np.broadcast_to(np.asarray(curve.iters_per_rate), curve.lrs.shape)
    starts = [0]
    for i in range(1, curve.lrs.size):
        # between two stages stands one step of neither, so a stage starts where its own step does
        changed = i + 1 < curve.lrs.size and not np.isclose(steps[i], steps[i - 1], rtol=1e-6)
        if (changed and i - starts[-1] > 1) or iters[i] != iters[i - 1]:
            starts.append(i)
    return tuple(float(curve.lrs[start]) for start in starts)


def range_data(result: Result) -> RangeData | None:
    """A range test that is not staged: of a curve, or the one that bracketed an advice."""
    curve = _curve(result)
    return None if curve is None or curve.mode == "staged" else from_curve(curve)


def staged_data(result: Result) -> RangeData | None:
    """A staged range test."""
    curve = _curve(result)
    return from_curve(curve) if curve is not None and curve.mode == "staged" else None


def _curve(result: Result) -> Curve | None:
    if isinstance(result, Advice):
        return result.bracket
    return result if isinstance(result, Curve) else None


def draw(axes: Axes, data: RangeData, colours: Colours) -> None:
    """Seeds thin, their average thick, each rule's answer as a mark on it."""
    rate_axis(axes, data.lrs)
    low, high = _limits(data)
    loss_axis(axes, low, high, loss_name(data.loss_kind))
    staged = bool(data.stages)
    for start in data.stages[1:]:
        axes.axvline(start, color=colours.grid, linewidth=0.8, zorder=0)
    if data.diverged_at:
        danger_zone(axes, data.diverged_at[0], colours, "a seed diverges")
    seeds = np.array(data.losses, dtype=np.float64)
    for i, losses in enumerate(seeds):
        axes.plot(
            data.lrs,
            losses,
            color=colours.line,
            linewidth=0.8,
            marker="." if staged else None,
            markersize=3,
            label=("each seed" if len(seeds) > 1 else "raw") if i == 0 else None,
        )
    axes.plot(
        data.lrs, np.array(data.smoothed, dtype=np.float64), color=colours.ink, linewidth=2, label="averaged"
    )
    for shape, mark in zip(MARKS * len(data.marks), data.marks, strict=False):
        if mark.lr is None or mark.loss is None:
            continue
        colour = colours.answer if mark.rule == "turn" else colours.muted
        axes.plot(
            [mark.lr],
            [mark.loss],
            shape,
            color=colour,
            markersize=7,
            markeredgecolor=colours.paper,
            markeredgewidth=1.2,
            zorder=4,
            label=f"{mark.rule.replace('_over_', '/')} {rate(mark.lr)}",
        )
    legend(axes)


def _limits(data: RangeData) -> tuple[float, float]:
    """All of the curve up to a fifth above its start: how far it blew up would only flatten the rest."""
    smoothed = np.array(data.smoothed, dtype=np.float64)
    seeds = np.array(data.losses, dtype=np.float64)
    low, high = finite_range(smoothed, seeds)
    if data.start_loss is None or data.start_loss <= low:
        return low, high
    return low, min(high, data.start_loss + 0.2 * (data.start_loss - low))


def _answer(data: RangeData) -> Mark | None:
    return next((mark for mark in data.marks if mark.rule == "turn"), None)


def caption(data: RangeData) -> str:
    """What to see."""
    seen = (
        f"The rate rises from {rate(data.lrs[0])} to {rate(data.lrs[-1])} while the network trains "
        f"({plural(len(data.losses), 'seed')})."
    )
    turn = _answer(data)
    if turn is not None and turn.lr is not None:
        seen += f" The loss turns up just above {rate(turn.lr)}."
    elif turn is not None:
        seen += f" No turn to read: {turn.why}."
    if data.diverged_at:
        seen += f" From {rate(data.diverged_at[0])} on a seed diverges."
    return seen


def alt(data: RangeData) -> str:
    """The picture in words."""
    low, high = finite_range(np.array(data.smoothed, dtype=np.float64))
    marked = "; ".join(f"{mark.rule} at {rate(mark.lr)}" for mark in data.marks if mark.lr is not None)
    return (
        f"Curve of the {loss_name(data.loss_kind)} over learning rate, "
        f"from {rate(data.lrs[0])} to {rate(data.lrs[-1])}. "
        f"The loss at the start is {number(data.start_loss)}; "
        f"its average lies between {number(low)} and {number(high)}. "
        + (f"Marked: {marked}." if marked else "No rule has an answer.")
    )


def table(data: RangeData) -> Table:
    """What each rule says."""
    rows = tuple(
        (mark.rule, rate(mark.lr) if mark.lr is not None else mark.status.replace("_", " "), mark.why)
        for mark in data.marks
    )
    return Table(("rule", "learning rate", "why"), rows)


def staged_caption(data: RangeData) -> str:
    """What to see, and how it was stepped."""
    iters = sorted(set(data.iters))
    each = plural(iters[-1], "iteration")
    if len(iters) > 1:
        each = f"{iters[0]} to {each}"
    return f"{plural(len(data.stages), 'stage')}, {each} at each rate. {caption(data)}"


RANGE_TEST = Picture(title="Range test", data=range_data, draw=draw, caption=caption, alt=alt, table=table)
STAGED = Picture(
    title="Staged range test", data=staged_data, draw=draw, caption=staged_caption, alt=alt, table=table
)
