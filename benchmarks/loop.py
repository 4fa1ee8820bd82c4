"""What the loop adds to a plain loop written by hand.

    python -m benchmarks.loop            # two minutes; writes benchmarks/loop.md
    python -m benchmarks.loop --quick    # a look, for CI: writes nothing

The nets of benchmarks/regret. The plain loop is the one that every cost there is counted in; both take the
same batches in the same order and read each loss.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

import stepsize as ss
from benchmarks.clock import Rival, circumstances, race, stopwatch
from benchmarks.regret.plain import plain_run, rates
from benchmarks.regret.tasks import CASES, Case
from benchmarks.table import header, row

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


def added(case: Case, updates: int, repeats: int) -> tuple[float, float]:
    """How many times as long the loop takes, and the spread of that."""
    task = case.task().replace(steps=updates)
    values = np.array([rates(case, task, LR)])

    def loop() -> float:
        return ss.train(task, [ss.Member(LR, 0)], values, evaluate_at=[], engine="loop").cost.seconds

    by_hand = stopwatch(lambda: plain_run(case, task, LR, 0))
    speeds = race({"by hand": Rival(by_hand, updates), "loop": Rival(loop, updates)}, repeats)
    ratio = speeds["by hand"].over(speeds["loop"])
    return ratio.median, ratio.spread


def main() -> None:
    parser = argparse.ArgumentParser(description="Show what the loop adds to a plain loop.")
    parser.add_argument("--quick", action="store_true", help="one small look; writes nothing")
    quick = parser.parse_args().quick
    updates, repeats = (30, 1) if quick else (UPDATES, REPEATS)
    lines = [header("", ["times as long", "±"])]
    for case in list(CASES.values())[: 2 if quick else None]:
        ratio, spread = added(case, updates, repeats)
        lines.append(row(f"{case.name}: {case.kind}", f"{ratio:.2f}", f"{spread:.0%}"))
    text = PAGE.format(
        updates=updates,
        repeats=repeats,
        table="\n".join(lines),
        circumstances=circumstances("python -m benchmarks.loop"),
    )
    print(text)
    if not quick:
        RESULTS.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
