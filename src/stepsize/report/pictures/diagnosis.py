"""Loss curves with their verdicts, too slow, converging, oscillating or diverging, and their plateaus."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np

from stepsize._result import Result
from stepsize.decide.advice import Advice
from stepsize.estimate.diagnosis import Reading, Verdict, read_curve
from stepsize.measure.diagnosis import Diagnosis
from stepsize.report.axes import count_axis, finite_range, is_narrow, legend, loss_axis
from stepsize.report.numbers import count, percent, plural, rate
from stepsize.report.picture import Picture, Table
from stepsize.report.pictures.range_test import finite_or_none
from stepsize.report.theme import Colours
from stepsize.runs.statistics import Arm
from stepsize.runs.table import Runs
from stepsize.schedules import Run, Schedule
from stepsize.training.history import History

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.typing import LineStyleType

LINES = 6
"""Curves drawn at most: all, if there are no more, else one of each verdict."""

POINTS, BLOCKS = 400, 24
"""Losses of a curve that are drawn, evenly picked, and stretches that it is averaged over."""

CEILING = 1.4
"""Of several curves, what rises to so many times the highest start leaves the picture."""

CEILING_OF_ONE = 5.0
"""The same of a curve that is alone in its picture."""

LONG_ENOUGH = 100
"""Updates from which on a rehearsal shows more than a beginning, which would look too slow at any rate."""

MARKS = ("o", "s", "^", "D", "v", "P")

WORDS: dict[Verdict, str] = {
    "too_slow": "too slow",
    "converging": "converging",
    "oscillating": "oscillating",
    "diverging": "diverging",
    "undetermined": "undetermined",
}
"""The verdicts in words, as they follow one another with a rising rate."""


class Still(msgspec.Struct, frozen=True):
    """Updates between which the loss stood still, and at which level."""

    start: float
    end: float
    level: float


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """A curve's verdict and figures, as `Diagnosis` has them; `label` tells it from others, empty for one."""

    label: str
    lr: float | None
    verdict: Verdict
    why: str
    fall: float | None
    late_fall: float | None
    fluctuation: float | None


class Trace(msgspec.Struct, frozen=True, kw_only=True):
    """The curve of `judged[place]`: some of its `losses`, None where not finite, its means over stretches,
    and its plateaus; `lost_at` is the update of the first loss that is not finite.
    """

    place: int
    updates: tuple[float, ...]
    losses: tuple[float | None, ...]
    mean_updates: tuple[float, ...]
    means: tuple[float | None, ...]
    plateaus: tuple[Still, ...]
    lost_at: float | None


class DiagnosisData(msgspec.Struct, frozen=True, kw_only=True):
    """All curves' verdicts, rates rising, and the curves that are drawn; `decays` tells whether a schedule
    lowered the rate to less than half of its peak.
    """

    judged: tuple[Judged, ...]
    traces: tuple[Trace, ...]
    what: str
    decays: bool


class _Curve(NamedTuple):
    """A loss curve, the updates that its losses belong to, and whether training gave it up as diverged."""

    label: str
    lr: float | None
    updates: np.ndarray
    losses: np.ndarray
    diverged: bool = False


def data(result: Result) -> DiagnosisData | None:
    """Of a diagnosis, or of the training losses of an advice's widest rehearsal, of a sweep at its best batch
    size and schedule, or of a history; None if all are too short for a verdict.
    """
    if isinstance(result, Diagnosis):
        alone = _Curve("", None, np.arange(len(result.losses)), result.losses)
        return _judged([alone], "loss", lr=None, decays=False)
    if isinstance(result, Advice):
        decays = _decays(result.schedule, result.run)
        return _judged(_of_advice(result), "training loss of a rehearsal", lr=result.lr, decays=decays)
    if isinstance(result, Runs):
        best = result.best()
        if best is None or result.halving is not None:
            return None
        decays = _decays(Schedule.parse(best.arm.schedule), Run(steps=best.updates))
        return _judged(_of_runs(result, best.arm), "training loss", lr=best.arm.lr, decays=decays)
    if isinstance(result, History):
        seeds = len({member.seed for member in result.members})
        curves = [
            _Curve(
                rate(member.lr) if seeds == 1 else f"{rate(member.lr)}, seed {member.seed}",
                member.lr,
                np.arange(len(losses)),
                losses,
                status == "diverged",
            )
            for member, losses, status in zip(result.members, result.train_loss, result.status, strict=True)
        ]
        decays = bool((result.rates[:, -1] < 0.5 * result.rates.max(axis=1)).any())
        return _judged(curves, "training loss", lr=None, decays=decays)
    return None


def _decays(schedule: Schedule, run: Run) -> bool:
    try:
        rates = schedule.values(run)
    except ValueError:  # lengths in a unit that the result does not know
        return False
    return bool(rates[-1] < 0.5 * rates.max())


