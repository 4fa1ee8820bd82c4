"""Schedules made of schedules: sequence, scale, product, clip, span, and controls on the same clock."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np

from stepsize.schedules.bound import round_half_up
from stepsize.schedules.clock import Array, Clock
from stepsize.schedules.policy import duration
from stepsize.schedules.robbins_monro import Tail
from stepsize.schedules.schedule import Schedule
from stepsize.schedules.units import Length, Run, number_text


@dataclass(frozen=True, slots=True)
class Sequence(Schedule):
    """Phases one after another, each on a clock that starts with it; half-open [a, b).

    One phase without a length takes what the others leave. Boundaries fall on the update nearest to
    the exact sum of the lengths before them.
    """

    phases: tuple[Schedule, ...]

    @property
    def peak(self) -> float:
        return max(phase.peak for phase in self.phases)

    def boundaries(self, total: float, run: Run | None) -> list[float]:
        """Where each phase starts, and where the last one ends, in updates.

        Raises `ValueError` when a phase comes to no update.
        """
        extents = [phase._extent(run) for phase in self.phases]
        known = sum((extent for extent in extents if extent is not None), Fraction(0))
        places: list[float] = [0]
        exact: Fraction | float = Fraction(0)
        for phase, extent in zip(self.phases, extents, strict=True):
            if extent is None:
                left = math.inf if math.isinf(total) else Fraction(total) - known
                if left <= 0 or (left != math.inf and round_half_up(Fraction(left)) < 1):
                    raise ValueError(
                        f"nothing is left for {phase}: the other phases take {float(known):g} of "
                        f"{total:g} updates"
                    )
                exact += left
            else:
                exact += extent
            places.append(math.inf if exact == math.inf else min(round_half_up(Fraction(exact)), total))
            if places[-1] <= places[-2]:
                raise ValueError(
                    f"{phase} comes to no update of its own in {total:g}: lengthen it, or leave it out"
                )
        return places

    def _evaluate(self, clock: Clock) -> Array:
        places = self.boundaries(clock.T, clock.run)
        owner = np.searchsorted(np.asarray(places[1:-1], dtype=np.float64), clock.t, side="right")
        values = np.empty_like(clock.t)
        for index, phase in enumerate(self.phases):
            mine = owner == index
            part = Clock(clock.t[mine], clock.T, clock.run)
            values[mine] = phase._evaluate(part.phase(places[index], places[index + 1]))
        return values

    def _scaled(self, factor: float) -> Schedule:
        return Scaled(factor, self)

    def _extent(self, run: Run | None) -> Fraction | None:
        extents = [phase._extent(run) for phase in self.phases]
        known = [extent for extent in extents if extent is not None]
        return sum(known, Fraction(0)) if len(known) == len(extents) else None

    def _tail(self) -> Tail | None:
        return self.phases[-1]._tail()

    def _document(self) -> dict[str, Any]:
        return {"sequence": [phase._document() for phase in self.phases]}

    def __repr__(self) -> str:
        return " | ".join(map(repr, self.phases))


@dataclass(frozen=True, slots=True)
class Scaled(Schedule):
    """All rates of a schedule times one factor."""

    factor: float
    inner: Schedule

    @property
    def peak(self) -> float:
        return self.factor * self.inner.peak

    def _evaluate(self, clock: Clock) -> Array:
        return self.factor * self.inner._evaluate(clock)

    def _scaled(self, factor: float) -> Schedule:
        return Scaled(self.factor * factor, self.inner)

    def at(self, peak: float) -> Schedule:
        # From the inner peak, not from factor to factor: 0.985 * (1 / 0.985) is not 1.
        return self.inner * (peak / self.inner.peak)

    def _extent(self, run: Run | None) -> Fraction | None:
        return self.inner._extent(run)

    def _tail(self) -> Tail | None:
        return self.inner._tail()

    def _document(self) -> dict[str, Any]:
        return {"scale": self.factor, "of": self.inner._document()}

    def __repr__(self) -> str:
        return f"{number_text(self.factor)} * {grouped(self.inner)}"


@dataclass(frozen=True, slots=True)
class Product(Schedule):
    """Schedules multiplied update by update, all on the clock of the whole run."""

    factors: tuple[Schedule, ...]

    @property
    def peak(self) -> float:
        return math.prod(factor.peak for factor in self.factors)

    def _evaluate(self, clock: Clock) -> Array:
        clock = replace(clock, sized=False)  # a phase's length is the product's, not each factor's
        values = self.factors[0]._evaluate(clock)
        for factor in self.factors[1:]:
            values = values * factor._evaluate(clock)
        return values

    def _scaled(self, factor: float) -> Schedule:
        return Scaled(factor, self)

    def _extent(self, run: Run | None) -> Fraction | None:
        extents = [factor._extent(run) for factor in self.factors]
        known = [extent for extent in extents if extent is not None]
        return max(known) if len(known) == len(extents) else None

    def _tail(self) -> Tail | None:
        tail = Tail()
        for factor in self.factors:
            own = factor._tail()
            if own is None:
                return None
            tail = tail * own
        return tail

    def _document(self) -> dict[str, Any]:
        return {"product": [factor._document() for factor in self.factors]}

    def __repr__(self) -> str:
        return " * ".join(map(grouped, self.factors))


@dataclass(frozen=True, slots=True)
class Clipped(Schedule):
    """A schedule kept within [low, high]."""

    inner: Schedule
    low: float
    high: float

    @property
    def peak(self) -> float:
        return max(self.low, min(self.high, self.inner.peak))

    def _evaluate(self, clock: Clock) -> Array:
        return np.clip(self.inner._evaluate(clock), self.low, self.high)

    def _scaled(self, factor: float) -> Schedule:
        return Scaled(factor, self)

    def _extent(self, run: Run | None) -> Fraction | None:
        return self.inner._extent(run)

    def _tail(self) -> Tail | None:
        tail = self.inner._tail()
        return Tail() if tail is not None and (self.low > 0 or tail.ratio > 1) else tail

    def _document(self) -> dict[str, Any]:
        limits = {"low": self.low} | ({} if math.isinf(self.high) else {"high": self.high})
        return {"clip": limits, "of": self.inner._document()}

    def __repr__(self) -> str:
        words = [f"low={number_text(self.low)}"] if self.low else []
        words += [] if math.isinf(self.high) else [f"high={number_text(self.high)}"]
        return f"{grouped(self.inner)}.clip({', '.join(words)})"


@dataclass(frozen=True, slots=True)
class Lasting(Schedule):
    """A schedule fitted to a length of its own."""

    inner: Schedule
    length: Length

    @property
    def peak(self) -> float:
        return self.inner.peak

    def _evaluate(self, clock: Clock) -> Array:
        if not clock.sized:
            clock = clock.phase(0, round_half_up(duration(self, self.length, clock.run)))
        return self.inner._evaluate(clock)

    def _scaled(self, factor: float) -> Schedule:
        return Lasting(self.inner * factor, self.length)

    def _extent(self, run: Run | None) -> Fraction | None:
        return duration(self, self.length, run)

    def _tail(self) -> Tail | None:
        return None

    def _document(self) -> dict[str, Any]:
        return {"over": str(self.length), "of": self.inner._document()}

    def __repr__(self) -> str:
        return f"{grouped(self.inner)}.over({self.length!r})"


@dataclass(frozen=True, slots=True)
class Joint(Schedule):
    """A rate with other hyperparameters on the same clock, each a schedule in absolute values."""

    inner: Schedule
    others: tuple[tuple[str, Schedule], ...]

    @property
    def peak(self) -> float:
        return self.inner.peak

    @property
    def rate(self) -> Schedule:
        return self.inner

    def controls(self, run: Run | int | None = None) -> dict[str, Array]:
        run = self.planned if run is None else run
        return {name: schedule.values(run) for name, schedule in self.others}

    def _evaluate(self, clock: Clock) -> Array:
        return self.inner._evaluate(clock)

    def _scaled(self, factor: float) -> Schedule:
        return Joint(self.inner * factor, self.others)

    def _extent(self, run: Run | None) -> Fraction | None:
        return self.inner._extent(run)

    def _tail(self) -> Tail | None:
        return self.inner._tail()

    def _document(self) -> dict[str, Any]:
        return {
            "along": {name: schedule._document() for name, schedule in self.others},
            "of": self.inner._document(),
        }

    def __repr__(self) -> str:
        words = ", ".join(f"{name}={schedule!r}" for name, schedule in self.others)
        return f"{grouped(self.inner)}.along({words})"


def grouped(schedule: Schedule) -> str:
    """The text form, in parentheses where a tighter operator follows."""
    return f"({schedule!r})" if isinstance(schedule, Sequence | Product | Scaled) else repr(schedule)
