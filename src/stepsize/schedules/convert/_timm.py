"""timm.scheduler: objects that are told the update, here always with t_in_epochs=False."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stepsize.schedules.annealing import cosine
from stepsize.schedules.classic import multistep, poly, step
from stepsize.schedules.convert.recipe import Call, ConversionError, Part, parts, refuse
from stepsize.schedules.cycles import warm_restarts
from stepsize.schedules.phases import warmup
from stepsize.schedules.schedule import Schedule
from stepsize.schedules.units import Run

_FOREVER = 10**6
"""A cycle limit beyond any run; timm's default is one cycle."""


def recipe(schedule: Schedule, run: Run | None) -> Call:
    """The timm scheduler that lands on the same rates when the optimizer's lr is the schedule's peak."""
    pieces = parts(schedule, run, "timm")
    warm: dict[str, Any] = {}
    if len(pieces) == 2 and pieces[0].name == "warmup":
        warm = _warmup(pieces[0])
        if pieces[0].lr != pieces[1].lr:
            raise refuse("timm", pieces[0], "its phases all multiply the optimizer's lr")
    last = pieces[-1]
    if len(pieces) > (2 if warm else 1):
        raise ConversionError(f"timm has no sequence of schedules, only one warm-up before one: {schedule}")
    if last.name not in _WRITERS:
        raise refuse("timm", last, "none of its schedulers has this formula")
    name, arguments = _WRITERS[last.name](last)
    if warm and name in ("StepLRScheduler", "MultiStepLRScheduler"):
        raise refuse("timm", last, "its step schedulers count from before the warm-up")
    return Call(f"timm.scheduler.{name}", {**arguments, **warm, "t_in_epochs": False}, optimizer=True)


def _warmup(part: Part) -> dict[str, Any]:
    if not part["zero_first"] or part["shape"] != "linear":
        raise refuse(
            "timm", part, "its warm-up is t/W, so the first update has its start rate: use zero_first=True"
        )
    return {"warmup_t": part.horizon, "warmup_lr_init": part["start"] * part.lr, "warmup_prefix": True}


Written = tuple[str, dict[str, Any]]


def _cosine(part: Part) -> Written:
    return "CosineLRScheduler", {"t_initial": part.horizon, "lr_min": part["floor"] * part.lr}


def _restarts(part: Part) -> Written:
    return "CosineLRScheduler", {
        "t_initial": part.whole(part["first"], "timm"),
        "lr_min": part["floor"] * part.lr,
        "cycle_mul": part["growth"],
        "cycle_decay": part["decay"],
        "cycle_limit": _FOREVER,
    }


def _poly(part: Part) -> Written:
    return "PolyLRScheduler", {
        "t_initial": part.horizon,
        "power": part["power"],
        "lr_min": part["floor"] * part.lr,
    }


def _line(part: Part, start: float, end: float) -> Written:
    if start != 1:
        raise refuse("timm", part, "its polynomial starts at the optimizer's lr")
    return "PolyLRScheduler", {"t_initial": part.horizon, "power": 1.0, "lr_min": end * part.lr}


def _decay(part: Part) -> Written:
    if part["shape"] == "linear":
        return _line(part, 1.0, part["floor"])
    if part["shape"] == "cosine":
        return _cosine(part)
    raise refuse("timm", part, "none of its schedulers falls like this; use shape='linear' or 'cosine'")


def _step(part: Part) -> Written:
    return "StepLRScheduler", {"decay_t": part.updates(part["every"]), "decay_rate": part["gamma"]}


def _multistep(part: Part) -> Written:
    places = [part.whole(milestone, "timm") + 1 for milestone in part["milestones"]]  # timm drops one early
    return "MultiStepLRScheduler", {"decay_t": places, "decay_rate": part["gamma"]}


_WRITERS: dict[str, Callable[[Part], Written]] = {
    "step": _step,
    "multistep": _multistep,
    "poly": _poly,
    "linear": lambda p: _line(p, p["start"], p["end"]),
    "cosine": _cosine,
    "warm_restarts": _restarts,
    "decay": _decay,
}


def read(theirs: Any) -> Schedule:
    """A timm scheduler, from its attributes; raises `ConversionError` for noise, k-decay and epochs."""
    kind, lr = type(theirs).__name__, float(theirs.base_values[0])
    if theirs.t_in_epochs:
        raise ConversionError(f"this {kind} counts epochs: make it with t_in_epochs=False, or read its rates")
    if theirs.noise_range_t is not None or getattr(theirs, "k_decay", 1) != 1:
        raise ConversionError(f"this {kind} has noise or k-decay, which no schedule here has")
    if kind == "StepLRScheduler" and not theirs.warmup_t:
        return step(lr, gamma=theirs.decay_rate, every=theirs.decay_t)
    if kind == "MultiStepLRScheduler" and not theirs.warmup_t:
        return multistep(lr, milestones=[t - 1 for t in theirs.decay_t], gamma=theirs.decay_rate)
    if kind not in ("CosineLRScheduler", "PolyLRScheduler"):
        raise ConversionError(f"timm's {kind} has no equivalent here: use recognise() on its rates")
    if theirs.warmup_t and not theirs.warmup_prefix:
        raise ConversionError("a warm-up without warmup_prefix=True cuts into the decay: use recognise()")
    body = _body(theirs, kind, lr)
    if not theirs.warmup_t:
        return body
    return warmup(theirs.warmup_t, lr=lr, start=theirs.warmup_lr_init / lr, zero_first=True) | body


def _body(theirs: Any, kind: str, lr: float) -> Schedule:
    floor = theirs.lr_min / lr
    if kind == "CosineLRScheduler" and theirs.cycle_limit > 1:
        return warm_restarts(
            lr, first=theirs.t_initial, growth=theirs.cycle_mul, decay=theirs.cycle_decay, floor=floor
        )
    if theirs.cycle_limit > 1:
        raise ConversionError("a polynomial with restarts has no equivalent here")
    if kind == "CosineLRScheduler":
        return cosine(lr, floor=floor).over(theirs.t_initial)
    return poly(lr, power=theirs.power, floor=floor).over(theirs.t_initial)
