"""What a picture of loss curves shows: the results that hold some, their verdicts, and which are drawn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import numpy as np

from stepsize._result import Result
from stepsize.decide.advice import Advice
from stepsize.estimate.diagnosis import Reading, Verdict, read_curve
from stepsize.measure.diagnosis import Diagnosis
from stepsize.report.numbers import rate
from stepsize.report.pictures.range_test import finite_or_none
from stepsize.runs.statistics import Arm
from stepsize.runs.table import Runs
from stepsize.schedules import Run, Schedule
from stepsize.training.history import History

LINES = 6
"""Curves drawn at most: all, if there are no more, else one of each verdict."""

POINTS, BLOCKS = 400, 24
"""Losses of a curve that are drawn, evenly picked, and stretches that it is averaged over."""

LONG_ENOUGH = 100
"""Updates from which on a rehearsal shows more than a beginning, which would look too slow at any rate."""

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
