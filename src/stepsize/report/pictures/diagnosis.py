"""Loss curves with their verdicts, too slow, converging, oscillating or diverging, and their plateaus."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from stepsize._words import plural
from stepsize.estimate.diagnosis import Verdict
from stepsize.report.axes import count_axis, finite_range, is_narrow, legend, loss_axis
from stepsize.report.numbers import count, percent
from stepsize.report.picture import Picture, Table
from stepsize.report.pictures.verdicts import WORDS, DiagnosisData, Judged, Trace, data
from stepsize.report.theme import Colours

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.typing import LineStyleType

CEILING = 1.4
"""Of several curves, what rises to so many times their usual start leaves the picture."""

CEILING_OF_ONE = 5.0
"""The same of a curve that is alone in its picture."""

MARKS = ("o", "s", "^", "D", "v", "P")


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
