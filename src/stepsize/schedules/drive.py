"""A training loop's batches with the rate already set."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sized
from typing import TYPE_CHECKING, TypeVar

from stepsize.schedules.algebra import Joint
from stepsize.schedules.bound import Bound
from stepsize.schedules.groups import check_scale, set_rates
from stepsize.schedules.schedule import Schedule
from stepsize.schedules.units import Run

if TYPE_CHECKING:
    from torch.optim import Optimizer

Batch = TypeVar("Batch")


class Dial:
    """A schedule and its controls on a run, read together at one update."""

    def __init__(self, schedule: Schedule, run: Run | int | None) -> None:
        self.rate: Bound = schedule.rate.resolve(run)
        others = schedule.others if isinstance(schedule, Joint) else ()
        self.controls: dict[str, Bound] = {name: other.resolve(run) for name, other in others}

    def turn(self, optimizer: Optimizer, t: int) -> None:
        """Set everything for the update t."""
        set_rates(optimizer, self.rate(t), {name: bound(t) for name, bound in self.controls.items()})


def drive(
    schedule: Schedule,
    optimizer: Optimizer,
    batches: Iterable[Batch],
    *,
    run: Run | int | None = None,
    start: int = 0,
) -> Iterator[tuple[int, Batch]]:
    """Yield (update, batch) with the rate of that update set, from update `start` to the run's end.

    `batches` is passed over again and again until the run is over; without a `run`, once, and its
    length is the run. With `run.accumulation` = A, each update gets A micro-batches (fewer at the end of
    an epoch) and the caller steps the optimizer after the last. On resume, `start` is the number of
    updates already made; the loader is not advanced.

    Raises `ValueError` for a `start` outside the run, a loader without batches, or one without a length
    when no run is given.
    """
    if run is None:
        if not isinstance(batches, Sized):
            raise ValueError("how long is the run? Give run=..., or batches that have a length")
        run = Run(steps=len(batches) or None)
    run = run if isinstance(run, Run) else Run(steps=run)
    if not 0 <= start <= run.steps:
        raise ValueError(f"start must lie in the run of {run.steps} updates, but got start={start}")
    check_scale(optimizer, schedule)
    return _driven(Dial(schedule, run), optimizer, batches, run, start)


def _driven(
    dial: Dial, optimizer: Optimizer, batches: Iterable[Batch], run: Run, start: int
) -> Iterator[tuple[int, Batch]]:
    update = start
    while update < run.steps:
        micro = 0
        seen = False
        for batch in batches:
            seen = True
            if micro == 0:
                if update >= run.steps:
                    return
                dial.turn(optimizer, update)
            yield update, batch
            micro += 1
            if micro == run.accumulation:
                micro, update = 0, update + 1
        if micro:
            update += 1
        if not seen:
            raise ValueError(
                f"the batches ran out at update {update} of {run.steps}: pass a loader, not an iterator"
            )
