"""Processes that do the same work beside this one, on a thread each: for runs that share no stack.

They are forked, so that they need nothing sent to them and may change whatever they like: nothing of it is
the caller's. Which process does what is left open, and makes no difference.
"""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing
import os
import signal
import struct
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from multiprocessing import connection
from typing import Any

import torch
import torch.distributed as dist
from torch import nn

from stepsize.data import Tensors
from stepsize.task import Task
from stepsize.training.memory import SHARE, available, footprint

WORTH = 200
"""Updates that all runs have at least together: a helper costs about 25 ms, as much as 50 to 100 small."""

MOST = 4096
"""Pieces of work that are given out at once: a pipe holds them all, so that nobody waits to write."""

BEAT = 0.2
"""Seconds between two looks at the clock while others finish."""

SILENT, TIMES_AS_LONG = 60.0, 20.0
"""A helper that tells nothing is given up after so many seconds, and so many times what this process took
between two of its own reports."""

PR_SET_PDEATHSIG = 1  # sys/prctl.h

_TICKET = struct.Struct("i")

Tell = Callable[[int], None]
Work = Callable[[int, Tell], Any]
"""Does a piece of work, given by its number, and tells how far it is; what it returns can be pickled."""


def most_processes(task: Task, model: nn.Module) -> int:
    """How many processes may train runs of the task, each on a thread of its own; 1 for this one alone.

    As many as torch has threads, where copies of this process can train: on Linux and on the CPU, from data
    in memory (an open file would be shared), and as far as that memory goes.
    """
    if not (
        sys.platform == "linux"
        and task.device.type == "cpu"
        and isinstance(task.train, Tensors)
        and isinstance(task.val, Tensors)
        and not torch.cuda.is_initialized()
        and not (dist.is_available() and dist.is_initialized())
        and not multiprocessing.current_process().daemon  # which may have no children
    ):
        return 1
    threads = min(torch.get_num_threads(), len(os.sched_getaffinity(0)))
    if threads == 1:
        return 1
    each = footprint(task, model, task.trial_batch(task.batch_size)).total
    return max(1, min(threads, int(SHARE * available(task.device)) // max(1, each)))


def worth(runs: float, updates: int) -> bool:
    """Whether so many runs of so many updates take longer than starting a helper does."""
    return runs > 1 and runs * updates >= WORTH


def processes(most: int, runs: int, arithmetic: float) -> int:
    """How many processes train so many runs soonest, of `most` that may.

    Their time is that of the longest queue. One after another, with as many threads, every run takes what
    the calls to torch take and its `arithmetic`, the rest of the time on one thread, divided by the threads.
    Which is seldom so: enough runs for all of them are always shared out.
    """
    count = min(most, runs)
    if count < 2:
        return 1
    apart = runs * (1 - arithmetic + arithmetic / most)
    return count if count == most or -(-runs // count) < apart else 1


class Helpers:
    """So many processes beside this one, which share out pieces of work among all of them.

    This one takes its pieces by `take`, and hears by `hear` what the others have told and finished. Pieces
    that nobody finishes, of a helper that failed or was killed, are left to the caller: whatever stood in
    the way comes up again where it can be raised. At the end of the block all helpers are gone.
    """

    def __init__(self, count: int, pieces: Sequence[int], work: Work) -> None:
        if len(pieces) > MOST:
            raise ValueError(f"pieces must be {MOST} at most, but are {len(pieces)}")
        self._work = work
        self._heard_from: dict[connection.Connection, float] = {}
        self._processes: list[multiprocessing.process.BaseProcess] = []
        self._pace = 0.0  # longest time between two reports of this process
        self._tickets, enter = os.pipe()
        try:
            with open(enter, "wb") as file:
                file.write(b"".join(_TICKET.pack(piece) for piece in pieces))
            # This process takes one before there is a helper, and so learns how long a piece may take.
            self._first = os.read(self._tickets, _TICKET.size)
            with _quietly():
                for _ in range(count):
                    self._fork()
        except BaseException:
            self._end()
            raise

    @classmethod
    def start(cls, count: int, pieces: Sequence[int], work: Work) -> Helpers | None:
        """Such helpers; None where the system refuses another process or file."""
        try:
            return cls(count, pieces, work)
        except OSError:
            return None

    def __enter__(self) -> Helpers:
        self._threads = torch.get_num_threads()
        torch.set_num_threads(1)
        self._told = time.monotonic()
        return self

    def __exit__(self, *_: object) -> None:
        self._end()
        torch.set_num_threads(self._threads)

    def take(self) -> Iterator[int]:
        """The pieces that are this process's: the next one, for as long as there are any."""
        ticket = self._first
        while ticket:
            self._told = time.monotonic()
            yield _TICKET.unpack(ticket)[0]
            ticket = os.read(self._tickets, _TICKET.size)

    def hear(self) -> Iterator[tuple[int, int, Any]]:
        """What has been told since: number of the piece, how far it got, and what it came to if it did."""
        now = time.monotonic()
        self._pace, self._told = max(self._pace, now - self._told), now
        yield from self._messages(0.0)

    def rest(self) -> Iterator[tuple[int, int, Any] | None]:
        """The same until all have finished; None now and then, so that the caller may look at the clock."""
        patience = SILENT + TIMES_AS_LONG * self._pace
        while self._heard_from:
            heard = list(self._messages(BEAT))
            yield from heard
            if not heard:
                yield None
            late = time.monotonic() - patience
            for one in [one for one, heard in self._heard_from.items() if heard < late]:
                self._forget(one)

    def _messages(self, timeout: float) -> Iterator[tuple[int, int, Any]]:
        for ready in connection.wait(list(self._heard_from), timeout):
            assert isinstance(ready, connection.Connection)
            while ready in self._heard_from and ready.poll():
                try:
                    message = ready.recv()
                except (EOFError, OSError):
                    self._forget(ready)
                    break
                self._heard_from[ready] = time.monotonic()
                yield message

    def _forget(self, one: connection.Connection) -> None:
        del self._heard_from[one]
        one.close()

    def _fork(self) -> None:
        own, theirs = multiprocessing.Pipe(duplex=False)
        process = multiprocessing.get_context("fork").Process(
            target=self._serve, args=(theirs, os.getpid()), daemon=True
        )
        try:
            with _held(signal.SIGINT):
                process.start()
        except OSError:
            own.close()
            raise
        finally:
            theirs.close()
        self._heard_from[own] = time.monotonic()
        self._processes.append(process)

    def _serve(self, tell: connection.Connection, first: int) -> None:
        """What a helper does."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all; the first process ends the others
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # when that one is killed, for example
        if os.getppid() != first:
            return
        torch.set_num_threads(1)
        with contextlib.suppress(Exception):  # it comes up again where the piece is done anew
            while ticket := os.read(self._tickets, _TICKET.size):
                (piece,) = _TICKET.unpack(ticket)

                def told(done: int, piece: int = piece) -> None:
                    tell.send((piece, done, None))

                result = self._work(piece, told)
                tell.send((piece, 0, result))

    def _end(self) -> None:
        for process in self._processes:
            process.kill()
        for process in self._processes:
            process.join()
            process.close()
        for one in list(self._heard_from):
            self._forget(one)
        os.close(self._tickets)


@contextlib.contextmanager
def _held(number: signal.Signals) -> Iterator[None]:
    """A signal waits: a helper must not be interrupted before it has chosen to pass over it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [number])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Without Python's warning that a process of several threads is forked.

    Those are torch's own, which wait; a helper, on one thread, needs none of them.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*multi-threaded.*fork", category=DeprecationWarning)
        yield
