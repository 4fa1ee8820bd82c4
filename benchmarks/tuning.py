"""What tune's whole answer is worth: its real run against those of find_lr alone, with seeds it never saw.

    python -m benchmarks.tuning [--quick] [--tasks NAME …] [--out FILE]

On tasks of benchmarks/regret three answers are trained at full length: that of `tune`, and those of
`find_lr` at the task's own batch size with the schedules "fixed" and "cosine". The columns give the
held-out loss at the end (mean over fresh seeds, with the standard error), the time of the run in a plain
loop, and what finding the answer took. A lower loss in less time is better; where `tune` changes the batch
size it aims at the same loss in less time.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import stepsize as ss
from benchmarks.clock import circumstances
from benchmarks.regret.tasks import CASES
from stepsize.decide.speed import seconds_per_update
from stepsize.training import Member, train

RESULTS = Path(__file__).with_suffix(".md")

PAGE = """# What tuning is worth

<!-- --8<-- [start:table] -->
Each answer was trained at full length with five seeds that no answer was found with; "±" is the standard
error of their mean, "run" the time of the real run in a plain loop, "finding it" the wall-clock time of the
search.

{table}

{circumstances}
<!-- --8<-- [end:table] -->
"""

FRESH = 1000
"""First of the seeds that no answer was found with."""

TASKS = ("textbook", "cnn", "transformer", "recurrent", "embedding-bag", "residual-mlp", "wine")
"""Of different kinds, and long enough for a run to have a beginning and an end."""


@dataclass(frozen=True)
class Outcome:
    """An answer and what it came to; `answer` None where there was none."""

    name: str
    answer: ss.Advice
    finding: float
    losses: np.ndarray
    seconds: float

    def row(self, task: str) -> str:
        if self.answer.lr is None:
            return f"| {task} | {self.name} | {self.answer.status} | | | | | {self.finding:.0f} |"
        schedule = self.answer.schedule_text.replace("|", "\\|")
        mean, error = self.losses.mean(), self.losses.std(ddof=1) / np.sqrt(len(self.losses))
        return (
            f"| {task} | {self.name} | {self.answer.lr:.3g} | {schedule} "
            f"| {self.answer.batch_size} × {self.answer.steps:,} | {mean:.4g} ± {error:.2g} "
            f"| {self.seconds:.2f} | {self.finding:.0f} |"
        )


def outcome(name: str, task: ss.Task, find: Callable[[ss.Task], ss.Advice], seeds: int) -> Outcome:
    """Find an answer, then train it with fresh seeds."""
    started = time.perf_counter()
    answer = find(task)
    finding = time.perf_counter() - started
    if answer.lr is None:
        return Outcome(name, answer, finding, np.empty(0), 0.0)
    real = task.replace(batch_size=answer.batch_size, steps=answer.steps)
    members = [Member(answer.lr, FRESH + i) for i in range(seeds)]
    rates = answer.schedule.values(answer.run)
    history = train(real, members, rates, evaluate_at=[answer.steps])
    return Outcome(name, answer, finding, history.val_loss[:, -1], seconds_per_update(real) * answer.steps)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one task and two seeds, to see that it runs")
    parser.add_argument("--tasks", nargs="+", choices=sorted(CASES), help="others than the usual ones")
    parser.add_argument("--out", type=Path, help="write the page there; by default benchmarks/tuning.md")
    options = parser.parse_args(argv)
    names = options.tasks or (TASKS[-1:] if options.quick else TASKS)
    seeds = 2 if options.quick else 5
    finders: dict[str, Callable[[ss.Task], ss.Advice]] = {
        "tune": lambda task: ss.tune(task, budget="10 s" if options.quick else None, progress=False),
        "find_lr, fixed": lambda task: ss.find_lr(task, progress=False),
        "find_lr, cosine": lambda task: ss.find_lr(task, schedule="cosine", progress=False),
    }
    lines = [
        "| task | answer | rate | schedule | batch × updates | held-out loss | run, s | finding it, s |",
        "|---|---|---:|---|---:|---:|---:|---:|",
    ]
    print("\n".join(lines), flush=True)
    for name in names:
        for finder, find in finders.items():
            lines.append(outcome(finder, CASES[name].task(), find, seeds).row(name))
            print(lines[-1], flush=True)
    out = options.out or (None if options.quick or options.tasks else RESULTS)
    if out is not None:
        text = PAGE.format(table="\n".join(lines), circumstances=circumstances("python -m benchmarks.tuning"))
        out.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
