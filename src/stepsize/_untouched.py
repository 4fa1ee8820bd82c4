"""A measurement leaves every random generator as it was: the global ones, and those of the user's own."""

from __future__ import annotations

import functools
import itertools
import random
import types
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ParamSpec, TypeVar

import numpy as np
import torch

from stepsize._code import defined_in, global_names
from stepsize._rng import Generator, including, isolated_rng

P = ParamSpec("P")
R = TypeVar("R")

LIBRARIES = ("torch", "numpy", "scipy", "stepsize", "builtins", "functools", "collections")
"""Packages that hold no generator of a user's."""

ITEMS = 100
"""Entries of a list or a mapping that are looked into: one that holds generators is short."""

MOST = 2000
"""Values that are looked into, the nearest first: code of large libraries leads to thousands more."""


def untouched(measure: Callable[P, R]) -> Callable[P, R]:
    """Wrap a measurement, whose first argument is a task, so that all generators come out as they went in."""

    @functools.wraps(measure)
    def measured(*args: P.args, **kwargs: P.kwargs) -> R:
        task = args[0] if args else kwargs.get("task", kwargs.get("task_or_rate"))
        with drawing_untouched(getattr(task, "_arguments", ())):
            return measure(*args, **kwargs)

    return measured


@contextmanager
def drawing_untouched(code: Any) -> Iterator[None]:
    """A block in which a user's code is run: the global generators and its own come out as they went in.

    Inside, its own are treated as the global ones are: each run has them seeded by its own seed.
    """
    with including(lambda: generators_of(code)), isolated_rng():
        yield


def generators_of(code: Any) -> tuple[Generator, ...]:
    """The generators that functions and objects refer to: in closures, defaults, globals and attributes."""
    found: list[Generator] = []
    seen = {id(code): code}
    waiting = deque([code])
    while waiting and len(seen) < MOST:
        value = waiting.popleft()
        if isinstance(value, (torch.Generator, np.random.Generator, random.Random)):
            found.append(value)
            continue
        for inner in _referred(value):
            if id(inner) not in seen:
                seen[id(inner)] = inner
                waiting.append(inner)
    return tuple(found)


def _referred(value: Any) -> list[Any]:
    """What a value refers to, as far as a user's own generator may be behind it."""
    if isinstance(value, (str, bytes, int, float, types.ModuleType, torch.Tensor, np.ndarray)):
        return []
    if isinstance(value, Mapping):
        return list(itertools.islice(value.values(), ITEMS))
    if isinstance(value, (list, tuple, set, frozenset)):
        return list(itertools.islice(value, ITEMS))
    if isinstance(value, functools.partial):
        return [value.func, value.args, value.keywords]
    if isinstance(value, types.MethodType):
        return [value.__func__, value.__self__]
    if isinstance(value, types.FunctionType):
        return [] if defined_in(value, LIBRARIES) else _behind(value)
    if isinstance(value, type):
        return [] if defined_in(value, LIBRARIES) else [dict(vars(value)), value.__bases__]
    if isinstance(value, (staticmethod, classmethod, property)):
        return [value.fget if isinstance(value, property) else value.__func__]
    return [getattr(value, "__dict__", None), type(value)]


def _behind(function: types.FunctionType) -> list[Any]:
    cells = [cell.cell_contents for cell in function.__closure__ or () if _filled(cell)]
    names = [name for name in global_names(function.__code__) if name in function.__globals__]
    outer = [function.__globals__[name] for name in names]
    return [*cells, function.__defaults__, function.__kwdefaults__, *outer]


def _filled(cell: types.CellType) -> bool:
    try:
        return cell.cell_contents is not None
    except ValueError:
        return False
