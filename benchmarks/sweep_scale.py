"""What a sweep costs besides training: 10,000 tiny cells through the ledger.

    python -m benchmarks.sweep_scale            # writes benchmarks/sweep_scale.md
    python -m benchmarks.sweep_scale --quick    # 640 cells, for a look: writes nothing

Each cell is two updates of a net with 12 weights. The time that training takes, mostly the set-up of each
stack, is measured apart and subtracted.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import nn

import stepsize as ss
from benchmarks.clock import circumstances
from stepsize.runs import CellRun, Job, LocalExecutor

RESULTS = Path(__file__).with_name("sweep_scale.md")
RATES, SEEDS, SIZES = 50, 50, (2, 4, 8, 16)

PAGE = """\
# A sweep of {cells:,} cells

<!-- --8<-- [start:table] -->
{circumstances}

Tiny cells of {updates} updates each, {rates} rates to a group. Training them took {training:.1f} s of the
{total:.1f} s in all; the rest is the sweep's own.

| what | measured |
|---|--:|
| sweep's own time, per cell | {overhead:.2f} ms |
| sweep's own time, per group (planned, leased, committed) | {group:.1f} ms |
| ledger, per cell | {bytes:,.0f} bytes |
| ledger in all | {size:.1f} MB |
| the same call again, nothing left to train | {again:.1f} s |
| resumed after half of it, before the first group trains | {resume:.1f} s |
| `Runs.open` | {read:.1f} s |
<!-- --8<-- [end:table] -->
"""


class Timed(LocalExecutor):
    """Trains here, and adds up the time that it takes."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds = 0.0
        self.groups = 0
        self.first: float | None = None

    def wait(self) -> list[tuple[Job, list[CellRun]]]:
        start = time.perf_counter()
        if self.first is None:
            self.first = start
        finished = super().wait()
        self.seconds += time.perf_counter() - start
        self.groups += 1
        return finished


class Half(Timed):
    """Stops as Ctrl-C does, after so many groups."""

    def __init__(self, groups: int) -> None:
        super().__init__()
        self._left = groups

    def wait(self) -> list[tuple[Job, list[CellRun]]]:
        self._left -= 1
        if self._left < 0:
            raise KeyboardInterrupt
        return super().wait()


def tiny_task() -> ss.Task:
    """A linear map of three inputs to four classes, 64 samples."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(64, 3, generator=generator)
    y = torch.randint(4, (64,), generator=generator)
    return ss.Task(
        model=lambda: nn.Linear(3, 4, bias=False),
        loss=ss.supervised(nn.CrossEntropyLoss()),
        train=(x, y),
        val=(x[:16], y[:16]),
        optimizer=torch.optim.SGD,
        batch_size=4,
        steps=2,
        name="tiny",
    )


def seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true")
    seeds = 4 if parser.parse_args().quick else SEEDS
    rates = 40 if seeds == 4 else RATES
    task = tiny_task()
    cells, groups = rates * seeds * len(SIZES), seeds * len(SIZES)

    def run(store: Path, executor: LocalExecutor) -> ss.Runs:
        grid = np.geomspace(1e-3, 1, rates)
        return ss.sweep(task, grid, seeds=seeds, batch_size=SIZES, store=store, executor=executor, evaluate=1)

    with tempfile.TemporaryDirectory() as folder:
        store, halved = Path(folder) / "runs.db", Path(folder) / "half.db"
        timed = Timed()
        total = seconds(lambda: run(store, timed))
        again = seconds(lambda: run(store, LocalExecutor()))
        read = seconds(lambda: ss.Runs.open(store))
        size = store.stat().st_size
        run(halved, Half(groups // 2))
        resumed = Timed()
        start = time.perf_counter()
        run(halved, resumed)
        assert resumed.first is not None
        assert resumed.groups == groups - groups // 2
        resume = resumed.first - start
    own = total - timed.seconds
    page = PAGE.format(
        cells=cells,
        circumstances=circumstances("python -m benchmarks.sweep_scale"),
        updates=task.steps,
        rates=rates,
        training=timed.seconds,
        total=total,
        overhead=1000 * own / cells,
        group=1000 * own / groups,
        bytes=size / cells,
        size=size / 1e6,
        again=again,
        resume=resume,
        read=read,
    )
    print(page)
    if seeds == SEEDS:
        RESULTS.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
