"""What an update of a stack takes with an optimizer that the stack knows, and with one that it does not.

    python -m benchmarks.unknown_optimizers            # two minutes; writes benchmarks/unknown_optimizers.md
    python -m benchmarks.unknown_optimizers --quick    # a look, for CI: writes nothing

Three small nets of benchmarks/regret, twenty members. AdamW is updated for all members at once; the others
make their own calls for each member, Lion as anyone may write it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

import stepsize as ss
from benchmarks.clock import Speed
from benchmarks.ratios import asked_quick, publish, times_as_long
from benchmarks.regret.tasks import CASES
from stepsize.training import Records

RESULTS = Path(__file__).with_name("unknown_optimizers.md")
NAMES = ("textbook", "residual-mlp", "long-run")
MEMBERS, UPDATES, REPEATS = 20, 100, 5
LR = 1e-4

PAGE = """\
# Optimizers that a stack does not know

<!-- --8<-- [start:table] -->
An update of a stack of {members}, in plain updates with the same optimizer. Medians of {repeats} turns of
{updates} updates, recording not counted, and half the distance between the extremes. AdamW is one that the
stack knows.

{table}

{circumstances}
<!-- --8<-- [end:table] -->
"""


class Lion(torch.optim.Optimizer):
    """Signs of an average (Chen et al. 2023, 2302.06675), parameter by parameter."""

    def __init__(self, params: Any, lr: float, betas: tuple[float, float] = (0.9, 0.99)) -> None:
        super().__init__(params, {"lr": lr, "betas": betas})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """One update of all parameters that have a gradient."""
        for group in self.param_groups:
            first, second = group["betas"]
            for p in group["params"]:
                if p.grad is None:
                    continue
                average = self.state[p].setdefault("average", torch.zeros_like(p))
                p.add_(average.lerp(p.grad, 1 - first).sign_(), alpha=-group["lr"])
                average.lerp_(p.grad, 1 - second)


OPTIMIZERS = (
    torch.optim.AdamW,
    torch.optim.NAdam,
    torch.optim.RAdam,
    torch.optim.Adamax,
    torch.optim.Adadelta,
    Lion,
)


def plain_updates(task: ss.Task, updates: int, repeats: int) -> Speed:
    """How many of them an update of a stack takes."""
    records = Records()
    rates = np.full(updates, LR)

    def stacked() -> float:
        members = [ss.Member(lr=LR, seed=0)] * MEMBERS
        return ss.train(task, members, rates, engine="stack", records=records).cost.seconds

    def alone() -> float:
        return ss.train(task, [ss.Member(lr=LR, seed=0)], rates, engine="loop").cost.seconds

    stacked()  # which records it
    return times_as_long(stacked, alone, repeats)


def main() -> None:
    quick = asked_quick("Show what an optimizer costs that a stack does not know.")
    updates, repeats = (40, 1) if quick else (UPDATES, REPEATS)

    def rows() -> Iterator[tuple[str, Speed]]:
        for name in NAMES[:1] if quick else NAMES:
            for optimizer in OPTIMIZERS:
                task = CASES[name].task().replace(optimizer=optimizer)
                yield f"{name}: {optimizer.__name__}", plain_updates(task, updates, repeats)

    publish(
        PAGE,
        rows(),
        RESULTS,
        column="plain updates",
        quick=quick,
        members=MEMBERS,
        updates=updates,
        repeats=repeats,
    )


if __name__ == "__main__":
    main()
