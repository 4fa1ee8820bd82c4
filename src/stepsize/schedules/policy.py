"""Shapes by name: the registry, and the schedule that one shape with its parameters makes."""

from __future__ import annotations

import difflib
import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import (
    Any,
    Concatenate,
    Literal,
    ParamSpec,
    Protocol,
    cast,
    get_type_hints,
)

from stepsize.schedules.clock import Array, Clock
from stepsize.schedules.parameters import Optional, Parameter, plain, read, text
from stepsize.schedules.robbins_monro import Tail
from stepsize.schedules.schedule import Schedule
from stepsize.schedules.units import Length, LengthLike, Run, number_text, positive

P = ParamSpec("P")
Trend = Literal["falling", "rising", "neither"]


@dataclass(frozen=True)
class Shape:
    """One registered shape: its formula, parameters, source, and what is proved about it.

    `formula(clock, ...)` gives the factors of the peak. `sized` shapes have their own duration.
    `trend` and `end` (the parameter that is the factor at t = T, exactly) are claims that the contract test
    checks, `tail` gives the asymptotics that the Robbins-Monro verdict rests on. `example` is a typical
    schedule.
    """

    name: str
    formula: Callable[..., Array]
    example: str
    source: str
    trend: Trend | Callable[[dict[str, Any]], Trend]
    end: str | None
    tail: Callable[[dict[str, Any]], Tail | None]
    requires: Callable[[dict[str, Any]], str | None]
    sized: bool
    parameters: Mapping[str, Parameter]

    @property
    def summary(self) -> str:
        """The first line of the formula's docstring."""
        return (inspect.getdoc(self.formula) or "").split("\n", 1)[0]

    def trend_of(self, arguments: dict[str, Any]) -> Trend:
        """Whether the factors fall, rise or do neither, for these arguments."""
        return self.trend(arguments) if callable(self.trend) else self.trend


SHAPES: dict[str, Shape] = {}
"""Every shape by name."""
COMPOSITIONS: dict[str, Callable[..., Schedule]] = {}
"""Names that stand for a schedule made of shapes."""
ELSEWHERE = {
    "constant": "fixed",
    "cosineannealing": "cosine",
    "cosineannealingwarmrestarts": "warm_restarts",
    "sgdr": "warm_restarts",
    "exponential": "exp",
    "polynomial": "poly",
    "cyclic": "triangular",
    "reduceonplateau": "plateau",
    "trapezoidal": "wsd",
}
"""What torch and others call a shape, in lower case without underscores and "LR", and what it is here."""


@dataclass(frozen=True, slots=True)
class Policy(Schedule):
    """One shape with its parameters, scaled to a peak rate; made by the functions named after shapes."""

    name: str
    lr: float
    arguments: tuple[tuple[str, Any], ...]

    @property
    def shape(self) -> Shape:
        """The registered shape."""
        return SHAPES[self.name]

    @property
    def values_by_name(self) -> dict[str, Any]:
        """The parameters, as the formula takes them."""
        return dict(self.arguments)

    @property
    def peak(self) -> float:
        return self.lr

    def _evaluate(self, clock: Clock) -> Array:
        arguments = self.values_by_name
        if self.shape.sized:
            over = arguments.pop("over")
            if over is not None and not clock.sized:
                clock = clock.phase(0, max(1, math.floor(clock.updates(over) + 0.5)))
        try:
            values: Array = self.lr * self.shape.formula(clock, **arguments)
            return values
        except ValueError as error:
            raise ValueError(f"{self}: {error}") from None

    def _scaled(self, factor: float) -> Schedule:
        return Policy(self.name, positive(f"{self.name}: lr", self.lr * factor), self.arguments)

    def at(self, peak: float) -> Schedule:
        return Policy(self.name, positive(f"{self.name}: lr", peak), self.arguments)

    def _extent(self, run: Run | None) -> Fraction | None:
        over = self.values_by_name.get("over") if self.shape.sized else None
        if over is None:
            return None
        return duration(self, over, run)

    def _tail(self) -> Tail | None:
        return self.shape.tail(self.values_by_name)

    def _document(self) -> dict[str, Any]:
        given = {name: plain(value) for name, value in self._given()}
        return {"policy": self.name, "lr": self.lr, **given}

    def _given(self) -> list[tuple[str, Any]]:
        parameters = self.shape.parameters
        return [(name, value) for name, value in self.arguments if value != parameters[name].default]

    def __repr__(self) -> str:
        words = []
        given = dict(self._given())
        if self.shape.sized:
            over = given.pop("over", None)
            words += [repr(over)] if over is not None else []
            words += [f"lr={number_text(self.lr)}"] if self.lr != 1 else []
        elif self.lr != 1:
            words.append(number_text(self.lr))
        words += [f"{name}={text(value)}" for name, value in given.items()]
        return f"{self.name}({', '.join(words)})"

    def __str__(self) -> str:
        return repr(self)


