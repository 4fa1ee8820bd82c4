"""Rehearsal: the loss at the end of each shortened run, over the rate, round by round and at the decision."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from stepsize._result import Result
from stepsize._words import plural
from stepsize.decide.advice import Advice
from stepsize.estimate import mean_over_seeds
from stepsize.report.axes import answer_mark, danger_zone, finite_range, gone, legend, loss_axis, rate_axis
from stepsize.report.numbers import fraction, loss_name, number, rate
from stepsize.report.picture import Picture, Table
from stepsize.report.pictures.range_test import MARKS, finite_or_none
from stepsize.report.theme import Colours

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from stepsize.decide.rehearsal import Rehearsal
    from stepsize.measure.curve import Curve


CLOSE_UP = 0.12
"""Share of the progress that the close-up of the decision spans: what lies above is lost anyway."""


class Round(msgspec.Struct, frozen=True, kw_only=True):
    """One rehearsal: `losses` has a row a seed and a column a rate, None where the run diverged."""

    steps: int
    horizon: int
    lrs: tuple[float, ...]
    losses: tuple[tuple[float | None, ...], ...]
    mean: tuple[float | None, ...]

    @property
    def share(self) -> str:
        """How long it was, against the real run."""
        return fraction(self.steps, self.horizon)


class Suggested(msgspec.Struct, frozen=True):
    """The rate that a rule reads off the range test, or None."""

    rule: str
    lr: float | None


class RoundsData(msgspec.Struct, frozen=True, kw_only=True):
    """All rounds, shortest first, and the answer; `cliff` is the smallest rate above it that was lost.

    `suggestions` are what other rules would have said, from the range test that bracketed the rates.
    """

    rounds: tuple[Round, ...]
    lr: float | None
    low: float | None
    high: float | None
    cliff: float | None
    start_loss: float | None
    loss_kind: str
    suggestions: tuple[Suggested, ...] = ()


def rounds_data(result: Result) -> RoundsData | None:
    """The rounds of an advice that rehearsed."""
    if not isinstance(result, Advice) or not result.rehearsals:
        return None
    rounds = tuple(_round(rehearsal) for rehearsal in result.rehearsals)
    return RoundsData(
        rounds=rounds,
        lr=result.lr,
        low=result.lr_low,
        high=result.lr_high,
        cliff=_cliff(rounds, result.lr, result.start_loss),
        start_loss=result.start_loss,
        loss_kind=result.loss_kind,
    )


def decision_data(result: Result) -> RoundsData | None:
    """The last round alone, which decided, with what the rules of range tests would have said."""
    data = rounds_data(result)
    if not isinstance(result, Advice) or data is None or data.lr is None or len(data.rounds) < 2:
        return None
    last = data.rounds[-1:]
    cliff = _cliff(last, data.lr, data.start_loss)
    return msgspec.structs.replace(data, rounds=last, cliff=cliff, suggestions=_suggestions(result.bracket))


def _suggestions(bracket: Curve | None) -> tuple[Suggested, ...]:
    """What each rule says on the range test, the lowest rate first, those without an answer last."""
    if bracket is None:
        return ()
    said = [Suggested(rule, one.lr) for rule, one in bracket.suggestions.items()]
    return tuple(sorted(said, key=lambda one: math.inf if one.lr is None else one.lr))


def _round(rehearsal: Rehearsal) -> Round:
    order = np.argsort(rehearsal.lrs)
    losses = np.atleast_2d(rehearsal.losses)[:, order]
    return Round(
        steps=rehearsal.steps,
        horizon=rehearsal.horizon,
        lrs=tuple(rehearsal.lrs[order].tolist()),
        losses=tuple(finite_or_none(row) for row in losses),
        mean=finite_or_none(mean_over_seeds(losses)),
    )


def _cliff(rounds: tuple[Round, ...], lr: float | None, start_loss: float | None) -> float | None:
    lost = [
        tried
        for one in rounds
        for tried, mean in zip(one.lrs, one.mean, strict=True)
        if is_lost(mean, start_loss) and (lr is None or tried > lr)
    ]
    return min(lost, default=None)


def is_lost(mean: float | None, start_loss: float | None) -> bool:
    """Whether the runs at a rate diverged, or on average ended no better than they started."""
    return mean is None or (start_loss is not None and mean >= start_loss)


def draw_rounds(axes: Axes, data: RoundsData, colours: Colours) -> None:
    """One line a round through the seeds' means, seeds as dots, diverged runs as crosses at the top."""
    _draw(axes, data, colours, [lr for one in data.rounds for lr in one.lrs], data.start_loss)


def draw_decision(axes: Axes, data: RoundsData, colours: Colours) -> None:
    """The last round close up, with the loss that may be given up."""
    (last,) = data.rounds
    lowest = min((mean for mean in last.mean if mean is not None), default=None)
    if lowest is None or data.start_loss is None:
        _draw(axes, data, colours, last.lrs, data.start_loss)
        return
    progress = data.start_loss - lowest
    _draw(axes, data, colours, last.lrs, lowest + CLOSE_UP * progress)
    limit = lowest + 0.01 * progress
    axes.axhline(limit, color=colours.answer, linewidth=0.9, linestyle=(0, (1, 2)), zorder=1)


