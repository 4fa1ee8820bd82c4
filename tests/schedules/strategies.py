"""Hypothesis strategies: any schedule that can be written down."""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args, get_origin

from hypothesis import strategies as st

from stepsize.schedules import SHAPES, Length, Schedule
from stepsize.schedules.parameters import Interval, Optional, Parameter
from stepsize.schedules.policy import maker
from stepsize.schedules.units import LengthLike

lengths = st.one_of(
    st.integers(1, 10**6).map(lambda n: Length(float(n), "steps")),
    st.floats(0.01, 100).map(lambda p: Length(p, "%")),
    st.floats(0.01, 1e6).map(lambda n: Length(n, "epochs")),
    st.floats(0.01, 1e15).map(lambda n: Length(n, "samples")),
    st.floats(0.01, 1e15).map(lambda n: Length(n, "tokens")),
)
rates = st.floats(1e-12, 1e3)


def _number(interval: Interval) -> st.SearchStrategy[float]:
    low, high = max(interval.low, -1e6), min(interval.high, 1e6)
    return st.floats(low, high).filter(lambda value: value in interval)


def value(parameter: Parameter) -> st.SearchStrategy[Any]:
    """Anything that one parameter admits."""
    annotation = parameter.annotation
    if annotation == Optional:
        return st.none() | lengths
    if annotation == LengthLike:
        return lengths
    if get_origin(annotation) is Literal:
        return st.sampled_from(get_args(annotation))
    if annotation is bool:
        return st.booleans()
    assert get_origin(annotation) is Annotated
    return _number(annotation.__metadata__[0])


@st.composite
def policies(draw: st.DrawFn) -> Schedule:
    """One shape with any admitted parameters; its peak is any rate."""
    name = draw(st.sampled_from(sorted(SHAPES)))
    arguments: dict[str, Any] = {"lr": draw(rates)}
    entry = SHAPES[name]
    steps = st.lists(st.integers(1, 10**6), min_size=1, max_size=5, unique=True).map(sorted)
    for word, parameter in entry.parameters.items():
        if word in ("milestones", "cuts"):
            arguments[word] = draw(steps)
        elif word == "at":
            arguments["at"] = draw(steps)
            count = len(arguments["at"])
            arguments["factors"] = draw(st.lists(st.floats(0.01, 1), min_size=count, max_size=count))
        elif word != "factors":
            arguments[word] = draw(value(parameter))
    try:
        return maker(name)(**arguments)
    except ValueError:
        # The combinations that a shape refuses all come from a zero that must not be one.
        zeros = {word: 0.5 for word in ("start", "end", "floor", "gamma") if word in arguments}
        return maker(name)(**(arguments | zeros))


def schedules() -> st.SearchStrategy[Schedule]:
    """Trees of every kind of node."""

    def grow(children: st.SearchStrategy[Schedule]) -> st.SearchStrategy[Schedule]:
        return st.one_of(
            st.tuples(children, children).map(_or_left(lambda pair: pair[0] | pair[1])),
            st.tuples(children, children).map(lambda pair: pair[0].rate * pair[1].rate),
            st.tuples(children, st.floats(1e-3, 1e3)).map(lambda pair: pair[0] * pair[1]),
            st.tuples(children, st.floats(0, 1), st.floats(1, 9)).map(lambda t: t[0].clip(t[1], t[2])),
            st.tuples(children, lengths).map(_or_left(lambda pair: pair[0].over(pair[1]))),
            st.tuples(children, children).map(lambda pair: pair[0].along(momentum=pair[1].rate)),
        )

    return st.recursive(policies(), grow, max_leaves=6)


def _or_left(build: Any) -> Any:
    def attempt(parts: tuple[Schedule, Any]) -> Schedule:
        try:
            joined: Schedule = build(parts)
            return joined
        except ValueError:  # lengths that contradict each other
            return parts[0]

    return attempt