class ShapeFunction(Protocol[P]):
    """A public function that makes a schedule of one shape, the peak rate first."""

    __name__: str

    def __call__(self, lr: float = 1.0, *args: P.args, **kwargs: P.kwargs) -> Policy: ...


class PhaseFunction(Protocol[P]):
    """A public function that makes a phase; its duration comes first, None for the rest of the run."""

    __name__: str

    def __call__(
        self, over: LengthLike | None = None, lr: float = 1.0, *args: P.args, **kwargs: P.kwargs
    ) -> Policy: ...


def _ends(_: dict[str, Any]) -> Tail | None:
    return None


def _no_demand(_: dict[str, Any]) -> str | None:
    return None


def shape(
    *,
    example: str,
    source: str,
    trend: Trend | Callable[[dict[str, Any]], Trend] = "falling",
    end: str | None = None,
    tail: Callable[[dict[str, Any]], Tail | None] = _ends,
    requires: Callable[[dict[str, Any]], str | None] = _no_demand,
) -> Callable[[Callable[Concatenate[Clock, P], Array]], ShapeFunction[P]]:
    """Register the decorated formula and turn it into the public function that makes the schedule.

    The formula's annotations are the parameters' ranges. `requires` returns what is wrong with a
    combination of arguments, or None.
    """

    def register(formula: Callable[Concatenate[Clock, P], Array]) -> ShapeFunction[P]:
        entry = _entry(formula, example, source, trend, end, tail, requires, sized=False)

        def make(lr: float = 1.0, *args: Any, **kwargs: Any) -> Policy:
            return _make(entry, lr, args, kwargs)

        return cast("ShapeFunction[P]", _present(make, entry, ["lr"]))

    return register


def phase(
    *,
    example: str,
    source: str,
    trend: Trend | Callable[[dict[str, Any]], Trend],
    end: str | None = None,
    tail: Callable[[dict[str, Any]], Tail | None] = _ends,
    requires: Callable[[dict[str, Any]], str | None] = _no_demand,
) -> Callable[[Callable[Concatenate[Clock, P], Array]], PhaseFunction[P]]:
    """Like `shape`, for shapes that have a duration of their own."""

    def register(formula: Callable[Concatenate[Clock, P], Array]) -> PhaseFunction[P]:
        entry = _entry(formula, example, source, trend, end, tail, requires, sized=True)

        def make(over: LengthLike | None = None, lr: float = 1.0, *args: Any, **kwargs: Any) -> Policy:
            return _make(entry, lr, args, {"over": over, **kwargs})

        return cast("PhaseFunction[P]", _present(make, entry, ["over", "lr"]))

    return register


def composition(make: Callable[..., Schedule]) -> Callable[..., Schedule]:
    """Register a function that makes a schedule out of shapes."""
    _claim(make.__name__)
    COMPOSITIONS[make.__name__] = make
    return make


def maker(name: str) -> Callable[..., Schedule]:
    """The public function for a registered name; raises `ValueError` suggesting the nearest one."""
    if name in COMPOSITIONS:
        return COMPOSITIONS[name]
    if name in SHAPES:
        entry = SHAPES[name]
        if entry.sized:
            return lambda over=None, lr=1.0, *args, **kwargs: _make(entry, lr, args, {"over": over, **kwargs})
        return lambda lr=1.0, *args, **kwargs: _make(entry, lr, args, kwargs)
    known = sorted([*SHAPES, *COMPOSITIONS])
    bare = name.lower().replace("_", "").removesuffix("lr")
    near = [ELSEWHERE[bare]] if bare in ELSEWHERE else difflib.get_close_matches(name, known, 1, 0.5)
    raise ValueError(
        f"there is no schedule named {name!r}"
        + (f": did you mean {near[0]!r}?" if near else f": known are {', '.join(known)}")
    )


