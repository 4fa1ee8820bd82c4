"""Further processes that train ahead: they and the one that writes the page meet in the ledger.

`python -m stepsize.chapter.crew` is such a process. It trains the longest groups first while the first one
works through the sections; a group that one of them is at work on is left alone by the others, and what one
has finished nobody trains again.
"""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from stepsize.chapter.settings import Settings

COLLECT = (20_000, 20, 20)
"""Thresholds of the garbage collector in a command that does nothing but the chapter."""


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What a process is to train: every `of`-th training from place `number` on, the longest first."""

    settings: Settings
    store: str
    sections: tuple[str, ...]
    number: int
    of: int


@contextlib.contextmanager
def crew(settings: Settings, store: Path, sections: Sequence[str], count: int) -> Iterator[None]:
    """So many processes train ahead while this lasts; they are stopped at its end, done or not."""
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
    }
    with contextlib.ExitStack() as stack:
        for number in range(count):
            order = Order(
                settings=settings, store=str(store), sections=tuple(sections), number=number, of=count
            )
            process = subprocess.Popen(
                [sys.executable, "-m", "stepsize.chapter.crew", msgspec.json.encode(order).decode()],
                env=environment,
                stdin=subprocess.PIPE,  # closed when this process ends, however it does
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,  # what it cannot train the first process will, and tell of
            )
            stack.enter_context(process)  # closes its pipe and waits for it
            stack.callback(process.terminate)
        yield


@contextlib.contextmanager
def rare_collections() -> Iterator[None]:
    """The garbage collector passes over what is imported by now, and comes less often.

    For a command of its own: nearly all that it looks at are the objects that importing torch makes.
    """
    before = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(*COLLECT)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


def work(order: Order) -> None:
    """Train this process's share."""
    import torch

    from stepsize.chapter.registry import chosen, trainings_of

    torch.set_num_threads(1)
    trainings = trainings_of(chosen(order.sections))
    with rare_collections():
        longest = sorted(trainings, key=lambda training: -training.updates(order.settings))
        for training in longest[order.number :: order.of]:
            training.run(order.settings, Path(order.store), progress=False)


def _end_with_the_first() -> None:
    """Wait until the first process is gone, killed perhaps, and end."""
    sys.stdin.read()
    os._exit(1)


if __name__ == "__main__":
    # Ctrl-C reaches the whole group; the first process ends this one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_the_first, daemon=True).start()
    work(msgspec.json.decode(sys.argv[1], type=Order))
