"""How good the batch size for time is: every batch size tried is trained to the target again, and timed.

    python -m benchmarks.batch_size [--quick] [--out FILE]

`find_batch_size` chooses on the textbook's net and on a small CNN. Then runs with seeds that it never saw are
trained at every batch size, at the rate that it found there: the updates to the target are those of the runs,
and the seconds those of a plain loop of so many updates. The target is a chosen batch within 15% of the best.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from stepsize.datasets.tasks import mnist_cnn_task, mnist_task
from stepsize.decide.batch_advice import BatchAdvice, BatchTime
from stepsize.decide.find_batch_size import find_batch_size
from stepsize.measure.updates_to_target import at_batch_size, descend
from stepsize.task import Task
from stepsize.training import Member, train

FRESH = 1000
"""First of the seeds that the choice was not made with."""

ROUNDS = 3
"""Timings of each batch size, in turn."""

ALLOWED = 0.15
"""What the chosen batch may take beyond the best."""


def true_updates(task: Task, row: BatchTime, target: float, seeds: int) -> float:
    """Geometric mean of the updates to the target over fresh seeds; infinite if one does not reach it."""
    small = at_batch_size(task, row.batch_size)
    chosen = tuple(range(FRESH, FRESH + seeds))
    runs = descend(small, [row.lr], seeds=chosen, steps=int(np.ceil(2.5 * row.updates)) + 2)
    return float(np.exp(np.log(np.maximum(runs.updates_to(target), 1.0)).mean()))


def timed(task: Task, row: BatchTime, updates: float, number: int) -> float:
    """Seconds that a plain loop takes for so many updates."""
    small = at_batch_size(task, row.batch_size)
    count = max(1, round(updates))
    history = train(small, [Member(row.lr, FRESH + number)], np.full(count, row.lr), engine="loop")
    return history.cost.seconds * updates / count


def table(task: Task, found: BatchAdvice, seeds: int) -> list[str]:
    """The truth beside the prediction, as lines of markdown."""
    target = found.critical.targets[-1].loss
    updates = {row.batch_size: true_updates(task, row, target, seeds) for row in found.times}
    seconds: dict[int, list[float]] = {size: [] for size, count in updates.items() if np.isfinite(count)}
    for number in range(ROUNDS):
        for row in found.times:
            if row.batch_size in seconds:
                seconds[row.batch_size].append(timed(task, row, updates[row.batch_size], number))
    true = {size: float(np.median(values)) for size, values in seconds.items()}
    best = min(true, key=lambda size: true[size])
    lines = [
        f"### {task.name}: a held-out loss of {target:.4g}",
        "",
        "| batch | rate | updates found | updates again | seconds found | seconds again |",
        "|---|---|---|---|---|---|",
    ]
    for row in found.times:
        again = true.get(row.batch_size, np.inf)
        lines.append(
            f"| {row.batch_size:,} | {row.lr:.3g} | {row.updates:,.0f} | {updates[row.batch_size]:,.0f} "
            f"| {row.seconds:.3g} ({row.low:.3g} to {row.high:.3g}) | {again:.3g} |"
        )
    size = found.batch_size
    excess = np.inf if size is None or size not in true else true[size] / true[best] - 1
    verdict = "within" if excess <= ALLOWED else "not within"
    return [
        *lines,
        "",
        f"Chosen: {size}, best again: {best}; {excess:.1%} slower, {verdict} {ALLOWED:.0%}.",
        f"Finding it took {found.cost.seconds:.0f} s. {found.critical.why}",
        "",
    ]


def main() -> None:
    """Run both tasks and print, or write, the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer seeds and shorter runs: a minute or two")
    parser.add_argument("--out", type=Path, help="write the tables there too")
    options = parser.parse_args()
    seeds = 2 if options.quick else 3
    tasks = (
        (mnist_task(epochs=1), mnist_cnn_task(steps=200))
        if options.quick
        else (
            mnist_task(epochs=4),
            mnist_cnn_task(steps=600),
        )
    )
    text = ["# Batch size: the choice against every batch size tried", ""]
    for task in tasks:
        budget = "45 s" if options.quick else None
        found = find_batch_size(task, seeds=seeds, budget=budget, noise=True, announce=print)
        print(found.critical, found, sep="\n\n", flush=True)
        text += table(task, found, seeds=2 * seeds)
    print("\n".join(text))
    if options.out is not None:
        options.out.write_text("\n".join(text), encoding="utf-8")


if __name__ == "__main__":
    main()
