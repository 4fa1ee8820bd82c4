"""The ranks of torch.distributed that measure together, in step with each other.

A `Session` lasts for one measurement. Before its ranks put anything together each tells the others where it
is and whether all is well: what one of them raises, and Ctrl-C, thereby reaches all at the same place.
"""

from __future__ import annotations

import logging
import signal
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import timedelta
from typing import Any, TypeVar

import numpy as np
import torch
import torch.distributed as dist

from stepsize._rng import derived_seed

T = TypeVar("T")

PATIENCE = timedelta(minutes=10)
"""What a rank waits for the others: torch's own 30 minutes are long where one of them has ended."""

TOGETHER = 3.0
"""Seconds within which a second Ctrl-C counts as the same one: a terminal and torchrun both send it."""

LATE = 5.0
"""Seconds after which a rank that has failed says that it waits for the others to hear of it."""

WAITING = "rank %d raised %s; the others do not know yet: they may wait in a collective of step's own"

_log = logging.getLogger("stepsize")

_FINE, _INTERRUPTED, _FAILED = range(3)


class RankError(RuntimeError):
    """Another rank raised an exception, or is at another place of the measurement."""


class Group:
    """The ranks that measure together; a single process without torch.distributed."""

    apart = False
    """Whether the ranks draw different random numbers, as they did before the measurement."""

    def __init__(self, handle: Any = None, *, alone: bool = False) -> None:
        self._handle = handle
        self._distributed = not alone and dist.is_available() and dist.is_initialized()
        self.size = dist.get_world_size() if self._distributed else 1
        self.rank = dist.get_rank() if self._distributed else 0

    def agree(self, what: str) -> None:
        """Nothing by itself; a session makes sure here that all ranks are at `what`, and well."""

    def sum(self, tensor: torch.Tensor) -> torch.Tensor:
        """Over all ranks, in place."""
        if self._distributed:
            self.agree(f"sum of {tuple(tensor.shape)}")
            dist.all_reduce(tensor, group=self._handle)
        return tensor

    def total(self, count: int) -> int:
        """A whole number, added up over all ranks."""
        return sum(self.all(count))

    def mean(self, values: np.ndarray) -> np.ndarray:
        """Of all ranks' arrays, element by element, float64."""
        if not self._distributed:
            return values
        return np.asarray(self.sum(torch.tensor(values, dtype=torch.float64)).numpy() / self.size)

    def least(self, count: int) -> int:
        """The smallest of all ranks' numbers."""
        return int(min(self.all(count)))

    def first(self, value: T, what: str = "") -> T:
        """What rank 0 has: whatever depends on a clock is decided there. `what` says what it is."""
        found = [value]
        if self._distributed:
            self.agree(f"broadcast {what}")
            dist.broadcast_object_list(found, group=self._handle)
        return found[0]

    def all(self, value: T) -> list[T]:
        """What each rank has."""
        found: list[Any] = [value] * self.size
        if self._distributed:
            self.agree("gathering")
            dist.all_gather_object(found, value, group=self._handle)
        return found

    def differ(self, states: Sequence[torch.Tensor]) -> bool:
        """Whether random generators are in another state on one rank than on another."""
        return len(set(self.all(b"".join(state.numpy().tobytes() for state in states)))) > 1

    def seed(self, seed: int) -> int:
        """This rank's own seed, where the ranks draw different random numbers."""
        return derived_seed(seed, self.rank) % 2**63 if self.rank and self.apart else seed

    def gathered(self, array: np.ndarray) -> np.ndarray:
        """All ranks' rows, one rank after another."""
        return np.concatenate(self.all(array))


ALONE = Group(alone=True)
"""One process by itself."""


