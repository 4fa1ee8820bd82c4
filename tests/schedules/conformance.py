"""Every schedule against every installed library, update by update; the documentation's table is made here.

A library's own object is built by `Schedule.to` and asked for its rate at each update of the run and for
as long again past its end. What it answers is compared with f(t), and the outcome put into words.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.metadata
import importlib.util
import math
import os
import re
import sys
import types
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import numpy as np
import torch

from stepsize.schedules import SHAPES, ConversionError, HorizonError, Run, Schedule
from stepsize.schedules.clock import Clock
from stepsize.schedules.convert import Library

T = 240
LIBRARIES: tuple[Library, ...] = ("torch", "optax", "transformers", "timm", "keras", "caffe-prototxt")
EXACT = 1e-12
"""Relative, where the library computes in float64."""
SINGLE = 1e-6
"""Of the peak, where it computes in float32, as keras does."""

VARIANTS = (
    "step(0.1, gamma=0.5, every=90)",
    "multistep(0.1, milestones=[60, 180], gamma=0.5)",
    "inv(0.1, gamma=0.01, power=1)",
    "poly(0.1, power=2, floor=0.1)",
    "poly(0.1)",
    "linear(0.1, start=0.5, end=0.1)",
    "cosine(0.1)",
    "warm_restarts(0.1, first=80)",
    "warm_restarts(0.1, first=60, growth=2, decay=0.5)",
    "triangular(0.1, up=20, down=60, floor=0.2)",
    "one_cycle(0.1, top=80, anneal='linear')",
    "one_cycle(0.1, top=80, three_phase=True)",
    "inverse_sqrt(0.1, warmup=40, zero_first=True)",
    "inverse_sqrt(0.1, warmup=40, timescale=80, zero_first=True)",
    "piecewise(0.1, at=[0, 100, 200], factors=[1, 0.5, 0.1], between='previous')",
    "0.1 * (warmup(40) | cosine(floor=0.1))",
    "0.1 * (warmup(40, zero_first=True) | cosine(floor=0.1))",
    "0.1 * (warmup(40, zero_first=True) | linear())",
    "0.1 * (warmup(40, zero_first=True) | poly(power=2))",
    "0.1 * (warmup(40, zero_first=True) | warm_restarts(first=50))",
    "0.1 * (warmup(40, zero_first=True) | hold())",
    "0.1 * (warmup(40) | hold() | decay(80))",
    "0.1 * (warmup(40) | hold() | decay(80, shape='exponential', floor=0.01))",
    "0.1 * (warmup(40, zero_first=True) | hold() | decay(80, shape='1-sqrt'))",
    "0.1 * (warmup(40, start=0.01, shape='exponential') | hold())",
    "warmup('10%') * cosine(0.1)",
    "cosine(0.1).clip(low=0.01)",
)


def cases() -> list[Schedule]:
    """Each shape's example, on the whole run, and variants that other libraries can say."""
    schedules = []
    for entry in SHAPES.values():
        schedule = Schedule.parse(entry.example)
        try:
            schedule.resolve(T)
        except HorizonError:
            schedule = (
                schedule | Schedule.parse("hold")
                if entry.name != "decay"
                else Schedule.parse("hold") | schedule
            )
        schedules.append(schedule)
    return schedules + [Schedule.parse(text) for text in VARIANTS]


@contextlib.contextmanager
def libraries() -> Iterator[None]:
    """The other libraries as they are compared: jax in float64, keras on torch, timm without its models.

    timm's package imports torchvision for its models. Its schedulers do not need it, so where torchvision
    does not import, an empty package of that name, with timm's own path, stands in for timm/__init__.py.
    """
    os.environ.setdefault("KERAS_BACKEND", "torch")
    _find_timm()
    jax: Any = importlib.import_module("jax")
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", True)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        jax.config.update("jax_enable_x64", before)


@cache
def _find_timm() -> None:
    if importlib.util.find_spec("torchvision") is not None:
        return
    found = importlib.util.find_spec("timm")
    assert found is not None
    assert found.submodule_search_locations is not None
    bare = types.ModuleType("timm")
    bare.__path__ = list(found.submodule_search_locations)
    sys.modules.setdefault("timm", bare)


def optimizer(lr: float) -> torch.optim.Optimizer:
    """An optimizer that does nothing but hold a rate."""
    return torch.optim.SGD([torch.nn.Parameter(torch.zeros(1, dtype=torch.float64))], lr=lr)


def theirs(schedule: Schedule, library: Library, run: int | None, count: int) -> np.ndarray:
    """Rates of the library's own object at 0, 1, …, shorter than `count` if it raises before."""
    own = optimizer(schedule.peak)
    made = schedule.to(library, run, optimizer=own)
    return rates(made, library, own, count)


def rates(made: Any, library: Library, own: torch.optim.Optimizer, count: int) -> np.ndarray:
    """What an object of a library answers at 0, 1, …"""
    if library == "caffe-prototxt":
        return np.array([caffe(made, t) for t in range(count)])
    if library == "timm":
        return np.array([made._get_lr(t)[0] for t in range(count)])
    if library in ("optax", "keras"):
        return np.array([float(made(t)) for t in range(count)])
    values = []
    for _ in range(count):
        values.append(float(own.param_groups[0]["lr"]))
        own.step()
        try:
            made.step()
        except ValueError:
            break
    return np.array(values)


