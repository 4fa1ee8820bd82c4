"""throughput: seconds per update over batch sizes, and the largest batch that fits, by running them."""

from __future__ import annotations

import copy
import gc
import math
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

import numpy as np
import torch
from scipy import special
from torch.utils._pytree import tree_leaves

from stepsize._check_task import integer
from stepsize._progress import Reporter, reporting
from stepsize._result import provenance
from stepsize._rng import isolated_rng
from stepsize._untouched import untouched
from stepsize.data import Stream, Tensors, first_batch, samples_in
from stepsize.measure.live_bytes import LiveBytes
from stepsize.measure.throughput_result import BatchSpeed, Throughput, ThroughputStatus
from stepsize.task import Task
from stepsize.training import Cost, Member
from stepsize.training.evaluation import Evaluation
from stepsize.training.loop import Loop
from stepsize.training.memory import SHARE, available, is_out_of_memory
from stepsize.training.pages import kept_pages

T = TypeVar("T")

MARGIN = 0.1
"""Share of the memory that must stay free: allocators lose some to gaps, and batches differ in length."""

ROUNDS = 5
"""Times that every batch size is timed, in turn, so that a busy moment does not fall on one alone."""

FEWEST_ROUNDS = 2
"""Of them, without which nothing is known of the spread."""

TIMED, MOST = 0.05, 50
"""Seconds and updates of one timing, about and at most."""

FIRST, BEYOND = 16, 64
"""Batch sizes by default: from a sixteenth of the task's own; for a stream, up to so many times it."""

BISECTIONS = 3
"""Sizes tried between the largest that fitted and the smallest that did not."""


@untouched
def throughput(
    task: Task,
    batch_sizes: Sequence[int] | None = None,
    memory: int | None = None,
    *,
    seconds: float | None = None,
    progress: bool | Reporter | None = None,
) -> Throughput:
    """Time updates at several batch sizes, and find the largest batch that fits in memory.

    At every size the real thing runs on copies: forward, backward and optimizer step on batches of the task's
    data, twice, so that the optimizer's state is there; the epoch's last, smaller batch; and a held-out batch
    of that size. The rate is zero, so that nothing is learned. Then all that fit are timed in turn.

    Args:
        task: what to train; nothing of it is changed.
        batch_sizes: to try; by default powers of two times the task's own, as far as data and memory go,
            and some between the last that fitted and the first that did not.
        memory: bytes that may be used; by default what the device has free, on a CPU half of that.
        seconds: when so much time is used up, no further size is tried, and sizes are timed twice at least
            instead of five times.
        progress: True for a bar on stderr, False for silence, or a `Reporter`.

    Returns:
        A `Throughput`. Ctrl-C gives what was measured until then, with status "interrupted".

    Raises:
        ValueError: batch sizes that are not whole numbers from 1 to the number of samples, `memory` < 1, or
            `seconds` that are not finite and above 0.
    """
    if not isinstance(task, Task):
        raise TypeError(
            f"task must be a stepsize.Task, but is a {type(task).__name__}: make one with ss.Task(…)"
        )
    sizes = _checked(task, batch_sizes)
    if memory is not None:
        integer("memory", memory, at_least=1)
    if seconds is not None and not 0 < seconds < math.inf:
        raise ValueError(f"seconds must be a finite number above 0, but is {seconds!r}")
    started = time.perf_counter()
    with reporting(progress) as reporter, isolated_rng(task.seed), torch.enable_grad(), kept_pages():
        probe = _Probe(task, memory, math.inf if seconds is None else started + seconds, reporter)
        try:
            for size in sizes:
                if not probe.fits(size) and batch_sizes is None:
                    break
            if batch_sizes is None:
                probe.bisect()
            probe.time()
        except KeyboardInterrupt:
            probe.ended = "interrupted"
        probe.reckon()
    return _result(probe, time.perf_counter() - started)


class _Probe:
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
    evaluation = Evaluation(batches, np.ones(len(batches)), functions, task.seed)
    return Loop(task, [Member(0.0, task.seed)], np.zeros((1, updates)), evaluation, {})


def _timed(probe: _Probe, loop: Loop, count: int, size: int) -> float:
    _wait(probe.task.device)
    started = time.perf_counter()
    probe._advance(loop, count, size)
    _wait(probe.task.device)
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


def _checked(task: Task, batch_sizes: Sequence[int] | None) -> list[int]:
    if batch_sizes is None:
        most = BEYOND * task.batch_size if task.samples is None else task.samples
        first = max(1, task.batch_size // FIRST)
        doubled = [first * 2**i for i in range(int(math.log2(most / first)) + 1)]
        return sorted({*doubled, task.batch_size, most})
    sizes = sorted({integer("batch_sizes", size, at_least=1) for size in batch_sizes})
    if not sizes:
        raise ValueError("batch_sizes must not be empty: pass batch_sizes=[32, 64, 128]")
    if task.samples is not None and sizes[-1] > task.samples:
        raise ValueError(
            f"batch_sizes must not exceed the {task.samples} training samples, but hold {sizes[-1]}"
        )
    return sizes


def _result(probe: _Probe, seconds: float) -> Throughput:
    task = probe.task
    rows = tuple(row for _, row in sorted(probe.rows.items()))
    fitting = [row for row in rows if row.status in ("ok", "not_timed")]
    largest = max((row.batch_size for row in fitting), default=None)
    timed = [row for row in rows if row.samples_per_second is not None]
    counted = {
        "cuda": "bytes allocated on the device, at their peak",
        "cpu": "bytes of all tensors made by an update or an evaluation, the data set itself apart; not "
        "what an operation takes for itself",
    }.get(task.device.type, "not known on this device")
    if largest is None:
        why = "Nothing was measured."
        if rows:
            what = "could be run" if rows[0].status == "fails" else "fits"
            why = f"No batch size {what}: {rows[0].why}."
    else:
        why = f"The largest batch that ran and fits is {largest:,}"
        if timed:
            fastest = max(timed, key=lambda row: row.samples_per_second or 0.0)
            why += f"; most samples per second at {fastest.batch_size:,}"
        why += "."
    held = None if largest is None or isinstance(task.val, Stream) else min(largest, task.val.size)
    return Throughput(
        rows=rows,
        largest=largest,
        memory=probe.memory,
        margin=MARGIN,
        counted=counted,
        evaluation=held,
        why=why,
        task=task.name,
        cost=Cost(
            updates=probe.updates,
            samples=probe.samples,
            seconds=seconds,
            runs=probe.samples / (task.steps * task.batch_size),
        ),
        provenance=provenance(device=str(task.device), seeds=(task.seed,)),
        status="no_answer" if probe.ended == "ok" and largest is None else probe.ended,
    )