def _of_advice(advice: Advice) -> list[_Curve]:
    """The first seed of the rehearsal that spans the most rates, so that all verdicts are to be seen, among
    those that are long enough; of the last one, if none is.
    """
    rehearsals = [one for one in advice.rehearsals if one.training.size]
    if not rehearsals:
        return []
    long = [one for one in rehearsals if one.steps >= LONG_ENOUGH] or rehearsals[-1:]
    widest = max(long, key=lambda one: float(one.lrs.max() / one.lrs.min()))
    return [
        _Curve(rate(lr), lr, widest.traced, losses)
        for lr, losses in zip(widest.lrs.tolist(), widest.training, strict=True)
    ]


def _of_runs(runs: Runs, best: Arm) -> list[_Curve]:
    """The first seed of each rate at the batch size and schedule of the best run."""
    return [
        _Curve(rate(arm.lr), arm.lr, mine[0].train_at, mine[0].train_loss, mine[0].status == "diverged")
        for arm, mine in runs.arms.items()
        if (arm.batch_size, arm.schedule) == (best.batch_size, best.schedule)
    ]


def _judged(curves: Sequence[_Curve], what: str, *, lr: float | None, decays: bool) -> DiagnosisData | None:
    curves = sorted(curves, key=lambda curve: curve.lr or 0.0)
    readings = [_reading(curve) for curve in curves]
    if all(reading.verdict == "undetermined" for reading in readings):
        return None
    judged = tuple(
        Judged(
            label=curve.label,
            lr=curve.lr,
            verdict=reading.verdict,
            why=reading.why,
            fall=reading.fall,
            late_fall=reading.late_fall,
            fluctuation=reading.fluctuation,
        )
        for curve, reading in zip(curves, readings, strict=True)
    )
    traces = tuple(_trace(place, curves[place], readings[place]) for place in drawn(judged, lr))
    return DiagnosisData(judged=judged, traces=traces, what=what, decays=decays)


def _reading(curve: _Curve) -> Reading:
    """The verdict, which a curve that was given up does not escape by standing still far above its start."""
    reading = read_curve(curve.losses)
    if not curve.diverged or reading.verdict == "diverging":
        return reading
    why = "Training counted it as diverged: far above the loss at its start."
    return msgspec.structs.replace(reading, verdict="diverging", why=why)


