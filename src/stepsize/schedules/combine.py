"""Combining schedules, with every contradiction refused when it is written down."""

from __future__ import annotations

import math
from collections.abc import Mapping
from fractions import Fraction

from stepsize.schedules.algebra import Clipped, Joint, Lasting, Product, Scaled, Sequence, grouped
from stepsize.schedules.policy import Policy
from stepsize.schedules.schedule import Schedule
from stepsize.schedules.units import Length, LengthLike, real


def sequence(*phases: Schedule) -> Schedule:
    """`a | b | …`; raises `ValueError` when the lengths cannot add up to one run."""
    flat: list[Schedule] = []
    for phase in phases:
        _refuse_joint(phase, "|")
        flat += phase.phases if isinstance(phase, Sequence) else [phase]
    open_ended = [phase for phase in flat if _length_of(phase) is None]
    if len(open_ended) > 1:
        raise ValueError(
            f"{open_ended[0]} and {open_ended[1]} both take the rest of the run: give one a length, "
            f"{grouped(open_ended[0])}.over('50%')"
        )
    shares = sum((share for share in map(_length_of, flat) if share is not None), Fraction(0))
    if shares > 100 or (shares == 100 and open_ended):
        raise ValueError(
            f"the phases of {' | '.join(map(repr, flat))} take {float(shares):g}% of the run"
            + (f", which leaves nothing for {open_ended[0]}" if shares == 100 else ", more than 100%")
        )
    return Sequence(tuple(flat))


def product(*factors: Schedule) -> Schedule:
    """`a * b`, flattened."""
    flat: list[Schedule] = []
    for factor in factors:
        _refuse_joint(factor, "*")
        flat += factor.factors if isinstance(factor, Product) else [factor]
    return Product(tuple(flat))


def clipped(inner: Schedule, low: float, high: float) -> Schedule:
    """`s.clip(low, high)`; raises `ValueError` unless 0 ≤ low ≤ high, high > 0 and one of them limits."""
    low, high = real("clip: low", low), real("clip: high", high)
    if not (0 <= low <= high and high > 0 and math.isfinite(low)):
        raise ValueError(f"clip needs 0 <= low <= high and high > 0, but got low={low:g}, high={high:g}")
    if low == 0 and math.isinf(high):
        raise ValueError("clip needs low or high, for example clip(high=0.1)")
    if isinstance(inner, Joint):
        return Joint(Clipped(inner.inner, low, high), inner.others)
    return Clipped(inner, low, high)


def lasting(inner: Schedule, length: LengthLike) -> Schedule:
    """`s.over(length)`; raises `ValueError` for a schedule that has a length already."""
    _refuse_joint(inner, ".over()")
    if _length_of(inner) is not None:
        raise ValueError(f"{inner} has a length already: over({length!r}) contradicts it")
    span = Length.of(length)
    if span.amount == 0:
        raise ValueError(f"over: a length must be above zero, but got {length!r}")
    return Lasting(inner, span)


def joint(inner: Schedule, controls: Mapping[str, Schedule]) -> Schedule:
    """`s.along(name=schedule, …)`; later names replace earlier ones."""
    if not controls:
        raise ValueError("along needs a name and a schedule, for example along(momentum=0.95 * dip(low=0.9))")
    for name, schedule in controls.items():
        if not isinstance(schedule, Schedule) or isinstance(schedule, Joint):
            raise ValueError(f"along: {name} must be a schedule of its own, but got {schedule!r}")
        if name == "lr":
            raise ValueError("along: lr is the schedule itself")
    before = dict(inner.others) if isinstance(inner, Joint) else {}
    return Joint(inner.rate, tuple(sorted({**before, **controls}.items())))


def _length_of(schedule: Schedule) -> Fraction | None:
    """The share of the run in percent that a phase certainly takes (0 in other units); None if open-ended."""
    match schedule:
        case Lasting():
            return _percent(schedule.length)
        case Policy():
            over = dict(schedule.arguments).get("over") if schedule.shape.sized else None
            return None if over is None else _percent(over)
        case Scaled() | Clipped() | Joint():
            return _length_of(schedule.inner)
        case Product():
            shares = [_length_of(factor) for factor in schedule.factors]
            return None if None in shares else max(share for share in shares if share is not None)
        case Sequence():
            shares = [_length_of(phase) for phase in schedule.phases]
            return (
                None if None in shares else sum((share for share in shares if share is not None), Fraction(0))
            )
    raise TypeError(f"{type(schedule).__name__} does not say how long it is")


def _percent(length: Length) -> Fraction:
    return length.exact if length.unit == "%" else Fraction(0)


def _refuse_joint(schedule: Schedule, operation: str) -> None:
    if isinstance(schedule, Joint):
        raise ValueError(
            f"{schedule} carries other hyperparameters: apply {operation} first and .along(...) last"
        )
