"""keras.optimizers.schedules: functions of the step to the absolute rate, in float32."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stepsize.schedules.annealing import cosine, linear, piecewise
from stepsize.schedules.classic import exp, inv, poly, step
from stepsize.schedules.convert.recipe import Call, ConversionError, Part, parts, refuse
from stepsize.schedules.cycles import warm_restarts
from stepsize.schedules.phases import warmup
from stepsize.schedules.schedule import Schedule
from stepsize.schedules.units import Length, Run

_HOME = "keras.optimizers.schedules."


def recipe(schedule: Schedule, run: Run | None) -> Call:
    """The keras schedule with the same rates, in float32."""
    pieces = parts(schedule, run, "keras")
    match [piece.name for piece in pieces]:
        case [_]:
            return _recipe(pieces[0])
        case ["warmup", "cosine"] if _plain(pieces[0]) and pieces[0].lr == pieces[1].lr:
            return _warm_cosine(*pieces)
    raise ConversionError(
        f"keras has no sequence of schedules, only warmup(zero_first=True) | cosine(): {schedule}"
    )


def _call(name: str, **arguments: Any) -> Call:
    return Call(_HOME + name, arguments)


def _recipe(part: Part) -> Call:
    if part.name not in _WRITERS:
        raise refuse("keras", part, "none of its classes has this formula; subclass LearningRateSchedule")
    return _WRITERS[part.name](part)


def _plain(part: Part) -> bool:
    return bool(part["zero_first"]) and part["shape"] == "linear"


def _warm_cosine(warm: Part, anneal: Part) -> Call:
    return _call(
        "CosineDecay",
        initial_learning_rate=warm["start"] * warm.lr,
        decay_steps=anneal.horizon,
        alpha=anneal["floor"],
        warmup_target=warm.lr,
        warmup_steps=warm.horizon,
    )


def _exponential(part: Part, *, staircase: bool) -> Call:
    return _call(
        "ExponentialDecay",
        initial_learning_rate=part.lr,
        decay_steps=part.updates(part["every"]),
        decay_rate=part["gamma"],
        staircase=staircase,
    )


def _inverse(part: Part) -> Call:
    if part["power"] != 1:
        raise refuse("keras", part, "InverseTimeDecay has power 1")
    return _call(
        "InverseTimeDecay",
        initial_learning_rate=part.lr,
        decay_steps=part.updates(part["every"]),
        decay_rate=part["gamma"],
    )


def _line(part: Part, start: float, end: float, power: float = 1.0) -> Call:
    return _call(
        "PolynomialDecay",
        initial_learning_rate=start * part.lr,
        decay_steps=part.horizon,
        end_learning_rate=end * part.lr,
        power=power,
    )


def _restarts(part: Part) -> Call:
    if part["decay"] != 1 and part["floor"] > 0:
        raise refuse("keras", part, "CosineDecayRestarts shrinks only what is above the floor; use floor=0")
    return _call(
        "CosineDecayRestarts",
        initial_learning_rate=part.lr,
        first_decay_steps=part.updates(part["first"]),
        t_mul=part["growth"],
        m_mul=part["decay"],
        alpha=part["floor"],
    )


def _stairs(part: Part, places: list[int], factors: list[float]) -> Call:
    # keras keeps a value up to and including its boundary
    return _call(
        "PiecewiseConstantDecay",
        boundaries=[place - 1 for place in places],
        values=[factor * part.lr for factor in factors],
    )


def _multistep(part: Part) -> Call:
    places = [part.whole(milestone, "keras") for milestone in part["milestones"]]
    return _stairs(part, places, [part["gamma"] ** count for count in range(len(places) + 1)])


def _piecewise(part: Part) -> Call:
    if part["between"] != "previous":
        raise refuse("keras", part, "PiecewiseConstantDecay draws no lines; use between='previous'")
    return _stairs(part, [part.whole(place, "keras") for place in part["at"]][1:], list(part["factors"]))


def _plateau(part: Part) -> Call:
    cuts = [int(cut.amount) for cut in part["cuts"]]
    heights = [max(part["factor"] ** count, part["floor"]) for count in range(len(cuts) + 1)]
    return _stairs(part, cuts, heights)


def _decay(part: Part) -> Call:
    if part["shape"] == "linear":
        return _line(part, 1.0, part["floor"])
    if part["shape"] == "cosine":
        return _WRITERS["cosine"](part)
    raise refuse("keras", part, "no class falls like this; use shape='linear' or 'cosine'")


def _constant(part: Part) -> Call:
    return _call("ExponentialDecay", initial_learning_rate=part.lr, decay_steps=1, decay_rate=1.0)


_WRITERS: dict[str, Callable[[Part], Call]] = {
    "fixed": _constant,
    "hold": _constant,
    "step": lambda p: _exponential(p, staircase=True),
    "multistep": _multistep,
    "exp": lambda p: _exponential(p, staircase=False),
    "inv": _inverse,
    "poly": lambda p: _line(p, 1.0, p["floor"], p["power"]),
    "linear": lambda p: _line(p, p["start"], p["end"]),
    "cosine": lambda p: _call(
        "CosineDecay", initial_learning_rate=p.lr, decay_steps=p.horizon, alpha=p["floor"]
    ),
    "warm_restarts": _restarts,
    "piecewise": _piecewise,
    "plateau": _plateau,
    "decay": _decay,
}


def read(theirs: Any) -> Schedule:
    """A keras schedule, from its configuration; raises `ConversionError` for a class without a known
    formula.
    """
    kind = type(theirs).__name__
    if kind not in _READERS:
        raise ConversionError(f"keras's {kind} has no known formula: use recognise() on its rates")
    return _READERS[kind](theirs.get_config())


def _read_exponential(c: dict[str, Any]) -> Schedule:
    every = Length(float(c["decay_steps"]), "steps")
    return (step if c["staircase"] else exp)(c["initial_learning_rate"], gamma=c["decay_rate"], every=every)


def _read_inverse(c: dict[str, Any]) -> Schedule:
    if c["staircase"]:
        raise ConversionError("InverseTimeDecay(staircase=True) falls in steps, which inv does not")
    every = Length(float(c["decay_steps"]), "steps")
    return inv(c["initial_learning_rate"], gamma=c["decay_rate"], power=1.0, every=every)


def _read_poly(c: dict[str, Any]) -> Schedule:
    if c["cycle"]:
        raise ConversionError("PolynomialDecay(cycle=True) stretches its horizon again and again")
    first, last = c["initial_learning_rate"], c["end_learning_rate"]
    if last > first:
        if c["power"] != 1:
            raise ConversionError("a PolynomialDecay that rises has an equivalent for power=1 only")
        return linear(last, start=first / last, end=1.0).over(c["decay_steps"])
    return poly(first, power=c["power"], floor=last / first).over(c["decay_steps"])


def _read_cosine(c: dict[str, Any]) -> Schedule:
    peak = c["initial_learning_rate"] if c["warmup_target"] is None else c["warmup_target"]
    anneal = cosine(peak, floor=c["alpha"]).over(c["decay_steps"])
    if not c["warmup_steps"] or c["warmup_target"] is None:
        return anneal
    return (
        warmup(c["warmup_steps"], lr=peak, start=c["initial_learning_rate"] / peak, zero_first=True) | anneal
    )


def _read_restarts(c: dict[str, Any]) -> Schedule:
    if c["alpha"] and c["m_mul"] != 1:
        raise ConversionError(
            "CosineDecayRestarts shrinks only what is above alpha, warm_restarts whole peaks"
        )
    return warm_restarts(
        c["initial_learning_rate"],
        first=Length(float(c["first_decay_steps"]), "steps"),
        growth=c["t_mul"],
        decay=c["m_mul"],
        floor=c["alpha"],
    )


def _read_stairs(c: dict[str, Any]) -> Schedule:
    values = [float(value) for value in c["values"]]
    peak = max(values)
    at = [0, *(int(boundary) + 1 for boundary in c["boundaries"])]
    return piecewise(peak, at=at, factors=[value / peak for value in values], between="previous")


_READERS: dict[str, Callable[[dict[str, Any]], Schedule]] = {
    "ExponentialDecay": _read_exponential,
    "InverseTimeDecay": _read_inverse,
    "PolynomialDecay": _read_poly,
    "CosineDecay": _read_cosine,
    "CosineDecayRestarts": _read_restarts,
    "PiecewiseConstantDecay": _read_stairs,
}
