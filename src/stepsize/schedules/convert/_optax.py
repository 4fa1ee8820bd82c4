"""optax: functions from the count to the absolute rate, so peaks go into the calls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stepsize.schedules.convert.recipe import Call, Part, parts, refuse
from stepsize.schedules.schedule import Schedule
from stepsize.schedules.units import Run


def recipe(schedule: Schedule, run: Run | None) -> Call:
    """The optax schedule with the same rates, in the precision that jax is set to."""
    pieces = parts(schedule, run, "optax")
    calls = [call_of(piece) for piece in pieces]
    if len(calls) == 1:
        return calls[0]
    boundaries, at = [], 0
    for piece in pieces[:-1]:
        at += piece.horizon
        boundaries.append(at)
    return _call("join_schedules", schedules=calls, boundaries=boundaries)


def _call(name: str, **arguments: Any) -> Call:
    return Call(f"optax.{name}", arguments)


def call_of(part: Part) -> Call:
    """One part alone; raises `ConversionError` where the library has no such formula."""
    if part.name not in _WRITERS:
        raise refuse(
            "optax", part, "none of its functions has this formula; any function of the count will do there"
        )
    return _WRITERS[part.name](part)


def _constant(part: Part) -> Call:
    return _call("constant_schedule", value=part.lr)


def _line(part: Part, start: float, end: float, steps: int) -> Call:
    if steps == 0:
        return _constant(part)
    return _call(
        "linear_schedule", init_value=start * part.lr, end_value=end * part.lr, transition_steps=steps
    )


def _exponential(part: Part, *, staircase: bool) -> Call:
    return _call(
        "exponential_decay",
        init_value=part.lr,
        transition_steps=part.updates(part["every"]),
        decay_rate=part["gamma"],
        staircase=staircase,
    )


def _steps(part: Part, places: list[int], factor: float) -> Call:
    return _call(
        "piecewise_constant_schedule",
        init_value=part.lr,
        boundaries_and_scales=dict.fromkeys(places, factor),
    )


def _poly(part: Part) -> Call:
    return _call(
        "polynomial_schedule",
        init_value=part.lr,
        end_value=part["floor"] * part.lr,
        power=part["power"],
        transition_steps=part.horizon,
    )


def _cosine(part: Part) -> Call:
    return _call("cosine_decay_schedule", init_value=part.lr, decay_steps=part.horizon, alpha=part["floor"])


def _restarts(part: Part) -> Call:
    length, at, peak = part.updates(part["first"]), 0.0, 1.0
    cycles, boundaries = [], []
    while at < part.horizon:
        floor = part["floor"] / max(peak, part["floor"]) if part["floor"] else 0.0
        top = part.lr * max(peak, part["floor"])
        cycles.append(_call("cosine_decay_schedule", init_value=top, decay_steps=length, alpha=floor))
        at, length, peak = at + length, length * part["growth"], peak * part["decay"]
        boundaries.append(at)
    return _call("join_schedules", schedules=cycles, boundaries=boundaries[:-1])


def _one_cycle(part: Part) -> Call:
    if part["anneal"] != "cosine" or part["three_phase"] or part["start"] == 0 or part["end"] == 0:
        raise refuse(
            "optax", part, "cosine_onecycle_schedule has two cosine phases and divides by start and end"
        )
    top = part.whole(part["top"], "optax")
    return _call(
        "cosine_onecycle_schedule",
        transition_steps=part.horizon,
        peak_value=part.lr,
        pct_start=(top + 0.5) / part.horizon,  # optax rounds pct * steps down
        div_factor=1.0 / part["start"],
        final_div_factor=part["start"] / part["end"],
    )


def _warmup(part: Part) -> Call:
    steps, start = part.horizon, part["start"]
    last = steps if part["zero_first"] else steps - 1
    first = start if part["zero_first"] else start + (1.0 - start) / steps
    if part["shape"] == "linear":
        return _line(part, first, 1.0, last)
    if part["shape"] == "cosine":
        raise refuse("optax", part, "it has no cosine warm-up; use shape='linear'")
    begin = start if part["zero_first"] else start ** (1.0 - 1.0 / steps)
    return _call(
        "exponential_decay",
        init_value=begin * part.lr,
        transition_steps=steps,
        decay_rate=1.0 / start,
        end_value=part.lr,
    )


def _decay(part: Part) -> Call:
    if part["shape"] == "linear":
        return _line(part, 1.0, part["floor"], part.horizon)
    if part["shape"] == "cosine":
        return _cosine(part)
    if part["shape"] == "exponential":
        return _call(
            "exponential_decay",
            init_value=part.lr,
            transition_steps=part.horizon,
            decay_rate=part["floor"],
            end_value=part["floor"] * part.lr,
        )
    raise refuse("optax", part, "no function falls like this; use shape='linear' or 'cosine'")


def _piecewise(part: Part) -> Call:
    places = [part.whole(place, "optax") for place in part["at"]]
    heights = [factor * part.lr for factor in part["factors"]]
    first = _call("constant_schedule", value=heights[0])
    if part["between"] == "previous":
        rest = [_call("constant_schedule", value=height) for height in heights[1:]]
        return _call("join_schedules", schedules=[first, *rest], boundaries=places[1:])
    lines = [
        _call("linear_schedule", init_value=low, end_value=high, transition_steps=stop - start)
        for low, high, start, stop in zip(heights, heights[1:], places, places[1:], strict=False)
    ]
    return _call("join_schedules", schedules=[first, *lines], boundaries=places[: len(lines)])


def _plateau(part: Part) -> Call:
    if part["floor"] > 0:
        raise refuse("optax", part, "piecewise_constant_schedule has no floor")
    return _steps(part, [int(cut.amount) for cut in part["cuts"]], part["factor"])


_WRITERS: dict[str, Callable[[Part], Call]] = {
    "fixed": _constant,
    "hold": _constant,
    "step": lambda p: _exponential(p, staircase=True),
    "multistep": lambda p: _steps(p, [p.whole(m, "optax") for m in p["milestones"]], p["gamma"]),
    "exp": lambda p: _exponential(p, staircase=False),
    "poly": _poly,
    "linear": lambda p: _line(p, p["start"], p["end"], p.horizon),
    "cosine": _cosine,
    "warm_restarts": _restarts,
    "one_cycle": _one_cycle,
    "warmup": _warmup,
    "decay": _decay,
    "piecewise": _piecewise,
    "plateau": _plateau,
}
