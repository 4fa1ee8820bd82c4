"""The three rounds of a zoom: the coarse curve and the bracket as range tests, and the restarted trials."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np

from stepsize._result import Result
from stepsize._words import plural
from stepsize.estimate import mean_over_seeds
from stepsize.measure.zoom import Zoom
from stepsize.report.axes import answer_mark, finite_range, gone, legend, loss_axis, rate_axis
from stepsize.report.numbers import count, number, rate
from stepsize.report.picture import Picture, Table
from stepsize.report.pictures.range_test import (
    RangeData,
    alt,
    caption,
    draw,
    finite_or_none,
    from_curve,
    table,
)
from stepsize.report.theme import Colours

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class TrialsData(msgspec.Struct, frozen=True, kw_only=True):
    """Restarted runs: `losses` has a row a seed and a column a rate, None where the run diverged."""

    steps: int
    lrs: tuple[float, ...]
    losses: tuple[tuple[float | None, ...], ...]
    mean: tuple[float | None, ...]
    lr: float | None


def coarse_data(result: Result) -> RangeData | None:
    """Round 1."""
    return from_curve(result.coarse) if isinstance(result, Zoom) else None


def bracket_data(result: Result) -> RangeData | None:
    """Round 2, if it came to that."""
    if not isinstance(result, Zoom) or result.bracket is None:
        return None
    # its rates have one spacing throughout, so there are no stages to mark
    return msgspec.structs.replace(from_curve(result.bracket), stages=())


def trials_data(result: Result) -> TrialsData | None:
    """Round 3, if it came to that."""
    if not isinstance(result, Zoom) or result.trials is None:
        return None
    trials = result.trials
    order = np.argsort(trials.lrs)
    losses = np.atleast_2d(trials.losses)[:, order]
    return TrialsData(
        steps=trials.steps,
        lrs=tuple(trials.lrs[order].tolist()),
        losses=tuple(finite_or_none(row) for row in losses),
        mean=finite_or_none(mean_over_seeds(losses)),
        lr=result.lr,
    )


def draw_trials(axes: Axes, data: TrialsData, colours: Colours) -> None:
    """Seeds as dots, their mean as a line, the answer as a mark."""
    losses = np.array(data.losses, dtype=np.float64)
    mean = np.array(data.mean, dtype=np.float64)
    rate_axis(axes, data.lrs)
    loss_axis(axes, *finite_range(losses), "held-out loss at the end")
    if data.lr is not None:
        answer_mark(axes, data.lr, colours)
    for i, row in enumerate(losses):
        label = "each seed" if i == 0 and len(losses) > 1 else None
        axes.plot(
            data.lrs, row, "o", color=colours.muted, markersize=4, alpha=0.7, markeredgewidth=0, label=label
        )
    axes.plot(data.lrs, mean, color=colours.ink, linewidth=2, marker="o", markersize=4, label="mean")
    gone(
        axes,
        [lr for lr, column in zip(data.lrs, losses.T, strict=True) if not np.isfinite(column).all()],
        colours,
    )
    legend(axes)


def coarse_caption(data: RangeData) -> str:
    """What to see."""
    return f"Round 1 of 3, coarse. {caption(data)}"


def bracket_caption(data: RangeData) -> str:
    """What to see."""
    return f"Round 2 of 3, around the turn. {caption(data)}"


def trials_caption(data: TrialsData) -> str:
    """What to see."""
    runs = plural(len(data.losses), "run")
    text = f"Round 3 of 3: at each rate, {runs} of {count(data.steps)} updates from the start."
    if data.lr is not None:
        text += (
            f" The answer, {rate(data.lr)}, lies half-way from the lowest down to the next lower rate, "
            "because the loss lags behind a rate that rises."
        )
    return text


def trials_alt(data: TrialsData) -> str:
    """The picture in words."""
    ends = ", ".join(f"{rate(lr)}: {_loss(mean)}" for lr, mean in zip(data.lrs, data.mean, strict=True))
    return f"Held-out loss of restarted trials over learning rate. Means over seeds: {ends}."


def trials_table(data: TrialsData) -> Table:
    """Every run's loss."""
    columns = ("learning rate", "mean", *(f"run {i}" for i in range(1, len(data.losses) + 1)))
    rows = tuple(
        (rate(lr), _loss(mean), *map(_loss, column))
        for lr, mean, column in zip(data.lrs, data.mean, zip(*data.losses, strict=True), strict=True)
    )
    return Table(columns, rows)


def _loss(value: float | None) -> str:
    return "diverged" if value is None else number(value, 4)


TRIALS = Picture(
    title="Restarted trials",
    data=trials_data,
    draw=draw_trials,
    caption=trials_caption,
    alt=trials_alt,
    table=trials_table,
)
BRACKET = Picture(
    title="Around the turn", data=bracket_data, draw=draw, caption=bracket_caption, alt=alt, table=table
)
COARSE = Picture(
    title="The whole range", data=coarse_data, draw=draw, caption=coarse_caption, alt=alt, table=table
)
