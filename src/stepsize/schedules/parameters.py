"""What the parameters of a shape may be, told by the annotations of its formula."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args, get_origin

from stepsize.schedules.units import Length, LengthLike, number_text, real


@dataclass(frozen=True, slots=True)
class Interval:
    """The numbers that a parameter may take, written like `Interval(0, 1, "(]")`."""

    low: float
    high: float
    ends: Literal["[]", "()", "(]", "[)"] = "[]"

    def __contains__(self, value: float) -> bool:
        above = value >= self.low if self.ends[0] == "[" else value > self.low
        below = value <= self.high if self.ends[1] == "]" else value < self.high
        return math.isfinite(value) and above and below

    def __str__(self) -> str:
        return f"{self.ends[0]}{number_text(self.low)}, {number_text(self.high)}{self.ends[1]}"


Positive = Annotated[float, Interval(0, math.inf, "()")]
"""A number above 0."""
Share = Annotated[float, Interval(0, 1)]
"""A fraction of the peak, 0 and 1 included."""
Factor = Annotated[float, Interval(0, 1, "(]")]
"""What a rate is multiplied by so that it falls: above 0, at most 1."""
Optional = LengthLike | None


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a shape: what it may be, and its default (`inspect.Parameter.empty` when required)."""

    name: str
    annotation: Any
    default: Any

    def read(self, owner: str, value: Any) -> Any:
        """The canonical value; raises `ValueError` naming the parameter, what it takes and what was given."""
        try:
            return read(self.annotation, value)
        except (ValueError, TypeError, OverflowError) as error:
            raise ValueError(f"{owner}: {self.name}: {error}") from None

    @property
    def range(self) -> str:
        """What it takes, in words."""
        return _describe(self.annotation)


def read(annotation: Any, value: Any) -> Any:
    """The canonical form of an argument, by the annotation of its parameter."""
    if annotation == Optional:
        return None if value is None else read(LengthLike, value)
    if annotation == LengthLike:
        length = Length.of(value)
        if length.amount == 0:
            raise ValueError(f"a length must be above zero, but got {value!r}")
        return length
    origin = get_origin(annotation)
    if origin is Literal:
        if value not in get_args(annotation):
            raise ValueError(
                f"must be one of {', '.join(map(repr, get_args(annotation)))}, but got {value!r}"
            )
        return value
    if origin is Sequence:
        if isinstance(value, str) or not hasattr(value, "__iter__"):
            raise ValueError(f"must be a list, but got {value!r}")
        return tuple(_read_item(get_args(annotation)[0], item) for item in value)
    if annotation is bool:
        if not isinstance(value, bool):
            raise ValueError(f"must be True or False, but got {value!r}")
        return value
    number = real("it", value)
    if origin is Annotated and number not in (interval := annotation.__metadata__[0]):
        raise ValueError(f"must be in {interval}, but got {value!r}")
    return number


def _read_item(annotation: Any, value: Any) -> Any:
    return Length.of(value) if annotation == LengthLike else read(annotation, value)


def _describe(annotation: Any) -> str:
    if annotation in (Optional, LengthLike):
        return "a length" + (" or None" if annotation == Optional else "")
    origin = get_origin(annotation)
    if origin is Literal:
        return " | ".join(map(repr, get_args(annotation)))
    if origin is Sequence:
        return f"a list, each {_describe(get_args(annotation)[0])}"
    if origin is Annotated:
        return f"a number in {annotation.__metadata__[0]}"
    return "True or False" if annotation is bool else "a number"


def text(value: Any) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(map(text, value))}]"
    return number_text(value) if isinstance(value, float) else repr(value)


def plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [plain(item) for item in value]
    return str(value) if isinstance(value, Length) else value
