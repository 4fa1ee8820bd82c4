"""What the loop adds to a plain loop written by hand.

    python -m benchmarks.loop            # two minutes; writes benchmarks/loop.md
    python -m benchmarks.loop --quick    # a look, for CI: writes nothing

The nets of benchmarks/regret. The plain loop is the one that every cost there is counted in; both take the
same batches in the same order and read each loss.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

import stepsize as ss
from benchmarks.clock import Speed, stopwatch
from benchmarks.ratios import asked_quick, publish, times_as_long
from benchmarks.regret.plain import plain_run, rates
from benchmarks.regret.tasks import CASES, Case

RESULTS = Path(__file__).with_name("loop.md")
UPDATES, REPEATS = 150, 7
LR = 1e-6

PAGE = """\
# The loop

<!-- --8<-- [start:table] -->
Time of {updates} updates of one run by `train(engine="loop")`, with no held-out loss, over that of a plain
loop written by hand. Medians of {repeats} turns, and half the distance between the extremes.

{table}

{circumstances}
<!-- --8<-- [end:table] -->
"""


def added(case: Case, updates: int, repeats: int) -> Speed:
    """How many times as long the loop takes."""
    task = case.task().replace(steps=updates)
    values = np.array([rates(case, task, LR)])

    def loop() -> float:
        return ss.train(task, [ss.Member(LR, 0)], values, evaluate_at=[], engine="loop").cost.seconds

    return times_as_long(loop, stopwatch(lambda: plain_run(case, task, LR, 0)), repeats)


def main() -> None:
    quick = asked_quick("Show what the loop adds to a plain loop.")
    updates, repeats = (30, 1) if quick else (UPDATES, REPEATS)
    cases = list(CASES.values())[: 2 if quick else None]
    rows = ((f"{case.name}: {case.kind}", added(case, updates, repeats)) for case in cases)
    publish(PAGE, rows, RESULTS, column="times as long", quick=quick, updates=updates, repeats=repeats)


if __name__ == "__main__":
    main()
