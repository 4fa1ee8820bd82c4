"""What it saves to share runs out among processes, where no stack is trained.

    python -m benchmarks.shared_out            # three minutes; writes benchmarks/shared_out.md
    python -m benchmarks.shared_out --quick    # a look, for CI: writes nothing

Nets of benchmarks/regret that differ in kind, and an LSTM, which no stack can hold. Four runs
of each are trained one after another, with all of torch's threads, and shared out, in turn.
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from torch import Tensor, nn

import stepsize as ss
from benchmarks.clock import Rival, circumstances, race
from benchmarks.regret import data
from benchmarks.regret.tasks import CASES
from benchmarks.table import header, row

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


def gain(task: ss.Task, updates: int, repeats: int) -> tuple[float, float]:
    """How many times as long the runs take one after another, and the spread of that."""
    members = [ss.Member(lr=LR, seed=0)] * RUNS
    at = [0, updates // 2, updates]

    def shared_out() -> float:
        return ss.train(task, members, np.full(updates, LR), evaluate_at=at, engine="loop").cost.seconds

    def apart() -> float:
        with mock.patch("stepsize.training.engine.most_processes", return_value=1):
            return shared_out()

    speeds = race({"shared out": Rival(shared_out, RUNS), "apart": Rival(apart, RUNS)}, repeats)
    ratio = speeds["shared out"].over(speeds["apart"])
    return ratio.median, ratio.spread


def main() -> None:
    parser = argparse.ArgumentParser(description="Show what it saves to share runs out among processes.")
    parser.add_argument("--quick", action="store_true", help="one small look; writes nothing")
    quick = parser.parse_args().quick
    tasks = {name: CASES[name].task() for name in NAMES[:1] if quick} or {
        **{f"{name}: {CASES[name].kind}": CASES[name].task() for name in NAMES},
        "LSTM over characters": lstm(),
    }
    updates, repeats = (60, 1) if quick else (UPDATES, REPEATS)
    lines = [header("", ["times as fast", "±"])]
    for name, task in tasks.items():
        ratio, spread = gain(task, updates, repeats)
        lines.append(row(name, f"{ratio:.2f}", f"{spread:.0%}"))
    text = PAGE.format(
        updates=updates,
        repeats=repeats,
        table="\n".join(lines),
        circumstances=circumstances("python -m benchmarks.shared_out"),
    )
    print(text)
    if not quick:
        RESULTS.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