class Session(Group):
    """Ranks in step: every exchange is preceded by a look at where the others are."""

    def __init__(self) -> None:
        super().__init__(_control_group())
        self.averages = True
        """Whether gradients are averaged over the ranks, as training does."""
        self._over = False
        self._interrupted = False
        self.apart = self.differ([torch.get_rng_state()])

    def agree(self, what: str) -> None:
        """Meet the other ranks.

        Raises:
            RankError: another rank has raised an exception, or is somewhere else.
            KeyboardInterrupt: Ctrl-C was pressed on one of them.
        """
        if self._over:  # somebody has caught what was raised then, but the other ranks are gone
            raise RankError("the ranks are no longer in step")
        met = self._met(_INTERRUPTED if self._interrupted else _FINE, what)
        states, places = met[:, 0], met[:, 1]
        if (states == _FAILED).any():
            self._over = True
            told = self._told("")
            rank = int(np.flatnonzero(states == _FAILED)[0])
            raise RankError(f"rank {rank} raised {told[rank]}")
        if (states == _INTERRUPTED).any():
            self._interrupted = False
            raise KeyboardInterrupt
        if (places != places[0]).any():
            self._over = True
            told = self._told(what)
            where = "; ".join(f"rank {rank}: {text}" for rank, text in enumerate(told))
            raise RankError(
                f"the ranks are out of step ({where}): on all of them step, evaluate and loaders must take "
                "the same course"
            )

    def conclude(self, result: T) -> T:
        """What rank 0 came to; it is too late for Ctrl-C to make a difference."""
        self._interrupted = False
        return self.first(result, "result")

    def fail(self, error: BaseException) -> None:
        """Tell the others that this rank is about to raise `error`, unless it comes from them."""
        if self._over:
            return
        self._over = True
        told = f"{type(error).__name__}: {error}"
        late = threading.Timer(LATE, _log.warning, [WAITING, self.rank, told])
        late.daemon = True
        late.start()
        try:
            self._met(_FAILED, "")
            self._told(told)
        except RuntimeError as lost:  # the others are gone already, or wait for something else
            error.add_note(f"the other ranks could not be told: {lost}")
        finally:
            late.cancel()

    def _met(self, state: int, what: str) -> np.ndarray:
        """State and place of each rank, (ranks, 2)."""
        own = torch.tensor([state, zlib.crc32(what.encode())])
        every = [torch.empty_like(own) for _ in range(self.size)]
        dist.all_gather(every, own, group=self._handle)
        return torch.stack(every).numpy()

    def _told(self, text: str) -> list[str]:
        told: list[Any] = [None] * self.size
        dist.all_gather_object(told, text, group=self._handle)
        return told

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Ctrl-C is kept until the ranks meet; one more, some seconds later, is raised at once."""
        usual = signal.getsignal(signal.SIGINT)
        if (
            threading.current_thread() is not threading.main_thread()
            or usual is not signal.default_int_handler
        ):
            yield
            return
        pressed: list[float] = []

        def keep(number: int, frame: Any) -> None:
            if pressed and time.monotonic() - pressed[0] > TOGETHER:
                raise KeyboardInterrupt
            pressed.append(time.monotonic())
            self._interrupted = True

        signal.signal(signal.SIGINT, keep)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, usual)


_current: ContextVar[Session | None] = ContextVar("session", default=None)


def current() -> Group:
    """The session that is on, or this process alone."""
    return _current.get() or ALONE


def distributed() -> bool:
    """Whether there is more than one rank."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def in_step(work: Callable[[Session], T]) -> T:
    """Do `work` on every rank in a session of its own; each returns what rank 0 came to."""
    session = Session()
    token = _current.set(session)
    try:
        with session.listening():
            return session.conclude(work(session))
    except BaseException as error:
        session.fail(error)
        raise
    finally:
        _current.reset(token)


_control: dict[str, Any] = {"world": None, "group": None}
"""The group that sessions meet in, for as long as the world is the same one."""


def _control_group() -> Any:
    if _control["world"] is not dist.group.WORLD:
        _control.update(world=dist.group.WORLD, group=dist.new_group(backend="gloo", timeout=PATIENCE))
    return _control["group"]
