"""Warm-ups by length: where the runs end, seed by seed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from stepsize._result import Result
from stepsize.decide.training_advice import TrainingAdvice
from stepsize.decide.warmup_result import WarmupComparison
from stepsize.report.axes import legend, loss_axis
from stepsize.report.numbers import count, number, percent
from stepsize.report.picture import Picture, Table
from stepsize.report.theme import Colours

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class WarmupsData(msgspec.Struct, frozen=True, kw_only=True):
    """Lengths in updates, each with its seeds' losses (none where all diverged) and the early rise."""

    updates: tuple[int, ...]
    losses: tuple[tuple[float, ...], ...]
    rises: tuple[float | None, ...]
    chosen: int | None
    steps: int
    why: str


def data(result: Result) -> WarmupsData | None:
    """Of a comparison with at least one end, or of the advice that rests on one."""
    found = result.warmup if isinstance(result, TrainingAdvice) else result
    if not isinstance(found, WarmupComparison) or not any(row.by_seed for row in found.rows):
        return None
    return WarmupsData(
        updates=tuple(row.updates for row in found.rows),
        losses=tuple(row.by_seed for row in found.rows),
        rises=tuple(row.rise for row in found.rows),
        chosen=found.updates,
        steps=found.steps,
        why=found.why,
    )


def draw(axes: Axes, data: WarmupsData, colours: Colours) -> None:
    """Seeds as dots, means as a line, the advised length in the answer's colour."""
    known = [(place, losses) for place, losses in enumerate(data.losses) if losses]
    for place, losses in known:
        axes.plot(
            [place] * len(losses),
            losses,
            "o",
            color=colours.muted,
            markersize=3,
            label="one seed" if place == known[0][0] else None,
        )
    means = [sum(losses) / len(losses) for _, losses in known]
    axes.plot([place for place, _ in known], means, color=colours.ink, linewidth=1.2, label="mean")
    if data.chosen is not None:
        place = data.updates.index(data.chosen)
        mean = dict(zip((place for place, _ in known), means, strict=True))[place]
        axes.plot([place], [mean], "o", color=colours.answer, markersize=8, label="advised", zorder=3)
    axes.set_xticks(range(len(data.updates)), [count(updates) for updates in data.updates])
    axes.set_xlim(-0.5, len(data.updates) - 0.5)
    axes.set_xlabel("updates of warm-up")
    shown = [loss for _, losses in known for loss in losses]
    loss_axis(axes, min(shown), max(shown), "held-out loss")
    legend(axes)


def caption(data: WarmupsData) -> str:
    """Why this length."""
    return data.why


def alt(data: WarmupsData) -> str:
    """The picture in words."""
    return f"Held-out loss at the end over {len(data.updates)} lengths of warm-up. {caption(data)}"


def table(data: WarmupsData) -> Table:
    """One row a length."""
    rows = tuple(
        (
            count(updates),
            number(sum(losses) / len(losses), 4) if losses else "diverges",
            "–" if rise is None else percent(rise),
        )
        for updates, losses, rise in zip(data.updates, data.losses, data.rises, strict=True)
    )
    return Table(("updates of warm-up", "held-out loss", "early rise of the training loss"), rows)


WARMUPS = Picture(title="Warm-up by length", data=data, draw=draw, caption=caption, alt=alt, table=table)
