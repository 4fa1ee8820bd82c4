"""Everything that names a rate: ours, the textbook's rounds, and what libraries take unless told otherwise.

A finder is called with a case and a seed, and gives one or more answers by name. To add one: a function under
`@finder`, in this file or in one of those that `all_finders` imports.
"""

from __future__ import annotations

import importlib
import inspect
import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import stepsize as ss
from benchmarks.regret.tasks import Case

BUDGETS = ("0.25 runs", "0.5 runs", "1 run", "2 runs")
"""What find_lr may cost, for the table of regret against budget."""

OURS = "stepsize find_lr"

UNCERTAIN = "uncertain"
"""Status of an answer whose finder itself says that it may not be good: it counts as any other does."""


@dataclass(frozen=True)
class Answer:
    """What a finder said, and what it took: updates of any run, and wall-clock seconds.

    `lr` is None where there is no answer. A rival without a rate gives the final `loss` of its own full
    run instead. `low` and `high` are the interval, where there is one.
    """

    updates: int
    seconds: float
    lr: float | None = None
    status: str = "ok"
    low: float | None = None
    high: float | None = None
    loss: float | None = None

    @property
    def answered(self) -> bool:
        return self.status in ("ok", UNCERTAIN) and (self.lr is not None or self.loss is not None)


@dataclass(frozen=True)
class Finder:
    """A way to find a rate. `names` are those of its answers, `packages` what must be installed."""

    key: str
    names: tuple[str, ...]
    call: Callable[[Case, int], dict[str, Answer]]
    packages: tuple[str, ...] = ()
    seeded: bool = True


FINDERS: dict[str, Finder] = {}
"""Every finder, by the word that the command line knows."""


def finder(
    key: str, *names: str, packages: tuple[str, ...] = (), seeded: bool = True
) -> Callable[[Callable[[Case, int], dict[str, Answer]]], Callable[[Case, int], dict[str, Answer]]]:
    """Enter a function into `FINDERS`; `seeded=False` for one whose answer depends on no seed."""

    def enter(call: Callable[[Case, int], dict[str, Answer]]) -> Callable[[Case, int], dict[str, Answer]]:
        FINDERS[key] = Finder(key, names, call, packages, seeded)
        return call

    return enter


def all_finders() -> dict[str, Finder]:
    """The registry with every file that adds to it imported."""
    for module in ("rivals", "searches", "rate_free"):
        importlib.import_module(f"benchmarks.regret.{module}")
    return FINDERS


def usable(lr: float | None) -> tuple[float | None, str]:
    """A rate as others return it, None or NaN included, with a status."""
    if lr is None or not math.isfinite(lr) or lr <= 0:
        return None, "none"
    return float(lr), "ok"


def _advised(case: Case, seed: int, budget: str | None = None) -> Answer:
    task = case.task(seed)
    options = {} if budget is None else {"budget": budget}
    find_lr = ss.find_lr  # imported before the clock starts, as the rivals are
    start = time.perf_counter()
    advice = find_lr(task, schedule=case.schedule, progress=False, **options)  # type: ignore[arg-type]
    seconds = time.perf_counter() - start
    return Answer(
        updates=advice.cost.updates,
        seconds=seconds,
        lr=advice.lr,
        status=advice.status,
        low=advice.lr_low,
        high=advice.lr_high,
    )


@finder("ours", OURS)
def ours(case: Case, seed: int) -> dict[str, Answer]:
    return {OURS: _advised(case, seed)}


def with_budget(budget: str) -> Finder:
    """find_lr at a price."""
    name = f"{OURS}, {budget}"
    return Finder(f"ours-{budget.replace(' ', '-')}", (name,), lambda c, s: {name: _advised(c, s, budget)})


def budgets_known() -> bool:
    """Whether find_lr takes a budget."""
    return "budget" in inspect.signature(ss.find_lr).parameters


@finder("textbook", "textbook's three rounds")
def textbook(case: Case, seed: int) -> dict[str, Answer]:
    """The chapter's coarse stages, bracket and restarted trials; they know no schedule."""
    range_test = ss.range_test
    start = time.perf_counter()
    zoom = range_test(case.task(seed), zoom=True)
    seconds = time.perf_counter() - start
    return {"textbook's three rounds": Answer(zoom.cost.updates, seconds, lr=zoom.lr, status=zoom.status)}


@finder("default", "library default", seeded=False)
def library_default(case: Case, seed: int) -> dict[str, Answer]:
    """0.01 for SGD, as Keras and most tutorials; 0.001 for Adam and AdamW, as torch and the paper."""
    lr = 0.01 if case.task(seed).optimizer_name == "SGD" else 0.001
    return {"library default": Answer(0, 0.0, lr=lr)}
