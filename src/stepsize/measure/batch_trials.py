"""Batch sizes really run: whether they fit, what memory they take, and how long an update takes."""

from __future__ import annotations

import copy
import gc
import math
import time
from collections.abc import Callable
from functools import partial
from typing import TypeVar

import numpy as np
import torch
from scipy import special
from torch.utils._pytree import tree_leaves

from stepsize._progress import Reporter
from stepsize.data import Stream, Tensors, first_batch, samples_in
from stepsize.measure.live_bytes import LiveBytes
from stepsize.measure.throughput_result import BatchSpeed, ThroughputStatus
from stepsize.task import Task
from stepsize.training import Member
from stepsize.training.evaluation import Evaluation
from stepsize.training.loop import Loop
from stepsize.training.memory import SHARE, available, is_out_of_memory

T = TypeVar("T")

MARGIN = 0.1
"""Share of the memory that must stay free: allocators lose some to gaps, and batches differ in length."""

ROUNDS = 5
"""Times that every batch size is timed, in turn, so that a busy moment does not fall on one alone."""

FEWEST_ROUNDS = 2
"""Of them, without which nothing is known of the spread."""

TIMED, MOST = 0.05, 50
"""Seconds and updates of one timing, about and at most."""

BISECTIONS = 3
"""Sizes tried between the largest that fitted and the smallest that did not."""