def duration(owner: Schedule, length: LengthLike, run: Run | None) -> Fraction:
    """A phase's updates, exactly; raises `ValueError` when they come to less than one."""
    length = Length.of(length)
    if run is None:
        if length.unit != "steps":
            raise ValueError(f"{owner}: '{length}' needs a run to refer to: resolve(Run(steps=...))")
        return length.exact
    updates = run.updates(length)
    if updates < Fraction(1, 2):
        raise ValueError(
            f"{owner} lasts {float(updates):g} updates in a run of {run.steps}, and a phase needs at "
            f"least one: "
            "lengthen it, or leave it out"
        )
    return updates


def _entry(
    formula: Callable[..., Array],
    example: str,
    source: str,
    trend: Any,
    end: str | None,
    tail: Any,
    requires: Any,
    *,
    sized: bool,
) -> Shape:
    name = formula.__name__
    _claim(name)
    hints = get_type_hints(formula, include_extras=True)
    parameters = {
        word: Parameter(word, hints[word], parameter.default)
        for word, parameter in list(inspect.signature(formula).parameters.items())[1:]
    }
    if sized:
        parameters = {"over": Parameter("over", Optional, None), **parameters}
    for word, parameter in parameters.items():
        if parameter.default is not inspect.Parameter.empty:
            canonical = read(parameter.annotation, parameter.default)
            parameters[word] = Parameter(word, parameter.annotation, canonical)
    SHAPES[name] = Shape(name, formula, example, source, trend, end, tail, requires, sized, parameters)
    return SHAPES[name]


def _claim(name: str) -> None:
    if name in SHAPES or name in COMPOSITIONS:
        raise ValueError(f"a schedule named {name!r} is registered already: choose another name")


def _present(make: Any, entry: Shape, leading: list[str]) -> Any:
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    own = {
        "lr": inspect.Parameter("lr", kind, default=1.0),
        "over": inspect.Parameter("over", kind, default=None),
    }
    given = list(inspect.signature(entry.formula).parameters.values())[1:]
    if any(parameter.default is inspect.Parameter.empty for parameter in given):
        given = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in given]
    make.__signature__ = inspect.Signature([*(own[word] for word in leading), *given])
    make.__name__ = make.__qualname__ = entry.name
    make.__module__ = entry.formula.__module__
    make.__doc__ = entry.formula.__doc__
    return make


def _make(entry: Shape, lr: float, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Policy:
    names = [name for name in entry.parameters if not (entry.sized and name == "over")]
    if len(args) > len(names):
        raise ValueError(
            f"{entry.name} takes lr and {', '.join(names) or 'nothing else'}, but got {len(args) + 1} values"
        )
    given = dict(zip(names, args, strict=False))
    for name, value in kwargs.items():
        if name in given:
            raise ValueError(f"{entry.name}: {name} is given twice")
        if name not in entry.parameters:
            near = difflib.get_close_matches(name, ["lr", *entry.parameters], n=1)
            hint = (
                f"did you mean {near[0]!r}?" if near else f"it takes {', '.join(['lr', *entry.parameters])}"
            )
            raise ValueError(f"{entry.name} has no parameter {name!r}: {hint}")
        given[name] = value
    arguments = []
    for name, parameter in entry.parameters.items():
        if name in given:
            arguments.append((name, parameter.read(entry.name, given[name])))
        elif parameter.default is inspect.Parameter.empty:
            raise ValueError(f"{entry.name} needs {name}, for example {entry.example}")
        else:
            arguments.append((name, parameter.default))
    complaint = entry.requires(dict(arguments))
    if complaint:
        raise ValueError(f"{entry.name}: {complaint}")
    return Policy(entry.name, positive(f"{entry.name}: lr", lr), tuple(arguments))
