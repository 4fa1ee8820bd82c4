"""throughput: seconds per update over batch sizes, and the largest batch that fits, by running them."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence

import torch

from stepsize._check_task import integer
from stepsize._progress import Reporter, reporting
from stepsize._result import provenance
from stepsize._rng import isolated_rng
from stepsize._untouched import untouched
from stepsize.data import Stream
from stepsize.measure.batch_trials import MARGIN, BatchTrials
from stepsize.measure.throughput_result import Throughput
from stepsize.task import Task
from stepsize.training import Cost
from stepsize.training.pages import kept_pages
from stepsize.training.probed import only_task

FIRST, BEYOND = 16, 64
"""Batch sizes by default: from a sixteenth of the task's own; for a stream, up to so many times it."""


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
    only_task(task)
    sizes = _checked(task, batch_sizes)
    if memory is not None:
        integer("memory", memory, at_least=1)
    if seconds is not None and not 0 < seconds < math.inf:
        raise ValueError(f"seconds must be a finite number above 0, but is {seconds!r}")
    started = time.perf_counter()
    with reporting(progress) as reporter, isolated_rng(task.seed), torch.enable_grad(), kept_pages():
        trials = BatchTrials(task, memory, math.inf if seconds is None else started + seconds, reporter)
        try:
            for size in sizes:
                if not trials.fits(size) and batch_sizes is None:
                    break
            if batch_sizes is None:
                trials.bisect()
            trials.time()
        except KeyboardInterrupt:
            trials.ended = "interrupted"
        trials.reckon()
    return _result(trials, time.perf_counter() - started)


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


def _result(trials: BatchTrials, seconds: float) -> Throughput:
    task = trials.task
    rows = tuple(row for _, row in sorted(trials.rows.items()))
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
        memory=trials.memory,
        margin=MARGIN,
        counted=counted,
        evaluation=held,
        why=why,
        task=task.name,
        cost=Cost(
            updates=trials.updates,
            samples=trials.samples,
            seconds=seconds,
            runs=trials.samples / (task.steps * task.batch_size),
        ),
        provenance=provenance(device=str(task.device), seeds=(task.seed,)),
        status="no_answer" if trials.ended == "ok" and largest is None else trials.ended,
    )
