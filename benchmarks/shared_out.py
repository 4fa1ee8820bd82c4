"""What it saves to share runs out among processes, where no stack is trained.

    python -m benchmarks.shared_out            # three minutes; writes benchmarks/shared_out.md
    python -m benchmarks.shared_out --quick    # a look, for CI: writes nothing

Nets of benchmarks/regret that differ in kind, and an LSTM, which no stack can hold. Four runs
of each are trained one after another, with all of torch's threads, and shared out, in turn.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from torch import Tensor, nn

import stepsize as ss
from benchmarks.clock import Speed
from benchmarks.ratios import asked_quick, publish, times_as_long
from benchmarks.regret import data
from benchmarks.regret.tasks import CASES

RESULTS = Path(__file__).with_name("shared_out.md")
NAMES = ("textbook", "cnn", "transformer", "recurrent", "conv1d", "large-batch")
RUNS, UPDATES, REPEATS = 4, 150, 5
LR = 1e-4

PAGE = """\
# Runs shared out among processes

<!-- --8<-- [start:table] -->
Four runs of {updates} updates each, their held-out losses before, half-way and after them included: one after
another, with all of torch's threads, over shared out, with one thread each. Medians of {repeats} turns, and
half the distance between the extremes.

{table}

{circumstances}
<!-- --8<-- [end:table] -->
"""


class LSTM(nn.Module):
    """Reads characters and names the next one."""

    def __init__(self, characters: int, width: int = 64) -> None:
        super().__init__()
        self.embed = nn.Embedding(characters, width)
        self.read = nn.LSTM(width, width, batch_first=True)
        self.head = nn.Linear(width, characters)

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.head(self.read(self.embed(x))[0])
        return scores.transpose(1, 2)


def lstm() -> ss.Task:
    """An LSTM on the characters of benchmarks/regret's recurrent net."""
    train, held_out = data.prose(24, samples=4000)
    return ss.Task(
        partial(LSTM, 1 + max(int(part.max()) for part in (*train, *held_out))),
        ss.supervised(nn.CrossEntropyLoss()),
        train,
        val=held_out,
        optimizer=torch.optim.Adam,
        batch_size=32,
        steps=UPDATES,
        device="cpu",
    )


def gain(task: ss.Task, updates: int, repeats: int) -> Speed:
    """How many times as long the runs take one after another."""
    members = [ss.Member(lr=LR, seed=0)] * RUNS
    at = [0, updates // 2, updates]

    def shared_out() -> float:
        return ss.train(task, members, np.full(updates, LR), evaluate_at=at, engine="loop").cost.seconds

    def apart() -> float:
        with mock.patch("stepsize.training.engine.most_processes", return_value=1):
            return shared_out()

    return times_as_long(apart, shared_out, repeats)


def main() -> None:
    quick = asked_quick("Show what it saves to share runs out among processes.")
    tasks = {name: CASES[name].task() for name in NAMES[:1] if quick} or {
        **{f"{name}: {CASES[name].kind}": CASES[name].task() for name in NAMES},
        "LSTM over characters": lstm(),
    }
    updates, repeats = (60, 1) if quick else (UPDATES, REPEATS)
    rows = ((name, gain(task, updates, repeats)) for name, task in tasks.items())
    publish(PAGE, rows, RESULTS, column="times as fast", quick=quick, updates=updates, repeats=repeats)


if __name__ == "__main__":
    main()
