"""Sweeps that are killed twenty times and gone on with, against one left alone; run by test_crashes.py.

    python -m tests.runs.killing FOLDER

Every sweep runs in a process of its own, forked from this one, so that torch is imported once. Nothing here
trains in this process itself.
"""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import sys
import time
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path

import stepsize as ss
from stepsize.runs import Job, LocalExecutor
from tests.runs.grids import assert_same, small_task

RATES = [0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 1e4]
SEEDS = 6
"""Two seeds share a stack: six groups at two batch sizes."""

KILLS = 20
CELLS = len(RATES) * SEEDS * 2


def in_child(work: Callable[[], object]) -> int:
    """The pid of a new process that does the work and ends."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        work()
        code = 0
    finally:
        os._exit(code)  # past the parent's own clean-up


def finish(pid: int) -> None:
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0


def sweep(store: Path, executor: LocalExecutor | None = None) -> ss.Runs:
    return ss.sweep(
        small_task(),
        RATES,
        seeds=SEEDS,
        batch_size=[30, 50],
        store=store,
        executor=executor or LocalExecutor(),
    )


def finished(store: Path) -> int:
    if not store.exists():
        return 0
    with closing(sqlite3.connect(store)) as connection:
        try:
            return int(connection.execute("SELECT count(*) FROM cells").fetchone()[0])
        except sqlite3.OperationalError:  # killed before there was a table
            return 0


class Counting(LocalExecutor):
    """Trains here, writes down how many cells it was given, and lets the other process begin too."""

    def __init__(self, path: Path, other: Path) -> None:
        super().__init__()
        self._path, self._other = path, other

    def submit(self, job: Job) -> None:
        with self._path.open("a", encoding="ascii") as file:
            file.write(f"{len(job.cells)}\n")
        while not self._other.exists():
            time.sleep(0.01)
        super().submit(job)


def killed_twenty_times(folder: Path, seconds: float) -> list[Path]:
    """The ledgers of sweeps that were killed and gone on with; a new one is begun when one is finished."""
    moments = random.Random(0)
    stores, done = [folder / "killed0.db"], 0
    for _ in range(KILLS):
        if done == CELLS:
            stores.append(folder / f"killed{len(stores)}.db")
            done = 0
        pid = in_child(partial(sweep, stores[-1]))
        time.sleep(moments.uniform(0, 0.25 * seconds))
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        assert finished(stores[-1]) >= done, "a finished cell is gone"
        done = finished(stores[-1])
        sys.stdout.write(f"killed with {done} of {CELLS} cells finished\n")
    finish(in_child(partial(sweep, stores[-1])))
    return stores


def two_at_once(folder: Path) -> None:
    a, b = folder / "worker0", folder / "worker1"
    work = [partial(sweep, folder / "two.db", Counting(mine, other)) for mine, other in ((a, b), (b, a))]
    for pid in list(map(in_child, work)):
        finish(pid)
    counts = [[int(n) for n in path.read_text().split()] for path in (a, b)]
    assert sum(map(sum, counts)) == CELLS, f"cells were trained twice: {counts}"
    sys.stdout.write(f"two at once: {counts}\n")


def main(folder: Path) -> None:
    small_task().capabilities()  # reads the data and imports what training needs, once for all processes
    start = time.monotonic()
    finish(in_child(partial(sweep, folder / "alone.db")))
    stores = killed_twenty_times(folder, time.monotonic() - start)
    two_at_once(folder)
    alone = ss.Runs.open(folder / "alone.db")
    assert len(alone) == alone.planned == CELLS
    for other in (*stores, folder / "two.db"):
        assert_same(ss.Runs.open(other), alone)
    sys.stdout.write("all the same, bit for bit\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
