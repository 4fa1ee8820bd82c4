"""transformers.get_*_schedule: LambdaLR objects whose warm-up is t/W, from rate 0."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stepsize.schedules.annealing import cosine, inverse_sqrt, linear
from stepsize.schedules.classic import fixed, poly
from stepsize.schedules.convert.recipe import Call, ConversionError, Part, parts, refuse
from stepsize.schedules.cycles import warm_restarts
from stepsize.schedules.phases import decay, hold, warmup
from stepsize.schedules.schedule import Schedule
from stepsize.schedules.units import Run

_HOME = "transformers.optimization."


def recipe(schedule: Schedule, run: Run | None) -> Call:
    """The LambdaLR that lands on the same rates when the optimizer's lr is the schedule's peak."""
    pieces = parts(schedule, run, "transformers")
    for piece in pieces[1:]:
        if piece.lr != pieces[0].lr:
            raise refuse("transformers", piece, "its phases all multiply the optimizer's lr")
    warm = 0
    if pieces[0].name == "warmup" and len(pieces) > 1:
        _check_warmup(pieces[0], keep_start=[piece.name for piece in pieces] == ["warmup", "hold", "decay"])
        warm = pieces[0].horizon
    rest = pieces[1:] if warm else pieces
    match [piece.name for piece in rest]:
        case ["hold", "decay"] if warm:
            return _stable(pieces[0], rest[0], rest[1])
        case [name] if name in _WRITERS:
            return _WRITERS[name](rest[0], warm)
    raise ConversionError(
        f"transformers has no equivalent of {schedule}: it knows one warm-up followed by constant, "
        f"linear, cosine, "
        "restarts, polynomial or inverse square root, and warm-up, hold, decay"
    )


def _check_warmup(part: Part, *, keep_start: bool) -> None:
    if not part["zero_first"] or part["shape"] != "linear" or (part["start"] and not keep_start):
        raise refuse(
            "transformers", part, "its warm-up is t/W, so the first update has rate 0: use zero_first=True"
        )


def _call(name: str, **arguments: Any) -> Call:
    return Call(_HOME + name, arguments, optimizer=True)


def _constant(part: Part, warm: int) -> Call:
    if not warm:
        return _call("get_constant_schedule")
    return _call("get_constant_schedule_with_warmup", num_warmup_steps=warm)


def _line(part: Part, warm: int, ends: tuple[float, float]) -> Call:
    if ends != (1.0, 0.0):
        raise refuse("transformers", part, "its linear schedule falls from 1 to 0")
    return _call(
        "get_linear_schedule_with_warmup", num_warmup_steps=warm, num_training_steps=warm + part.horizon
    )


def _cosine(part: Part, warm: int) -> Call:
    total = warm + part.horizon
    if part["floor"] == 0:
        return _call("get_cosine_schedule_with_warmup", num_warmup_steps=warm, num_training_steps=total)
    return _call(
        "get_cosine_with_min_lr_schedule_with_warmup",
        num_warmup_steps=warm,
        num_training_steps=total,
        min_lr_rate=part["floor"],
    )


def _restarts(part: Part, warm: int) -> Call:
    cycles = part.horizon / part.updates(part["first"])
    if part["growth"] != 1 or part["decay"] != 1 or part["floor"] or cycles != int(cycles):
        raise refuse(
            "transformers", part, "its restarts are equal cycles from the peak to 0 that fill the run"
        )
    return _call(
        "get_cosine_with_hard_restarts_schedule_with_warmup",
        num_warmup_steps=warm,
        num_training_steps=warm + part.horizon,
        num_cycles=int(cycles),
    )


def _poly(part: Part, warm: int) -> Call:
    return _call(
        "get_polynomial_decay_schedule_with_warmup",
        num_warmup_steps=warm,
        num_training_steps=warm + part.horizon,
        lr_end=part["floor"] * part.lr,
        power=part["power"],
    )


def _inverse_sqrt(part: Part, warm: int) -> Call:
    if warm or not part["zero_first"]:
        raise refuse(
            "transformers", part, "it has one warm-up, of t/W: use zero_first=True and no phase before it"
        )
    width = part.whole(part["warmup"], "transformers")
    scale = width if part["timescale"] is None else part.whole(part["timescale"], "transformers")
    return _call("get_inverse_sqrt_schedule", num_warmup_steps=width, timescale=scale)


def _decay(part: Part, warm: int) -> Call:
    if part["shape"] == "linear" and part["floor"] == 0:
        return _line(part, warm, (1.0, 0.0))
    if part["shape"] == "cosine":
        return _cosine(part, warm)
    raise refuse("transformers", part, "without a hold before it, its decay is linear to 0 or cosine")


def _stable(warm: Part, stable: Part, fall: Part) -> Call:
    if fall["shape"] not in ("linear", "cosine", "1-sqrt"):
        raise refuse("transformers", fall, "get_wsd_schedule falls linearly, by cosine or 1-sqrt")
    if warm["start"] != fall["floor"]:
        raise refuse(
            "transformers", warm, "get_wsd_schedule starts where it ends: start must equal the decay's floor"
        )
    return _call(
        "get_wsd_schedule",
        num_warmup_steps=warm.horizon,
        num_stable_steps=stable.horizon,
        num_decay_steps=fall.horizon,
        decay_type=fall["shape"],
        min_lr_ratio=fall["floor"],
    )


_WRITERS: dict[str, Callable[[Part, int], Call]] = {
    "fixed": _constant,
    "hold": _constant,
    "linear": lambda p, warm: _line(p, warm, (p["start"], p["end"])),
    "cosine": _cosine,
    "warm_restarts": _restarts,
    "poly": _poly,
    "inverse_sqrt": _inverse_sqrt,
    "decay": _decay,
}


def knows(theirs: Any) -> bool:
    """Whether a LambdaLR is one of transformers'."""
    function = getattr(theirs, "lr_lambdas", [None])[0]
    return getattr(getattr(function, "func", function), "__module__", "") == "transformers.optimization"


