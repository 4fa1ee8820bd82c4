"""The classic solver prototxt: `lr_policy` and its fields, text in and text out."""

from __future__ import annotations

import re
from collections.abc import Callable

from stepsize.schedules.classic import exp, fixed, inv, multistep, poly, sigmoid, step
from stepsize.schedules.convert.recipe import ConversionError, Part, parts, refuse
from stepsize.schedules.schedule import Schedule
from stepsize.schedules.units import Run, number_text

_FIELD = re.compile(r"\s*([A-Za-z_]+)\s*:\s*(\"[^\"\n]*\"|'[^'\n]*'|[^\s#]+)")


def write(schedule: Schedule, run: Run | None) -> str:
    """The solver fields for a schedule, one a line; `max_iter` when the run is known.

    Raises `ConversionError` for what the seven policies cannot say.
    """
    pieces = parts(schedule, run, "Caffe")
    part = pieces[0]
    if len(pieces) > 1:
        raise ConversionError(
            f"Caffe has one policy for the whole run, but {schedule} has {len(pieces)} phases"
        )
    if part.name not in _WRITERS:
        raise refuse("Caffe", part, f"its policies are {', '.join(_WRITERS)}")
    lines = {"base_lr": [number_text(part.lr)], "lr_policy": [f'"{part.name}"'], **_WRITERS[part.name](part)}
    if run is not None:
        lines["max_iter"] = [str(run.steps)]
    return "".join(f"{key}: {value}\n" for key, values in lines.items() for value in values)


Fields = dict[str, list[str]]


def _per_update(part: Part, gamma: float) -> float:
    return float(gamma ** (1.0 / part.updates(part["every"])))


def _poly(part: Part) -> Fields:
    if part["floor"] > 0:
        raise refuse("Caffe", part, "its poly ends at 0; use floor=0")
    return {"power": [number_text(part["power"])], "max_iter": [str(part.horizon)]}


_WRITERS: dict[str, Callable[[Part], Fields]] = {
    "fixed": lambda p: {},
    "step": lambda p: {"gamma": [number_text(p["gamma"])], "stepsize": [str(p.whole(p["every"], "Caffe"))]},
    "multistep": lambda p: {
        "gamma": [number_text(p["gamma"])],
        "stepvalue": [str(p.whole(m, "Caffe")) for m in p["milestones"]],
    },
    "exp": lambda p: {"gamma": [number_text(_per_update(p, p["gamma"]))]},
    "inv": lambda p: {
        "gamma": [number_text(p["gamma"] / p.updates(p["every"]))],
        "power": [number_text(p["power"])],
    },
    "poly": _poly,
    "sigmoid": lambda p: {
        "gamma": [number_text(p["gamma"])],
        "stepsize": [str(p.whole(p["centre"], "Caffe"))],
    },
}


def read(text: str) -> Schedule:
    """The schedule of a solver prototxt; other fields are passed over.

    `poly` lasts `max_iter` updates. Raises `ValueError` naming the field that is missing or no number.
    """
    fields: dict[str, list[str]] = {}
    for line in text.splitlines():
        match = _FIELD.match(line)
        if match:
            fields.setdefault(match[1], []).append(match[2].strip("\"'"))
    policy = fields.get("lr_policy", [""])[0]
    if policy not in _READERS:
        raise ConversionError(f"lr_policy must be one of {', '.join(_READERS)}, but got {policy!r}")
    return _READERS[policy](_Solver(policy, fields))


class _Solver:
    def __init__(self, policy: str, fields: Fields) -> None:
        self.policy, self.fields = policy, fields

    def number(self, field: str) -> float:
        return self.numbers(field)[-1]

    def numbers(self, field: str) -> list[float]:
        if field not in self.fields:
            raise ConversionError(f'lr_policy: "{self.policy}" needs {field}')
        try:
            return [float(value) for value in self.fields[field]]
        except ValueError:
            raise ConversionError(f"{field} must be a number, but got {self.fields[field][-1]!r}") from None

    @property
    def lr(self) -> float:
        return self.number("base_lr")


_READERS: dict[str, Callable[[_Solver], Schedule]] = {
    "fixed": lambda s: fixed(s.lr),
    "step": lambda s: step(s.lr, gamma=s.number("gamma"), every=s.number("stepsize")),
    "multistep": lambda s: multistep(s.lr, milestones=s.numbers("stepvalue"), gamma=s.number("gamma")),
    "exp": lambda s: exp(s.lr, gamma=s.number("gamma")),
    "inv": lambda s: inv(s.lr, gamma=s.number("gamma"), power=s.number("power")),
    "poly": lambda s: poly(s.lr, power=s.number("power")).over(s.number("max_iter")),
    "sigmoid": lambda s: sigmoid(s.lr, gamma=s.number("gamma"), centre=s.number("stepsize")),
}
