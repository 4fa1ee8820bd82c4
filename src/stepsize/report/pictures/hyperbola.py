"""Updates against samples: what a batch size saves of the one it costs of the other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np

from stepsize._result import Result
from stepsize.decide.batch_advice import BatchAdvice
from stepsize.decide.critical_batch_result import CriticalBatch, Target
from stepsize.decide.training_advice import TrainingAdvice
from stepsize.estimate.critical_batch import curve_interval
from stepsize.report.axes import is_narrow, legend
from stepsize.report.numbers import count, number
from stepsize.report.picture import Picture, Table
from stepsize.report.pictures.log_axis import log_axis, y_title
from stepsize.report.theme import Colours

if TYPE_CHECKING:
    from matplotlib.axes import Axes

POINTS = 121
"""Batch sizes along the curve."""

BEYOND = 4.0
"""The curve goes on so many times beyond the smallest and the largest batch size, so that it is seen to
level out."""


class Curve(msgspec.Struct, frozen=True, kw_only=True):
    """S = S_min (1 + B_crit / B) over `sizes`, its 95% interval, and the `status` of the fit."""

    updates_min: float
    critical: float
    status: str
    sizes: tuple[float, ...]
    updates: tuple[float, ...]
    lows: tuple[float, ...]
    highs: tuple[float, ...]


class HyperbolaData(msgspec.Struct, frozen=True, kw_only=True):
    """Batch sizes that reached the loss, with the updates of each, their 95% ends (equal to them with one
    seed), and those of each seed; samples are updates times batch size.
    """

    loss: float
    sizes: tuple[int, ...]
    updates: tuple[float, ...]
    lows: tuple[float, ...]
    highs: tuple[float, ...]
    by_seed: tuple[tuple[float, ...], ...]
    fit: Curve | None


def data(result: Result) -> HyperbolaData | None:
    """The hardest target that at least two batch sizes reached, and one with a fit before others."""
    found: Result | None = result.batch if isinstance(result, TrainingAdvice) else result
    critical = found.critical if isinstance(found, BatchAdvice) else found
    if not isinstance(critical, CriticalBatch):
        return None
    reached = [target for target in critical.targets if sum(bool(row.updates) for row in target.rows) > 1]
    fitted = [target for target in reached if target.fit.batch is not None]
    return _of_target((fitted or reached)[-1]) if reached else None


def _of_target(target: Target) -> HyperbolaData:
    rows = [row for row in target.rows if row.updates]
    return HyperbolaData(
        loss=target.loss,
        sizes=tuple(row.batch_size for row in rows),
        updates=tuple(row.updates or 0.0 for row in rows),
        lows=tuple(row.updates_low or row.updates or 0.0 for row in rows),
        highs=tuple(row.updates_high or row.updates or 0.0 for row in rows),
        by_seed=tuple(row.by_seed for row in rows),
        fit=_curve(target),
    )


def _curve(target: Target) -> Curve | None:
    fit = target.fit
    if fit.batch is None or fit.updates_min is None:
        return None
    rows = [row for row in target.rows if row.updates]
    sizes = np.array([row.batch_size for row in rows], dtype=np.float64)
    at = np.geomspace(sizes.min() / BEYOND, sizes.max() * BEYOND, POINTS)
    lows, highs = curve_interval(sizes, np.maximum(np.array([row.by_seed for row in rows]), 1.0), at)
    return Curve(
        updates_min=fit.updates_min,
        critical=fit.batch,
        status=fit.status,
        sizes=tuple(at.tolist()),
        updates=tuple(fit.updates(size) for size in at.tolist()),
        lows=tuple(lows.tolist()),
        highs=tuple(highs.tolist()),
    )


def draw(axes: Axes, data: HyperbolaData, colours: Colours) -> None:
    """Dots by batch size, the curve in its band, its two asymptotes, a diamond at the critical batch."""
    sizes, updates = np.array(data.sizes, dtype=np.float64), np.array(data.updates)
    _limits(axes, data)
    axes.set_xlabel("samples to the loss (updates times batch size)")
    if is_narrow(axes):
        axes.set_xlabel("samples to the loss")
    y_title(axes, f"updates to a loss of {number(data.loss)}")
    if data.fit is not None:
        _draw_fit(axes, data.fit, colours)
    label = "each seed"
    for size, seeds in zip(data.sizes, data.by_seed, strict=True):
        around = np.array(sorted(seeds))
        axes.plot(
            size * around, around, "o-", color=colours.muted, markersize=3, linewidth=1, zorder=3, label=label
        )
        label = "_nolegend_"
    axes.plot(sizes * updates, updates, "o", color=colours.ink, markersize=5, zorder=4, label="their mean")
    every = 2 if is_narrow(axes) else 1
    for size, samples, many in list(zip(data.sizes, sizes * updates, updates, strict=True))[::every]:
        axes.annotate(
            count(size),
            (samples, many),
            xytext=(0, 6),
            textcoords="offset points",
            ha="center",
            fontsize="small",
            color=colours.muted,
        )
    legend(axes)


def _draw_fit(axes: Axes, fit: Curve, colours: Colours) -> None:
    sizes, updates = np.array(fit.sizes), np.array(fit.updates)
    lows, highs = np.array(fit.lows), np.array(fit.highs)
    edge = np.concatenate([lows, highs[::-1]])
    around = np.concatenate([sizes, sizes[::-1]])
    axes.fill(edge * around, edge, color=colours.answer_soft, linewidth=0, zorder=0)
    axes.plot(
        sizes * updates, updates, color=colours.answer, linewidth=1.6, zorder=2, label="fit and its 95%"
    )
    samples_min = fit.updates_min * fit.critical
    axes.axhline(fit.updates_min, color=colours.answer, linewidth=0.9, linestyle=(0, (3, 2)), zorder=1)
    axes.axvline(samples_min, color=colours.answer, linewidth=0.9, linestyle=(0, (1, 2)), zorder=1)
    (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
    if low < fit.updates_min < high and left < samples_min < right:
        _name(axes, (right, fit.updates_min), f"S_min {count(fit.updates_min)}", (-2, -3), colours)
        _name(axes, (samples_min, low), f"E_min {count(samples_min)}", (4, 2), colours)
    axes.plot(
        [2 * samples_min],
        [2 * fit.updates_min],
        "D",
        color=colours.danger,
        markersize=6,
        zorder=5,
        label=f"critical batch, {number(fit.critical)}",
    )


def _name(axes: Axes, at: tuple[float, float], text: str, offset: tuple[int, int], colours: Colours) -> None:
    """The name of an asymptote beside it, in the corner that the curve leaves free."""
    axes.annotate(
        text,
        at,
        xytext=offset,
        textcoords="offset points",
        ha="right" if offset[0] < 0 else "left",
        va="top" if offset[1] < 0 else "bottom",
        color=colours.answer,
        fontsize="small",
    )


def _limits(axes: Axes, data: HyperbolaData) -> None:
    """All runs, and the asymptotes and the critical batch if they are within reach."""
    updates = [one for seeds in data.by_seed for one in seeds]
    samples = [size * one for size, seeds in zip(data.sizes, data.by_seed, strict=True) for one in seeds]
    low, high, left, right = min(updates), max(updates), min(samples), max(samples)
    if data.fit is not None:
        S, E = data.fit.updates_min, data.fit.updates_min * data.fit.critical
        low, high = max(min(low, S / 1.7), low / BEYOND), min(max(high, 2 * S), high * BEYOND)
        left, right = max(min(left, E), left / BEYOND), min(max(right, 2 * E), right * BEYOND)
    log_axis(axes, "x", left / 1.3, right * 1.6, count)
    log_axis(axes, "y", low / 1.3, high * 1.4, count)


def caption(data: HyperbolaData) -> str:
    """What the ends cost, and where the bend is."""
    first, last = (
        f"batch {count(data.sizes[at])} took {count(data.updates[at])} updates and "
        f"{count(data.updates[at] * data.sizes[at])} samples"
        for at in (0, -1)
    )
    text = f"To a loss of {number(data.loss)} {first}, {last}."
    if data.fit is None:
        return text
    return (
        f"{text} The curve cannot fall below {count(data.fit.updates_min)} updates, however large the batch, "
        f"nor below {count(data.fit.updates_min * data.fit.critical)} samples, however small; at the "
        f"critical batch, {number(data.fit.critical)}, it takes twice each{_doubt(data.fit.status)}."
    )


def _doubt(status: str) -> str:
    """What the measurement leaves open."""
    return {
        "ok": "",
        "no_saturation": ". The measurement leaves open whether the updates stop falling at all",
        "no_gain": ". The measurement leaves open whether a larger batch saves updates at all",
    }.get(status, ". The measurement does not determine where the bend is")


def alt(data: HyperbolaData) -> str:
    """The picture in words."""
    return f"Updates over samples for {len(data.sizes)} batch sizes, both axes logarithmic. {caption(data)}"


def table(data: HyperbolaData) -> Table:
    """One row a batch size."""
    rows = tuple(
        (count(size), count(updates), f"{count(low)} to {count(high)}", count(size * updates))
        for size, updates, low, high in zip(data.sizes, data.updates, data.lows, data.highs, strict=True)
    )
    return Table(("batch", "updates", "95% interval", "samples"), rows)


HYPERBOLA = Picture(
    title="Updates against samples", data=data, draw=draw, caption=caption, alt=alt, table=table
)
