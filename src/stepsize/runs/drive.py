"""The sweep at work: claim a group, have it trained, write it down, until every cell is there."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from stepsize._progress import Reporter
from stepsize.runs.cell import CellRun
from stepsize.runs.executor import Executor
from stepsize.runs.ledger import Ledger, Study
from stepsize.runs.plan import Job
from stepsize.runs.worker import Worker

POLL = 0.2
"""Seconds between two looks at groups that another process is at work on."""


class Tally:
    """Cells done, running and diverged, and the best so far, told to a reporter as they change."""

    def __init__(self, reporter: Reporter, cells: int, done: Sequence[CellRun]) -> None:
        self._reporter, self._cells = reporter, cells
        self._done = self._running = self._diverged = 0
        self._best: CellRun | None = None
        self._take(done)

    def _take(self, runs: Sequence[CellRun]) -> None:
        self._done += len(runs)
        for run in runs:
            self._diverged += run.status == "diverged"
            if run.status != "diverged" and (self._best is None or run.final() < self._best.final()):
                self._best = run

    def started(self, cells: int) -> None:
        """So many cells are being trained from now on."""
        self._running += cells
        self._reporter.phase(str(self))

    def finished(self, runs: Sequence[CellRun]) -> None:
        """These cells are written down."""
        self._running -= len(runs)
        self._take(runs)
        self._reporter.phase(str(self))

    def elsewhere(self, cells: int) -> None:
        """Another process has finished so many cells."""
        self._done += cells

    def __str__(self) -> str:
        text = f"{self._done:,} of {self._cells:,} cells, {self._running} running, {self._diverged} diverged"
        if self._best is not None:
            cell = self._best.cell
            text += f"; best {self._best.final():.4g} (lr {cell.lr:g}, batch {cell.batch_size})"
        return text


@dataclass
class Drive:
    """What a sweep works with: the ledger, who does the work, and who is told of it."""

    ledger: Ledger
    study: Study
    executor: Executor
    worker: Worker
    tally: Tally
    reporter: Reporter
    running: dict[tuple[str, ...], Job] = field(default_factory=dict)

    def run(self, jobs: Sequence[Job]) -> None:
        """Have every group trained, here or by the other processes at work on the same ledger."""
        waiting = deque(jobs)
        while waiting or self.running:
            self._submit(waiting)
            if self.running:
                for job, runs in self.executor.wait():
                    self.ledger.commit(self.study, job.keys, runs, self.worker)
                    del self.running[job.keys]
                    self.tally.finished(runs)
            elif waiting:
                time.sleep(POLL)

    def _submit(self, waiting: deque[Job]) -> None:
        """Claim and submit what the executor takes; each group that waits is looked at once at most."""
        for _ in range(len(waiting)):
            if len(self.running) >= self.executor.slots:
                return
            job = waiting.popleft()
            claimed = self.ledger.claim(job.keys, self.worker)
            if claimed is None:
                waiting.append(job)
                continue
            mine = _narrowed(job, claimed)
            self.reporter.advance(job.updates - mine.updates)
            self.tally.elsewhere(len(job.keys) - len(mine.keys))
            if claimed:
                self.running[mine.keys] = mine
                self.tally.started(len(mine.keys))
                self.executor.submit(mine)


def _narrowed(job: Job, keys: Sequence[str]) -> Job:
    """The group without the cells that another process has finished meanwhile."""
    rows = [(key, cell) for key, cell in zip(job.keys, job.cells, strict=True) if key in set(keys)]
    return msgspec.structs.replace(
        job, keys=tuple(key for key, _ in rows), cells=tuple(cell for _, cell in rows)
    )
