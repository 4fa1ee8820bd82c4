"""One million updates of every schedule, against torch's and optax's: `python -m benchmarks.schedules`.

Each rival is asked for the same rates in the ways that it offers: torch's scheduler by a step() an update,
optax's function by a call an update, by a jitted call, and by one call with an array. What goes update by
update is timed over fewer updates, and the time for all of them is in proportion.
"""

from __future__ import annotations

import argparse
import importlib
import statistics
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from stepsize.schedules import SHAPES, HorizonError, Schedule

UPDATES = 1_000_000
RIVALS = ("cosine(0.1)", "step(0.1, gamma=0.9, every=1000)", "exp(0.1, gamma=0.999999)", "poly(0.1)")


def seconds(work: Callable[[], object], repeats: int) -> float:
    """The median time of a call."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def every_shape(repeats: int, updates: int) -> list[tuple[str, float]]:
    """Name and seconds for all rates of a run."""
    rows = []
    for name, entry in sorted(SHAPES.items()):
        schedule = Schedule.parse(entry.example)
        try:
            bound = schedule.resolve(updates)
        except HorizonError:
            phases = [Schedule.parse("hold"), schedule]
            bound = (phases[0] | phases[1] if name == "decay" else phases[1] | phases[0]).resolve(updates)
        rows.append((name, seconds(bound.values, repeats)))
    return rows


def against_others(text: str, repeats: int, updates: int, few: int) -> list[tuple[str, float]]:
    """Seconds for `updates` rates of one schedule, ours first."""
    schedule = Schedule.parse(text)
    bound = schedule.resolve(updates)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=schedule.peak)
    theirs = schedule.to("torch", updates, optimizer=optimizer)
    driven = schedule.as_torch(
        torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=schedule.peak), updates
    )
    optax: Any = schedule.to("optax", updates)
    jax: Any = importlib.import_module("jax")
    compiled = jax.jit(optax)
    compiled(0)
    counts = np.arange(updates)

    def one_by_one(function: Callable[[int], object]) -> float:
        return seconds(lambda: [function(t) for t in range(few)], repeats) * updates / few

    optimizer.step()
    return [
        ("stepsize, values()", seconds(bound.values, repeats)),
        ("stepsize, f(t) one by one", one_by_one(bound)),
        ("stepsize, as_torch().step()", one_by_one(lambda t: driven.step())),
        ("torch, step()", one_by_one(lambda t: theirs.step())),
        ("optax, one by one", one_by_one(lambda t: float(optax(t)))),
        ("optax, jitted, one by one", one_by_one(lambda t: float(compiled(t)))),
        ("optax, one array", seconds(lambda: np.asarray(optax(counts)), repeats)),
    ]


def report(*, quick: bool) -> str:
    """The tables in Markdown."""
    repeats, updates, few = (1, 20_000, 500) if quick else (5, UPDATES, 5_000)
    command = f"python -m benchmarks.schedules{' --quick' if quick else ''}"
    lines = [
        f"# Schedules: {updates} updates\n",
        f"`{command}`, medians of {repeats}. Ratios are to `values()`, which gives all rates in float64.",
        "optax computes in float32 here.\n",
    ]
    for text in RIVALS:
        rows = against_others(text, repeats, updates, few)
        lines += [f"\n`{text}`\n", "| how | seconds | ratio |", "|---|---|---|"]
        lines += [f"| {name} | {spent:.4g} | {spent / rows[0][1]:.3g} |" for name, spent in rows]
    lines += ["\nEvery shape\n", "| shape | seconds |", "|---|---|"]
    lines += [f"| {name} | {spent:.4f} |" for name, spent in every_shape(repeats, updates)]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure, print, and write schedules.md beside this file unless `--quick`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="a smoke run of a few seconds; nothing is written"
    )
    quick = parser.parse_args().quick
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        text = report(quick=quick)
    print(text)
    if not quick:
        Path(__file__).with_suffix(".md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
