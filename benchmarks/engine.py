"""How fast the engine trains many members, against two ordinary loops and against the floor.

    python -m benchmarks.engine            # writes benchmarks/results.md
    python -m benchmarks.engine --quick    # a look, for CI: writes nothing

The unit is the member-update: one update of one model. An ordinary loop trains one model at a time, so its
speed does not depend on the number of members. A speed is the median over repeats, in which all rivals take
turns; ± is half the distance between the extremes, as a share of the median.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

import stepsize as ss
from benchmarks.clock import Speed, circumstances, race
from benchmarks.rivals import LR, Floor, loader_loop, plain_loop, reference_net

RESULTS = Path(__file__).with_name("results.md")
BATCH_SIZES = (16, 32, 128)
MEMBERS = (4, 16, 64)
UPDATES = 300
FLOOR_MEMBER_UPDATES = 2000
REPEATS = 5

RATIOS = """\
| batch | members | ÷ plain loop | ÷ DataLoader loop | ÷ floor |
|--:|--:|--:|--:|--:|"""

SPEEDS = """\
| batch | members | stepsize | plain loop | DataLoader loop | floor |
|--:|--:|--:|--:|--:|--:|"""

PAGE = """\
# Benchmarks

How many times as fast `stepsize` trains as a rival: its member-updates per second over the rival's, taken
repeat by repeat. A member-update is one update of one model; an ordinary loop trains one model at a time,
so its speed does not depend on the number of members. The figure is the median of {repeats} repeats in
which all rivals take turns; ± is half the distance between the extremes, as a share of the median.

{ratios}

- **plain loop**: one model at a time, batches sliced by index from tensors in memory.
- **DataLoader loop**: the same, fed by a shuffling `DataLoader` without workers.
- **floor**: the matrix products of the same updates and nothing else, in the fastest of three arrangements.

The net is the reference net, 784-64-16-10 with cross-entropy and plain SGD, on MNIST. `stepsize.train`
trains all members at once, its set-up included, {updates} updates a call.

## Speeds

Member-updates per second.

{speeds}

## Measured

{circumstances}
"""


def engine(x: Tensor, y: Tensor, *, batch_size: int, members: int, updates: int) -> Callable[[], object]:
    """A call that trains all members as one stack, evaluating nothing."""
    task = ss.Task(
        model=reference_net,
        loss=ss.supervised(nn.CrossEntropyLoss()),
        train=(x, y),
        val=(x[:2], y[:2]),
        optimizer=torch.optim.SGD,
        batch_size=batch_size,
        steps=updates,
    )
    stack = [ss.Member(lr=LR, seed=0)] * members
    return lambda: ss.train(task, stack, np.full(updates, LR), engine="stack")


def contest(
    x: Tensor, y: Tensor, *, batch_size: int, members: int, updates: int, repeats: int
) -> dict[str, Speed]:
    """Time all rivals at one batch size and number of members; `floor` is its fastest arrangement."""
    floor = Floor(batch_size=batch_size, members=members)
    rounds = max(1, FLOOR_MEMBER_UPDATES // members)

    def repeated(products: Callable[[], None]) -> Callable[[], None]:
        def call() -> None:
            for _ in range(rounds):
                products()

        return call

    arrangements = {"each": floor.each, "batched": floor.batched, "shared": floor.shared}
    speeds = race(
        {
            "plain": (lambda: plain_loop(x, y, batch_size=batch_size, updates=updates), updates),
            "loader": (lambda: loader_loop(x, y, batch_size=batch_size, updates=updates), updates),
            "stepsize": (
                engine(x, y, batch_size=batch_size, members=members, updates=updates),
                members * updates,
            ),
            **{name: (repeated(call), members * rounds) for name, call in arrangements.items()},
        },
        repeats,
    )
    speeds["floor"] = max((speeds.pop(name) for name in arrangements), key=lambda speed: speed.median)
    return speeds


def ratio_row(batch_size: int, members: int, speeds: dict[str, Speed]) -> str:
    ratios = [speeds["stepsize"].over(speeds[name]) for name in ("plain", "loader", "floor")]
    return _row(
        batch_size, members, [f"{ratio.median:.2f} ±\N{NO-BREAK SPACE}{ratio.spread:.0%}" for ratio in ratios]
    )


def speed_row(batch_size: int, members: int, speeds: dict[str, Speed]) -> str:
    ordered = [speeds[name] for name in ("stepsize", "plain", "loader", "floor")]
    return _row(
        batch_size,
        members,
        [f"{speed.median:,.0f} ±\N{NO-BREAK SPACE}{speed.spread:.0%}" for speed in ordered],
    )


def _row(batch_size: int, members: int, cells: list[str]) -> str:
    return f"| {batch_size} | {members} | " + " | ".join(cells) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the engine against its rivals.")
    parser.add_argument("--quick", action="store_true", help="one small look; writes nothing")
    quick = parser.parse_args().quick
    digits = ss.datasets.mnist()
    x, y = torch.from_numpy(digits.train.images).flatten(1), torch.from_numpy(digits.train.labels)
    updates, repeats = (40, 2) if quick else (UPDATES, REPEATS)
    ratios, rows = [RATIOS], [SPEEDS]
    print(RATIOS, flush=True)
    for batch_size in BATCH_SIZES[:1] if quick else BATCH_SIZES:
        for members in MEMBERS[:2] if quick else MEMBERS:
            speeds = contest(x, y, batch_size=batch_size, members=members, updates=updates, repeats=repeats)
            ratios.append(ratio_row(batch_size, members, speeds))
            rows.append(speed_row(batch_size, members, speeds))
            print(ratios[-1], flush=True)
    print("", *rows, sep="\n")
    if not quick:
        page = PAGE.format(
            repeats=repeats,
            updates=updates,
            ratios="\n".join(ratios),
            speeds="\n".join(rows),
            circumstances=circumstances("make bench"),
        )
        RESULTS.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
