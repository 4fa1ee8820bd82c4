"""What goes wrong, and when: a trap in a user's code that springs at one of its calls."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch


class BrokenError(Exception):
    """What a user's own code raises; nothing in stepsize expects it."""


@dataclass(frozen=True)
class Fault:
    """Something that goes wrong in the middle.

    `act` raises, or says by False that the call is to go wrong in silence: a loss becomes NaN, a stream ends.
    What comes out must have one of `raises` among its causes, or name it by the words that it `says`.
    """

    name: str
    act: Callable[[], bool]
    raises: tuple[type[BaseException], ...]
    says: str


def _raising(error: Callable[[], BaseException]) -> Callable[[], bool]:
    def act() -> bool:
        raise error()

    return act


EXCEPTION = Fault("exception", _raising(lambda: BrokenError("bad sample")), (BrokenError,), "bad sample")
CTRL_C = Fault("Ctrl-C", _raising(KeyboardInterrupt), (KeyboardInterrupt,), "KeyboardInterrupt")
MEMORY = Fault("memory", _raising(lambda: MemoryError("no room")), (MemoryError,), "no room")
DEVICE_MEMORY = Fault(
    "device memory",
    _raising(lambda: torch.OutOfMemoryError("CUDA out of memory (simulated)")),
    (torch.OutOfMemoryError,),
    "out of memory (simulated)",
)
NAN = Fault("NaN", lambda: False, (), "nan")
END = Fault("end of data", lambda: False, (IndexError, ValueError), "gave")
WORKER = Fault("dead worker", lambda: False, (), "exited unexpectedly")

IN_THE_LOSS = (EXCEPTION, CTRL_C, MEMORY, DEVICE_MEMORY, NAN)
IN_THE_DATA = (EXCEPTION, CTRL_C, MEMORY, END)


@dataclass
class Trap:
    """Counts the calls of a place in a user's code; once armed, springs at the call of that number.

    Ctrl-C comes once. The other faults stay: a broken loss is broken from then on, and so forth.
    """

    calls: int = 0
    at: int | None = None
    fault: Fault | None = None
    sprung: int = 0

    def arm(self, fault: Fault | None = None, at: int | None = None) -> None:
        """Count from 0 again, and spring at that call; without a fault only count."""
        self.calls, self.at, self.fault, self.sprung = 0, at, fault, 0

    def passes(self) -> bool:
        """Called in the user's code: raises, or is False where the call goes wrong in silence."""
        number = self.calls
        self.calls += 1
        if self.fault is None or self.at is None or number < self.at:
            return True
        if self.fault is CTRL_C and number > self.at:
            return True
        self.sprung += 1
        return self.fault.act()


def causes(error: BaseException | None) -> list[BaseException]:
    """An error with all that led to it."""
    if error is None:
        return []
    return [error, *causes(error.__cause__), *causes(error.__context__)]