def drawn(judged: Sequence[Judged], lr: float | None) -> list[int]:
    """The places of the curves to draw: all of a few, else one of each verdict.

    Of those that converge the one nearest to the answer `lr`; of others the middle one.
    """
    if len(judged) <= LINES:
        return list(range(len(judged)))
    chosen = []
    for verdict in WORDS:
        places = [place for place, one in enumerate(judged) if one.verdict == verdict]
        if not places:
            continue
        if verdict == "converging" and lr is not None:
            chosen.append(min(places, key=lambda place: abs(np.log((judged[place].lr or lr) / lr))))
        else:
            chosen.append(places[len(places) // 2])
    return sorted(chosen)


def _trace(place: int, curve: _Curve, reading: Reading) -> Trace:
    picked = np.unique(np.round(np.linspace(0, len(curve.losses) - 1, POINTS)).astype(int))
    ends = np.unique(np.round(np.linspace(0, len(curve.losses), BLOCKS + 1)).astype(int))
    blocks = list(zip(ends[:-1].tolist(), ends[1:].tolist(), strict=True))
    last = float(curve.updates[-1])
    stills = tuple(
        Still(
            float(curve.updates[one.start]),
            float(curve.updates[one.end]) if one.end < len(curve.updates) else last,
            one.level,
        )
        for one in reading.plateaus
    )
    with np.errstate(over="ignore", invalid="ignore"):
        means = np.array([curve.losses[a:b].mean() for a, b in blocks])
    lost = reading.first_not_finite
    return Trace(
        place=place,
        updates=tuple(curve.updates[picked].tolist()),
        losses=finite_or_none(curve.losses[picked]),
        mean_updates=tuple(float(curve.updates[a:b].mean()) for a, b in blocks),
        means=finite_or_none(means),
        plateaus=stills,
        lost_at=None if lost is None else float(curve.updates[lost]),
    )


def draw(axes: Axes, data: DiagnosisData, colours: Colours) -> None:
    """One curve with its plateaus and its verdict beside it, or several told apart by theirs."""
    alone = len(data.traces) == 1
    losses = [np.array(one.losses, dtype=np.float64) for one in data.traces]
    starts = [value for one in data.traces for value in one.losses[:1] if value is not None]
    cap = (CEILING_OF_ONE if alone else CEILING) * float(np.median(starts)) if starts else None
    low, high = finite_range(*losses, cap=cap)
    count_axis(axes, max(one.updates[-1] for one in data.traces))
    loss_axis(axes, low, high, data.what)
    if alone:
        _draw_one(axes, data.judged[data.traces[0].place], data.traces[0], colours)
    else:
        for mark, trace in zip(MARKS, data.traces, strict=False):
            _draw_of_many(axes, data.judged[trace.place], trace, mark, colours)
    legend(axes)


def _draw_one(axes: Axes, judged: Judged, trace: Trace, colours: Colours) -> None:
    label = "stands still"
    for still in trace.plateaus:
        axes.axvspan(still.start, still.end, color=colours.answer_soft, linewidth=0, zorder=0, label=label)
        axes.hlines(still.level, still.start, still.end, color=colours.answer, linewidth=1, zorder=4)
        label = "_nolegend_"
    losses = np.array(trace.losses, dtype=np.float64)
    means = np.array(trace.means, dtype=np.float64)
    axes.plot(trace.updates, losses, color=colours.line, linewidth=0.8, label="each loss")
    axes.plot(trace.mean_updates, means, color=colours.ink, linewidth=2, zorder=3, label="averaged")
    if trace.lost_at is not None:
        axes.axvline(
            trace.lost_at, color=colours.danger, linewidth=1.2, linestyle=(0, (3, 2)), label="not finite"
        )
    told = [WORDS[judged.verdict], *_figures(judged)]
    axes.set_title(
        "; ".join(told[:2] if is_narrow(axes) else told),
        loc="right",
        fontsize=9,
        color=colours.danger if judged.verdict == "diverging" else colours.ink,
        pad=6,
    )


def _figures(judged: Judged) -> list[str]:
    """The figures behind a verdict."""
    if judged.fall is None:
        return []
    lines = [f"{'fell' if judged.fall >= 0 else 'rose'} by {percent(abs(judged.fall))}"]
    if judged.late_fall is not None and judged.late_fall > 0:
        lines.append(f"in the 2nd half {percent(judged.late_fall)} of the 1st")
    if judged.fluctuation is not None:
        lines.append(f"swings by {percent(judged.fluctuation)}")
    return lines


def _draw_of_many(axes: Axes, judged: Judged, trace: Trace, mark: str, colours: Colours) -> None:
    """The losses pale, their means on top; colour and dashes say the verdict, the mark which curve it is."""
    styles: dict[Verdict, tuple[str, LineStyleType]] = {
        "too_slow": (colours.low_1, (0, (5, 2))),
        "converging": (colours.ink, "-"),
        "oscillating": (colours.high_1, (0, (5, 1.5, 1, 1.5))),
        "diverging": (colours.danger, (0, (1, 1.2))),
        "undetermined": (colours.muted, (0, (1, 3))),
    }
    colour, dashes = styles[judged.verdict]
    losses = np.array(trace.losses, dtype=np.float64)
    means = np.array(trace.means, dtype=np.float64)
    axes.plot(trace.updates, losses, color=colour, linewidth=0.7, alpha=0.35, zorder=2)
    if not (means <= axes.get_ylim()[1]).any():  # out of the picture from the first stretch on
        edge = axes.get_xaxis_transform()
        axes.plot([trace.mean_updates[0]], [0.97], mark, color=colour, markersize=5, transform=edge)
    axes.plot(
        trace.mean_updates,
        means,
        color=colour,
        linestyle=dashes,
        linewidth=2 if judged.verdict == "converging" else 1.6,
        marker=mark,
        markersize=4,
        markevery=4,
        zorder=3,
        label=f"{judged.label} {WORDS[judged.verdict]}",
    )


def caption(data: DiagnosisData) -> str:
    """The verdict on the one curve, or which rates got which."""
    if len(data.judged) == 1:
        one, trace = data.judged[0], data.traces[0]
        text = f"{WORDS[one.verdict].capitalize()}. {one.why}"
        stills = [f"{count(s.start)} to {count(s.end)}" for s in trace.plateaus]
        return f"{text} It stood still from update {', and from '.join(stills)}." if stills else text
    text = f"The verdicts on {plural(len(data.judged), 'curve')} of the {data.what}: {_ranges(data)}."
    if data.decays:
        text += " As the schedule lowers the rate, a curve levels out at any: see how far it fell."
    if any(one.verdict == "too_slow" for one in data.judged):
        text += " A curve that is too slow may only need a longer run."
    if len(data.traces) < len(data.judged):
        text += " Drawn is one of each kind; the table has all."
    return text


def _ranges(data: DiagnosisData) -> str:
    """`0.01 to 0.1 too slow, 0.3 converging`, neighbours with one verdict together."""
    groups: list[list[Judged]] = []
    for one in data.judged:
        if groups and groups[-1][-1].verdict == one.verdict:
            groups[-1].append(one)
        else:
            groups.append([one])
    return ", ".join(
        f"{group[0].label}{' to ' + group[-1].label if len(group) > 1 else ''} {WORDS[group[0].verdict]}"
        for group in groups
    )


def alt(data: DiagnosisData) -> str:
    """The picture in words."""
    return f"{data.what.capitalize()} over updates. {caption(data)}"


def table(data: DiagnosisData) -> Table:
    """One row a curve."""
    rows = tuple(
        (
            one.label or "the curve",
            WORDS[one.verdict],
            percent(one.fall),
            percent(one.late_fall),
            percent(one.fluctuation),
            one.why,
        )
        for one in data.judged
    )
    columns = ("learning rate", "verdict", "fell by", "2nd half against the 1st", "swings by", "why")
    if data.judged[0].lr is None:
        columns = ("", *columns[1:])
    return Table(columns, rows)


DIAGNOSIS = Picture(title="What the curves say", data=data, draw=draw, caption=caption, alt=alt, table=table)
