"""How fast the engine trains many members: against four rivals, the floor, and what it is meant to reach.

    python -m benchmarks.engine            # some 7 minutes; writes benchmarks/results.md
    python -m benchmarks.engine --quick    # a look, for CI: writes nothing

The unit is the member-update: one update of one model. An ordinary loop trains one model at a time, so its
speed does not depend on the number of members.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

import stepsize as ss
from benchmarks import rivals_jax, rivals_lightning
from benchmarks.clock import Rival, circumstances, race, stopwatch
from benchmarks.engine_page import LONG, PAGE, RATIOS, TIMES, Measured, ratio_row, target_rows, time_row
from benchmarks.rivals import LR, MakeNet, loader_loop, plain_loop, reference_net, small_cnn
from benchmarks.rivals_floor import ConvolutionFloor, DenseFloor
from benchmarks.targets import HEADER

RESULTS = Path(__file__).with_name("results.md")
WARM_UP = 40
"""Updates of an untimed call: more than the engine's first evaluation of what it records."""

JAX_SHARE = 4
"""JAX runs this part of the updates, and its time is multiplied: every update of a scan costs the same."""


@dataclass(frozen=True)
class Net:
    """A net, for torch, for JAX, and as its matrix products; `shape` is that of one sample."""

    name: str
    make: MakeNet
    shape: tuple[int, ...]
    forward: Callable[[rivals_jax.Weights, object], object]
    floor: type[DenseFloor] | type[ConvolutionFloor]


DENSE = Net("784-64-16-10", reference_net, (784,), rivals_jax.dense, DenseFloor)
CNN = Net("small CNN", small_cnn, (1, 28, 28), rivals_jax.convolutional, ConvolutionFloor)


@dataclass(frozen=True)
class Case:
    """One race: `turns` for each number of members, and how many updates a call makes.

    `updates` are the engine's and JAX's, `loop` those of a loop, `floor` the floor's in member-updates.
    """

    net: Net
    batch_size: int
    turns: dict[int, int]
    updates: int
    loop: int
    floor: int = 2000


CASES = (
    *(Case(DENSE, batch_size, {16: 3, 64: 2}, updates=2000, loop=500) for batch_size in (16, 32, 128)),
    *(Case(CNN, *sizes, loop=100) for sizes in ((16, {16: 2}, 200), (32, {16: 2}, 200), (128, {16: 2}, 60))),
)
QUICK = (
    Case(DENSE, 16, {4: 1}, updates=60, loop=40, floor=100),
    Case(CNN, 16, {2: 1}, updates=8, loop=10, floor=100),
)


def engine(
    make: MakeNet, x: Tensor, y: Tensor, *, batch_size: int, members: int, updates: int
) -> Callable[[], object]:
    """A call that trains all members as one stack, evaluating nothing."""
    task = ss.Task(
        model=make,
        loss=ss.supervised(nn.CrossEntropyLoss()),
        train=(x, y),
        val=(x[:2], y[:2]),
        optimizer=torch.optim.SGD,
        batch_size=batch_size,
        steps=updates,
        device="cpu",
    )
    stack = [ss.Member(lr=LR, seed=0)] * members
    return lambda: ss.train(task, stack, np.full(updates, LR), engine="stack")


def contest(case: Case, x: Tensor, y: Tensor) -> list[Measured]:
    """Time all rivals of one case; the floor is its fastest arrangement."""
    net, batch_size = case.net, case.batch_size
    rivals = _loops(case, x, y)
    for members, turns in case.turns.items():
        rivals |= {f"{name} {members}": rival for name, rival in _many(case, x, y, members, turns).items()}
    speeds = race(rivals, max(case.turns.values()))
    found = []
    for members in case.turns:
        floors = [speed for name, speed in speeds.items() if name.endswith(f" floor {members}")]
        compiled = speeds[f"jax {members}"]
        found.append(
            Measured(
                net=net.name,
                batch_size=batch_size,
                members=members,
                updates=case.updates,
                stepsize=speeds[f"stepsize {members}"],
                jax=compiled.after(speeds[f"jax compiling {members}"]),
                jax_compiled=compiled,
                plain=speeds["plain"],
                loader=speeds["loader"],
                lightning=speeds["lightning"],
                floor=max(floors, key=lambda speed: speed.median),
            )
        )
    return found


def _loops(case: Case, x: Tensor, y: Tensor) -> dict[str, Rival]:
    make, size, updates = case.net.make, case.batch_size, case.loop
    return {
        "plain": Rival(stopwatch(lambda: plain_loop(make, x, y, batch_size=size, updates=updates)), updates),
        "loader": Rival(
            stopwatch(lambda: loader_loop(make, x, y, batch_size=size, updates=updates)), updates
        ),
        "lightning": Rival(
            lambda: rivals_lightning.steady_seconds(make, x, y, batch_size=size, updates=updates), updates
        ),
    }


def _many(case: Case, x: Tensor, y: Tensor, members: int, turns: int) -> dict[str, Rival]:
    """Those that train all members at once, and the floor in each arrangement."""
    make, size = case.net.make, case.batch_size
    work = members * case.updates
    part = -(-case.updates // JAX_SHARE)

    def stack(updates: int) -> Callable[[], object]:
        return engine(make, x, y, batch_size=size, members=members, updates=updates)

    scan = rivals_jax.Scan(case.net.forward, make(), x, y, batch_size=size, members=members, updates=part)
    rounds = max(1, case.floor // members)
    arrangements = case.net.floor(batch_size=size, members=members).arrangements()
    return {
        # What torch has compiled is compiled anew, as in a fresh process.
        "stepsize": Rival(
            stopwatch(stack(case.updates)),
            work,
            turns,
            warm_up=stack(min(WARM_UP, case.updates)),
            prepare=torch.compiler.reset,
        ),
        "jax compiling": Rival(scan.compile, work, turns),
        "jax": Rival(scan.run, members * part, turns),
        **{
            f"{name} floor": Rival(_repeated(products, rounds), members * rounds, turns)
            for name, products in arrangements.items()
        },
    }


def _repeated(call: Callable[[], None], times: int) -> Callable[[], float]:
    def repeated() -> None:
        for _ in range(times):
            call()

    return stopwatch(repeated)


def page(measured: Sequence[Measured]) -> str:
    """All tables, as Markdown."""
    return PAGE.format(
        targets="\n".join([HEADER, *target_rows(measured)]),
        times="\n".join([TIMES, *map(time_row, measured)]),
        ratios="\n".join([RATIOS, *map(ratio_row, measured)]),
        long=LONG,
        share=JAX_SHARE,
        lightning=rivals_lightning.WARM_UP,
        circumstances=circumstances("make bench", "jax", "lightning"),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the engine against its rivals.")
    parser.add_argument("--quick", action="store_true", help="one small look; writes nothing")
    quick = parser.parse_args().quick
    # Else a second call would find on disk what the first one compiled, and not pay for it.
    os.environ["TORCHINDUCTOR_FORCE_DISABLE_CACHES"] = "1"
    digits = ss.datasets.mnist()
    x, y = torch.from_numpy(digits.train.images), torch.from_numpy(digits.train.labels)
    cases = QUICK if quick else CASES
    measured: list[Measured] = []
    print(TIMES, flush=True)
    for case in cases:
        measured += contest(case, x.view(-1, *case.net.shape), y)
        print(*map(time_row, measured[-len(case.turns) :]), sep="\n", flush=True)
    text = page(measured)
    print("", text, sep="\n")
    if not quick:
        RESULTS.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