class BatchTrials:
    """Runs batch sizes and keeps their rows."""

    def __init__(self, task: Task, memory: int | None, deadline: float, reporter: Reporter) -> None:
        self.task, self._deadline, self._reporter = task, deadline, reporter
        self.ended: ThroughputStatus = "ok"
        self._found: dict[int, list[float]] = {}
        free = available(task.device)
        self.memory = memory or (free if task.device.type == "cuda" else int(SHARE * free))
        self.rows: dict[int, BatchSpeed] = {}
        self.updates = self.samples = 0

    def fits(self, size: int) -> bool:
        """Run a batch size, unless it is sure to be too large; whether it fits."""
        if self.rows and self._late():
            self.rows[size] = BatchSpeed(batch_size=size, status="not_tried", why="no time was left")
            return False
        self._reporter.phase(f"memory of batch {size:,}")
        most = int(self.memory * (1 - MARGIN))
        expected = self._expected(size)
        if self.task.device.type != "cuda" and expected > most:
            why = f"would take about {expected / 2**20:,.0f} MiB, and {most / 2**20:,.0f} may be used"
            self.rows[size] = BatchSpeed(batch_size=size, status="not_tried", why=why)
            return False
        row = self._run(size)
        if row.status == "ok" and row.peak_bytes is not None and row.peak_bytes > most:
            why = f"took {row.peak_bytes / 2**20:,.0f} MiB, and {most / 2**20:,.0f} may be used"
            row = BatchSpeed(batch_size=size, status="over_budget", peak_bytes=row.peak_bytes, why=why)
        self.rows[size] = row
        return row.status == "ok"

    def bisect(self) -> None:
        """Try sizes between the largest that fits and the smallest that is too large."""
        for _ in range(BISECTIONS):
            fitting = [size for size, row in self.rows.items() if row.status == "ok"]
            beyond = [size for size, row in self.rows.items() if row.status not in ("ok", "fails")]
            if not fitting or not beyond or min(beyond) - max(fitting) < 2:
                return
            self.fits((max(fitting) + min(beyond)) // 2)

    def time(self) -> None:
        """Time every size that fits, in rounds."""
        self._found = {size: [] for size, row in self.rows.items() if row.status == "ok"}
        for number in range(ROUNDS):
            if number >= FEWEST_ROUNDS and self._late():
                return
            self._reporter.phase(f"timing, round {number + 1} of {ROUNDS}")
            for size in list(self._found):
                seconds = self._tried(size, partial(self._seconds, size))
                if isinstance(seconds, BatchSpeed):  # what ran before may fail on other batches
                    self.rows[size] = seconds
                    del self._found[size]
                else:
                    self._found[size].append(seconds)

    def reckon(self) -> None:
        """The mean of a size's timings with their t interval, in logs, where there are two or more."""
        for size, row in self.rows.items():
            found = self._found.get(size, [])
            if row.status != "ok":
                continue
            if len(found) < FEWEST_ROUNDS:
                why = "the end came before its pace was known"
                self.rows[size] = BatchSpeed(
                    batch_size=size, status="not_timed", peak_bytes=row.peak_bytes, last=row.last, why=why
                )
                continue
            logs, count = np.log(found), len(found)
            mean = float(logs.mean())
            half = float(special.stdtrit(count - 1, 0.975)) * float(logs.std(ddof=1)) / math.sqrt(count)
            self.rows[size] = BatchSpeed(
                batch_size=size,
                status="ok",
                seconds=math.exp(mean),
                low=math.exp(mean - half),
                high=math.exp(mean + half),
                samples_per_second=size / math.exp(mean),
                peak_bytes=row.peak_bytes,
                last=row.last,
            )

    def _late(self) -> bool:
        late = time.perf_counter() > self._deadline
        if late:
            self.ended = "out_of_time"
        return late

    def _run(self, size: int) -> BatchSpeed:
        last = None if self.task.samples is None else self.task.samples % size or None
        peak = self._tried(size, lambda: self._peak(size, last))
        if isinstance(peak, BatchSpeed):
            return peak
        return BatchSpeed(batch_size=size, status="ok", peak_bytes=peak, last=last)

    def _tried(self, size: int, run: Callable[[], T]) -> T | BatchSpeed:
        """What running a batch size gives, or the row that says why it cannot be run."""
        try:
            return run()
        except (RuntimeError, MemoryError, ValueError) as error:
            memory = is_out_of_memory(error)
            reason = "" if memory else (str(error).splitlines() or [""])[0]
            failure = BatchSpeed(
                batch_size=size,
                status="out_of_memory" if memory else "fails",
                why="the allocator refused" if memory else f"{type(error).__name__}: {reason}",
            )
        # Outside of the `except`: its traceback held the failed run's tensors.
        _free(self.task.device)
        return failure

    def _peak(self, size: int, last: int | None) -> int | None:
        """Bytes at the most during two updates, an update of the last batch, and an evaluation."""
        device = self.task.device
        if device.type == "cuda":
            _free(device)
            before = torch.cuda.memory_allocated(device)
            torch.cuda.reset_peak_memory_stats(device)
            self._all(size, last)
            return int(torch.cuda.max_memory_allocated(device) - before)
        if device.type != "cpu":
            self._all(size, last)
            return None
        known = self.task.train.tree if isinstance(self.task.train, Tensors) else ()
        held = self.task.val.tree if isinstance(self.task.val, Tensors) else ()
        tensors = [leaf for leaf in tree_leaves((known, held)) if isinstance(leaf, torch.Tensor)]
        with LiveBytes(tensors) as account:
            self._all(size, last)
        return int(account.peak)

    def _all(self, size: int, last: int | None) -> None:
        loop = self._loop(size, 2, evaluate=True)
        self._advance(loop, 2, size)
        loop.evaluate()
        if last is not None and not isinstance(self.task.train, Stream):
            rest = copy.copy(self.task)
            rest.train, rest.batch_size = self.task.train.subset(torch.arange(last)), last
            del loop
            self._advance(_loop(rest, 1, None), 1, last)

    def _loop(self, size: int, updates: int, *, evaluate: bool = False) -> Loop:
        task = copy.copy(self.task)
        task.batch_size = size
        return _loop(task, updates, size if evaluate else None)

    def _advance(self, loop: Loop, updates: int, size: int) -> None:
        loop.advance(updates)
        self.updates += updates
        self.samples += updates * size
        if not loop.alive[0]:
            raise ValueError("the loss is not finite, or grew tenfold, at a rate of zero")

    def _seconds(self, size: int) -> float:
        """Seconds of one update, after a first one that sets things up."""
        loop = self._loop(size, MOST + 2)
        self._advance(loop, 1, size)
        once = _timed(self, loop, 1, size)
        count = int(np.clip(TIMED / once, 1, MOST))
        return _timed(self, loop, count, size) / count

    def _expected(self, size: int) -> float:
        """Bytes, on a straight line through the two largest sizes that ran; in proportion to one of them."""
        known = sorted((s, row.peak_bytes) for s, row in self.rows.items() if row.peak_bytes is not None)
        if not known:
            return 0.0
        if len(known) == 1:
            return known[0][1] * size / known[0][0]
        (a, low), (b, high) = known[-2:]
        return high + (high - low) / (b - a) * (size - b)


def _loop(task: Task, updates: int, held: int | None) -> Loop:
    functions = {"loss": task.loss, **task.metrics}
    batches: tuple[tuple[object, int], ...] = ()
    if held is not None:
        batch = first_batch(task.val, held)
        batches = ((batch, samples_in(batch)),)
    weights = np.ones(len(batches))
    evaluation = Evaluation(batches, weights, functions, task.seed, task.evaluates_with_grad)
    return Loop(task, [Member(0.0, task.seed)], np.zeros((1, updates)), evaluation, {})


def _timed(trials: BatchTrials, loop: Loop, count: int, size: int) -> float:
    _wait(trials.task.device)
    started = time.perf_counter()
    trials._advance(loop, count, size)
    _wait(trials.task.device)
    return time.perf_counter() - started


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def _free(device: torch.device) -> None:
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