def caffe(text: str, t: int) -> float:
    """A naive twin of Caffe's SGDSolver::GetLearningRate, since Caffe is no package to install."""
    fields: dict[str, list[str]] = {}
    for line in text.splitlines():
        key, _, value = line.partition(": ")
        fields.setdefault(key, []).append(value.strip('"'))
    number = {key: float(values[0]) for key, values in fields.items() if key != "lr_policy"}
    base = number["base_lr"]
    match fields["lr_policy"][0]:
        case "fixed":
            return base
        case "step":
            return base * float(number["gamma"] ** (t // int(number["stepsize"])))
        case "exp":
            return base * number["gamma"] ** t
        case "inv":
            return base * float((1 + number["gamma"] * t) ** -number["power"])
        case "multistep":
            return base * float(number["gamma"] ** sum(t >= int(value) for value in fields["stepvalue"]))
        case "poly":
            return base * float(max(1 - t / number["max_iter"], 0.0) ** number["power"])
        case "sigmoid":
            return float(base / (1 + np.exp(-number["gamma"] * (t - number["stepsize"]))))
    raise AssertionError(text)


Past = Literal["equal", "goes on", "raises", "rises again", "falls on", "differs"]


@dataclass(frozen=True)
class Outcome:
    """One schedule in one library: the error within the run, what it does past it, or why there is none."""

    schedule: Schedule
    library: Library
    error: float | None
    past: Past | None
    refusal: str | None

    @property
    def limit(self) -> float:
        return SINGLE if self.library == "keras" else EXACT

    @property
    def words(self) -> str:
        """The cell of the table."""
        if self.error is None:
            return "—"
        within = "equal" if self.error <= self.limit else f"off by {self.error:.0e} of the peak"
        return within if self.past == "equal" else f"{within}; past the end {self.past}"


def compare(schedule: Schedule, library: Library) -> Outcome:
    """Build, ask, compare."""
    ours = schedule.resolve(T)(np.arange(2 * T))
    try:
        given = theirs(schedule, library, T, 2 * T)
    except ConversionError as refusal:
        return Outcome(schedule, library, None, None, str(refusal))
    error = distance(given[:T], ours[: len(given)][:T], library, schedule.peak)
    return Outcome(schedule, library, error, _past(schedule, library, given, ours), None)


def distance(given: np.ndarray, ours: np.ndarray, library: Library, peak: float) -> float:
    """The largest error, relative to each rate in float64, to the peak in float32."""
    scale = peak if library == "keras" else np.where(ours == 0, peak, ours)
    return float((np.abs(given - ours) / scale).max())


def _past(schedule: Schedule, library: Library, given: np.ndarray, ours: np.ndarray) -> Past:
    limit = SINGLE if library == "keras" else EXACT
    if len(given) < len(ours):
        return "raises"
    if distance(given[T:], ours[T:], library, schedule.peak) <= limit:
        return "equal"
    try:
        endless = schedule._evaluate(Clock(np.arange(2.0 * T), math.inf, Run(T)))
    except ValueError:  # it needs an end
        pass
    else:
        if distance(given[T:], endless[T:], library, schedule.peak) <= 10 * limit:
            return "goes on"
    if given[T:].max() > 1.01 * ours[T]:
        return "rises again"
    return "falls on" if (np.diff(given[T:]) <= 0).all() else "differs"


@cache
def outcomes() -> tuple[Outcome, ...]:
    """Every case in every library."""
    with libraries():
        return tuple(compare(schedule, library) for schedule in cases() for library in LIBRARIES)


def versions() -> str:
    """What was compared with."""
    names = ("torch", "optax", "transformers", "timm", "keras")
    return ", ".join(f"{name} {importlib.metadata.version(name).partition('+')[0]}" for name in names)


def table() -> str:
    """The outcomes as a Markdown table, and the refusals as a list."""
    lines = ["| schedule | " + " | ".join(LIBRARIES) + " |", "|---" * (len(LIBRARIES) + 1) + "|"]
    found = outcomes()
    for place in range(0, len(found), len(LIBRARIES)):
        row = found[place : place + len(LIBRARIES)]
        text = str(row[0].schedule).replace("|", "\\|")
        lines.append(f"| `{text}` | " + " | ".join(outcome.words for outcome in row) + " |")
    return "\n".join(lines)


def refusals() -> str:
    """Every reason for a dash, with the schedules that it holds for."""
    reasons: dict[tuple[str, str], list[str]] = {}
    for outcome in outcomes():
        if outcome.refusal is not None:
            text = outcome.refusal.removesuffix(f": {outcome.schedule}")
            named = re.fullmatch(r"\S+ has no equivalent of (.+?): (.+)", text, re.DOTALL)
            reason = named[2] if named else text
            if outcome.library == "caffe-prototxt" and "one policy for the whole run" in reason:
                reason = "one policy for the whole run, no phases"
            reasons.setdefault((outcome.library, reason), []).append(f"`{outcome.schedule}`")
    return "\n".join(
        f"- **{library}**: {reason} ({', '.join(schedules)})"
        for (library, reason), schedules in sorted(reasons.items())
    )