def _draw(
    axes: Axes, data: RoundsData, colours: Colours, lrs: list[float] | tuple[float, ...], cap: float | None
) -> None:
    rate_axis(axes, [*lrs, *(edge for edge in (data.low, data.high) if edge is not None)])
    losses = [np.array(one.losses, dtype=np.float64) for one in data.rounds]
    loss_axis(axes, *finite_range(*losses, cap=cap), f"{loss_name(data.loss_kind)} at the end")
    if data.cliff is not None:
        danger_zone(axes, data.cliff, colours, "worse than the start")
    if data.lr is not None:
        answer_mark(axes, data.lr, colours, data.low, data.high)
    shades = _shades(len(data.rounds), colours)
    for one, seeds, shade in zip(data.rounds, losses, shades, strict=True):
        last = one is data.rounds[-1]
        for row in seeds:
            axes.plot(one.lrs, row, "o", color=shade, markersize=3.5, alpha=0.55, markeredgewidth=0, zorder=3)
        means = np.array(one.mean, dtype=np.float64)
        label = f"{one.share.replace(' of the run', ' run')}, {plural(len(one.losses), 'seed')}"
        axes.plot(one.lrs, means, color=shade, linewidth=2 if last else 1.3, zorder=3, label=label)
        lost = [lr for lr, mean in zip(one.lrs, one.mean, strict=True) if is_lost(mean, data.start_loss)]
        gone(axes, lost, colours)
    _ticks(axes, data.suggestions, colours)
    legend(axes)


def _ticks(axes: Axes, suggestions: Sequence[Suggested], colours: Colours) -> None:
    """Each rule's rate as a mark on the axis; at its end, pointing outwards, where it lies beyond."""
    low, high = axes.get_xlim()
    for one, shape in zip(suggestions, MARKS * len(suggestions), strict=False):
        if one.lr is None:
            continue
        beyond = "<" if one.lr < low else ">" if one.lr > high else ""
        axes.plot(
            [min(max(one.lr, low), high)],
            [0.0],
            beyond or shape,
            color=colours.muted,
            markersize=6,
            markeredgecolor=colours.paper,
            transform=axes.get_xaxis_transform(),
            clip_on=False,
            zorder=5,
            label=f"{rule_name(one.rule)} {rate(one.lr)}",
        )


def rule_name(rule: str) -> str:
    """A rule as a reader would write it."""
    return rule.replace("_over_", " / ")


def _shades(rounds: int, colours: Colours) -> list[str]:
    """The longer the round, the darker its line; the last one, which decides, in ink."""
    return [*[colours.line] * (rounds - 2), *[colours.muted] * (rounds > 1), colours.ink]


def caption_rounds(data: RoundsData) -> str:
    """What to see."""
    rounds = plural(len(data.rounds), "round")
    text = f"{rounds} of rehearsal, each a shortened real run with the same schedule shape."
    if data.lr is not None:
        text += f" Rates that fall behind are dropped; the longest round decides for {rate(data.lr)}."
    if data.cliff is not None:
        text += f" From {rate(data.cliff)} on, runs diverged or ended worse than they started."
    return text


def caption_decision(data: RoundsData) -> str:
    """What to see."""
    (last,) = data.rounds
    text = f"The last round, {last.share} long, decides."
    if data.low is not None and data.high is not None:
        text += (
            f" In the shaded band, from {rate(data.low)} to {rate(data.high)}, the whole run should lose at "
            "most 1% of the progress from the start to the best loss, as far as this round tells; in the "
            "round itself rates do so where the line runs below the dotted one."
        )
    return text + _said(data.suggestions)


def _said(suggestions: tuple[Suggested, ...]) -> str:
    """What the rules make of the range test, in a sentence."""
    if not suggestions:
        return ""
    said = [f"{rate(one.lr)} ({rule_name(one.rule)})" for one in suggestions if one.lr is not None]
    silent = [rule_name(one.rule) for one in suggestions if one.lr is None]
    if not said:
        return f" On the range test alone none of the usual rules has an answer: {', '.join(silent)}."
    rest = f"; {', '.join(silent)} {'has' if len(silent) == 1 else 'have'} no answer" if silent else ""
    return f" From the range test alone the usual rules would have said {', '.join(said)}{rest}."


def alt(data: RoundsData) -> str:
    """The picture in words."""
    parts = []
    for one in data.rounds:
        means = [(mean, lr) for lr, mean in zip(one.lrs, one.mean, strict=True) if mean is not None]
        best = (
            f"lowest loss {number(min(means)[0])} at {rate(min(means)[1])}"
            if means
            else "every rate diverged"
        )
        parts.append(f"{one.share}, {plural(len(one.lrs), 'rate')}: {best}")
    return f"{loss_name(data.loss_kind).capitalize()} over learning rate. " + ". ".join(parts) + "."


def table(data: RoundsData) -> Table:
    """Mean and worst loss of every rate in every round."""
    rows = []
    for one in data.rounds:
        for lr, mean, column in zip(one.lrs, one.mean, zip(*one.losses, strict=True), strict=True):
            finite = [loss for loss in column if loss is not None]
            lost = len(column) - len(finite)
            worst = "diverged" if lost else number(max(finite), 4)
            rows.append((one.share, rate(lr), number(mean, 4), worst, f"{len(finite)} of {len(column)}"))
    return Table(("round", "learning rate", "mean loss", "worst seed", "seeds that finished"), tuple(rows))


ROUNDS = Picture(
    title="Rehearsals", data=rounds_data, draw=draw_rounds, caption=caption_rounds, alt=alt, table=table
)
DECISION = Picture(
    title="The decision",
    data=decision_data,
    draw=draw_decision,
    caption=caption_decision,
    alt=alt,
    table=table,
)