def read(theirs: Any) -> Schedule:
    """A transformers schedule, from the arguments that its LambdaLR holds."""
    function, lr = theirs.lr_lambdas[0], float(theirs.base_lrs[0])
    given = dict(getattr(function, "keywords", {}))
    name = getattr(getattr(function, "func", function), "__name__", "")
    warm = int(given.get("num_warmup_steps", 0))
    if "inverse_sqrt" in name:
        return inverse_sqrt(lr, warmup=warm, timescale=given["timescale"], zero_first=True)
    if "wsd" in name:
        floor = float(given["min_lr_ratio"])
        if given["warmup_type"] != "linear" or given["num_cycles"] != 0.5:
            raise ConversionError(
                "only get_wsd_schedule with a linear warm-up and half a cosine has an equivalent"
            )
        rest = hold(given["num_stable_steps"]) | decay(
            given["num_decay_steps"], shape=given["decay_type"], floor=floor
        )
        return ((warmup(warm, start=floor, zero_first=True) | rest) if warm else rest) * lr
    after = _after(name, given, warm, lr)
    return warmup(warm, lr=lr, zero_first=True) | after if warm else after


def _after(name: str, given: dict[str, Any], warm: int, lr: float) -> Schedule:
    left = int(given.get("num_training_steps", 0)) - warm
    if "hard_restarts" in name:
        cycles = int(given["num_cycles"])
        if left % cycles:
            raise ConversionError(f"{cycles} cycles in {left} updates are not whole: no equal first cycle")
        return warm_restarts(lr, first=left // cycles).over(left)
    if "warmup_lr_rate" in name:
        raise ConversionError(
            "get_cosine_with_min_lr_schedule_with_warmup_lr_rate is a step ahead: use recognise()"
        )
    if "cosine" in name and given["num_cycles"] == 0.5:
        return cosine(lr, floor=given.get("min_lr_rate", 0.0)).over(left)
    if "polynomial" in name:
        return poly(lr, power=given["power"], floor=given["lr_end"] / given["lr_init"]).over(left)
    if "linear" in name:
        return linear(lr).over(left)
    if "constant" in name:
        return hold(lr=lr) if warm else fixed(lr)
    raise ConversionError(
        f"transformers' {name or 'function'} has no equivalent: use recognise() on its rates"
    )
