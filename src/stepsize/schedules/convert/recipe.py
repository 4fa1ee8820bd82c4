"""What a conversion produces: a call of the other library, to be made or to be printed."""

from __future__ import annotations

import importlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from stepsize.schedules.algebra import Clipped, Joint, Lasting, Product, Scaled, Sequence
from stepsize.schedules.bound import round_half_up
from stepsize.schedules.clock import Clock
from stepsize.schedules.policy import Policy
from stepsize.schedules.schedule import Schedule
from stepsize.schedules.units import LengthLike, Run


class ConversionError(ValueError):
    """The other library has no equivalent; the message says what differs and what to do."""


@dataclass(frozen=True)
class Call:
    """A call of a function or class by its dotted path; arguments may be calls.

    With `optimizer`, the call takes the optimizer first, and so can be made only with one.
    """

    path: str
    arguments: Mapping[str, Any]
    optimizer: bool = False

    def make(self, optimizer: Any = None) -> Any:
        """Import the library and call it."""
        module, _, name = self.path.rpartition(".")
        try:
            function = getattr(importlib.import_module(module), name)
        except ImportError as error:
            package = self.path.partition(".")[0]
            raise ImportError(
                f"{self.path} cannot be imported ({error}): pip install 'stepsize[{package}]'"
            ) from error
        arguments = {key: _made(value, optimizer) for key, value in self.arguments.items()}
        return function(optimizer, **arguments) if self.optimizer else function(**arguments)

    def code(self) -> str:
        """The source text of the call."""
        words = ["optimizer"] if self.optimizer else []
        words += [f"{key}={_code(value)}" for key, value in self.arguments.items()]
        return f"{self.path}({', '.join(words)})"


def _made(value: Any, optimizer: Any) -> Any:
    if isinstance(value, Call):
        return value.make(optimizer)
    return [_made(item, optimizer) for item in value] if isinstance(value, list) else value


def _code(value: Any) -> str:
    if isinstance(value, Call):
        return value.code()
    return f"[{', '.join(map(_code, value))}]" if isinstance(value, list) else repr(value)


@dataclass(frozen=True)
class Part:
    """One policy of a schedule and the updates that it has; `steps` is infinite for an endless one."""

    policy: Policy
    steps: float
    run: Run | None

    @property
    def name(self) -> str:
        return self.policy.name

    @property
    def lr(self) -> float:
        return self.policy.lr

    def __getitem__(self, argument: str) -> Any:
        return self.policy.values_by_name[argument]

    def updates(self, length: LengthLike) -> float:
        """A length in updates."""
        return Clock(np.zeros(0), self.steps, self.run).place(length)

    def whole(self, length: LengthLike, library: str) -> int:
        """A length that the other library wants in whole updates."""
        updates = self.updates(length)
        if updates != math.floor(updates):
            raise ConversionError(
                f"{library} counts whole updates, but {length} is {updates:g}: give whole steps"
            )
        return int(updates)

    @property
    def horizon(self) -> int:
        """The updates of a part that must end."""
        if math.isinf(self.steps):
            raise ValueError(f"{self.policy} needs the length of the run: to(..., Run(steps=...))")
        return int(self.steps)


def parts(schedule: Schedule, run: Run | None, library: str) -> list[Part]:
    """A schedule as policies one after another, each with its own peak rate.

    Raises `ConversionError` for products and clips, which no other library has, and for controls.
    """
    schedule.resolve(run)
    if isinstance(schedule, Joint):
        raise ConversionError(
            f"{library} schedules set the rate alone: convert s.rate, and the controls of {schedule} one "
            f"by one"
        )
    return _parts(schedule, math.inf if run is None else run.steps, run, 1.0, library)


def _parts(schedule: Schedule, steps: float, run: Run | None, factor: float, library: str) -> list[Part]:
    match schedule:
        case Policy():
            scaled = replace(schedule, lr=schedule.lr * factor)
            return [Part(scaled, steps, run)]
        case Scaled():
            return _parts(schedule.inner, steps, run, factor * schedule.factor, library)
        case Lasting():
            return _parts(schedule.inner, steps, run, factor, library)
        case Sequence():
            places = schedule.boundaries(steps, run)
            return [
                part
                for phase, start, stop in zip(schedule.phases, places, places[1:], strict=False)
                for part in _parts(phase, stop - start, run, factor, library)
            ]
        case Product() | Clipped():
            kind = "products" if isinstance(schedule, Product) else "clipping"
            raise ConversionError(f"{library} has no {kind} of schedules: {schedule}")
    raise ConversionError(f"{library} has nothing like {type(schedule).__name__}")


def length(schedule: Schedule, run: Run) -> int:
    """The updates of a schedule on a run: its own length, or the run's."""
    extent = schedule._extent(run)
    return run.steps if extent is None else round_half_up(extent)


def refuse(library: str, part: Part, difference: str) -> ConversionError:
    """The error that names what differs."""
    return ConversionError(f"{library} has no equivalent of {part.policy}: {difference}")
