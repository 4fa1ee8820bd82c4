"""How good the batch size for time is: every batch size tried is trained to the target again, and timed.

    python -m benchmarks.batch_size            # about twenty minutes; writes benchmarks/batch_size.md
    python -m benchmarks.batch_size --quick    # short runs, a budget: writes nothing

`find_batch_size`, and `tune` for a fixed schedule, choose on the textbook's net and on a small CNN. Then runs
with seeds that no choice was made with are trained at every batch size, at the rate that was found there: the
updates to the target are those of the runs, and the seconds those of a plain loop of so many updates. The
target is a chosen batch within 15% of the best.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import stepsize as ss
from benchmarks.clock import circumstances
from stepsize.datasets.tasks import mnist_cnn_task, mnist_task
from stepsize.decide.batch_advice import BatchAdvice, BatchTime
from stepsize.measure.updates_to_target import at_batch_size, descend
from stepsize.training import Member, train

RESULTS = Path(__file__).with_suffix(".md")

FRESH = 1000
"""First of the seeds that no choice was made with."""

ROUNDS = 3
"""Timings of each batch size, in turn."""

ALLOWED = 0.15
"""What the chosen batch may take beyond the best."""

PAGE = """\
# Batch size: the choice against every batch size tried

<!-- --8<-- [start:table] -->
{summary}

{tables}

{circumstances}
<!-- --8<-- [end:table] -->
"""


@dataclass(frozen=True)
class Again:
    """A batch size trained again: updates to the target (infinite if a seed missed it), misses, seconds."""

    found: BatchTime
    updates: float
    missed: int
    seconds: float

    def row(self) -> str:
        found = self.found
        again = f"{self.updates:,.0f}" if np.isfinite(self.updates) else f"{self.missed} missed it"
        seconds = f"{self.seconds:.3g}" if np.isfinite(self.seconds) else ""
        return (
            f"| {found.batch_size:,} | {found.lr:.3g} | {found.updates:,.0f} | {again} "
            f"| {found.seconds:.3g} ({found.low:.3g} to {found.high:.3g}) | {seconds} |"
        )


def trained_again(task: ss.Task, row: BatchTime, target: float, seeds: int) -> tuple[float, int]:
    """Geometric mean of the updates to the target over fresh seeds, infinite if one misses it; and misses."""
    small = at_batch_size(task, row.batch_size)
    chosen = tuple(range(FRESH, FRESH + seeds))
    runs = descend(small, [row.lr], seeds=chosen, steps=int(np.ceil(2.5 * row.updates)) + 2)
    reached = runs.updates_to(target)
    return float(np.exp(np.log(np.maximum(reached, 1.0)).mean())), int(np.isinf(reached).sum())


def timed(task: ss.Task, row: BatchTime, updates: float, number: int) -> float:
    """Seconds that a plain loop takes for so many updates."""
    small = at_batch_size(task, row.batch_size)
    count = max(1, round(updates))
    history = train(small, [Member(row.lr, FRESH + number)], np.full(count, row.lr), engine="loop")
    return history.cost.seconds * updates / count


def all_again(task: ss.Task, found: BatchAdvice, seeds: int) -> list[Again]:
    """Every batch size that was tried, its timings in turn."""
    target = found.critical.targets[-1].loss
    runs = [trained_again(task, row, target, seeds) for row in found.times]
    seconds: list[list[float]] = [[] for _ in runs]
    for number in range(ROUNDS):
        for row, (updates, _), spent in zip(found.times, runs, seconds, strict=True):
            spent.append(timed(task, row, updates, number) if np.isfinite(updates) else np.inf)
    return [
        Again(row, updates, missed, float(np.median(spent)))
        for row, (updates, missed), spent in zip(found.times, runs, seconds, strict=True)
    ]


def judged(name: str, task: ss.Task, found: BatchAdvice, size: int | None, seeds: int) -> tuple[str, str]:
    """A sentence on the choice, and the table behind it."""
    if not found.times:
        return f"{task.name}, {name}: no batch size was chosen. {found.why}", ""
    rows = all_again(task, found, seeds)
    true = {row.found.batch_size: row.seconds for row in rows}
    best = min(true, key=lambda other: true[other])
    excess = true.get(size or 0, np.inf) / true[best] - 1
    verdict = "within" if excess <= ALLOWED else "not within"
    lines = [
        f"### {task.name}, {name}: a held-out loss of {found.critical.targets[-1].loss:.4g}",
        "",
        "| batch | rate | updates found | updates again | seconds found | seconds again |",
        "|---|---|---|---|---|---|",
        *(row.row() for row in rows),
        "",
        f"Finding it took {found.cost.seconds:.0f} s. {found.critical.why}",
    ]
    sentence = (
        f"{task.name}, {name}: batch {size} was chosen; with {seeds} fresh seeds {best} was best and {size} "
        f"took {excess:.1%} longer: {verdict} {ALLOWED:.0%}."
    )
    return sentence, "\n".join(lines)


def by_search(task: ss.Task, seeds: int, budget: str | None) -> tuple[BatchAdvice, int | None]:
    """What `find_batch_size` chooses."""
    found = ss.find_batch_size(task, seeds=seeds, budget=budget, noise=True, announce=print)
    return found, found.batch_size


def by_tuning(task: ss.Task, seeds: int, budget: str | None) -> tuple[BatchAdvice, int | None]:
    """What `tune` chooses, which keeps the task's own size where no other is clearly better."""
    found = ss.tune(task, schedule="fixed", seeds=seeds, budget=budget, announce=print)
    if found.batch is None:
        raise RuntimeError(f"tune chose no batch size: {'; '.join(found.warnings)}")
    return found.batch, found.batch_size


def main() -> None:
    """Run both tasks both ways; print the page, or write it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer seeds, shorter runs; writes nothing")
    options = parser.parse_args()
    seeds, budget = (2, "60 s") if options.quick else (3, None)
    tasks = (
        (mnist_task(epochs=1), mnist_cnn_task(steps=200))
        if options.quick
        else (mnist_task(epochs=4), mnist_cnn_task(steps=600))
    )
    ways: dict[str, Callable[[ss.Task, int, str | None], tuple[BatchAdvice, int | None]]] = {
        "`find_batch_size`": by_search,
        "`tune`": by_tuning,
    }
    results = []
    for task in tasks:
        for name, choose in ways.items():
            found, size = choose(task, seeds, budget)
            print(found, flush=True)
            results.append(judged(name, task, found, size, 2 * seeds))
            print("\n\n".join(results[-1]), flush=True)
    page = PAGE.format(
        summary="\n".join(f"- {sentence}" for sentence, _ in results),
        tables="\n\n".join(table for _, table in results if table),
        circumstances=circumstances("python -m benchmarks.batch_size"),
    )
    print(page)
    if not options.quick:
        RESULTS.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
