"""A schedule as torch's own kind of object; the only module here that imports torch at its top."""

from __future__ import annotations

from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from stepsize.schedules.drive import Dial
from stepsize.schedules.groups import check_scale
from stepsize.schedules.schedule import Schedule
from stepsize.schedules.units import Run


class StepsizeScheduler(LRScheduler):
    """A `torch.optim.lr_scheduler.LRScheduler` that evaluates f(t) and keeps nothing but t.

    Use it like torch's: `optimizer.step(); scheduler.step()`. `state_dict` is one integer, and loading it
    sets the rates at once, so a resumed run has the rates of one that was never stopped, bit for bit.
    It does not patch the optimizer, so there is no warning about the order of the two calls.
    """

    def __init__(
        self, optimizer: Optimizer, schedule: Schedule, run: Run | int | None, *, start: int = 0
    ) -> None:
        if start < 0:
            raise ValueError(f"start must not be negative, but got {start}")
        check_scale(optimizer, schedule)
        # LRScheduler.__init__ would wrap optimizer.step and take a first step of its own.
        self.optimizer = optimizer
        self.schedule = schedule
        self.dial = Dial(schedule, run)
        self.base_lrs = [float(group["lr"]) for group in optimizer.param_groups]
        self._turn(start)

    def _turn(self, t: int) -> None:
        self.last_epoch = t
        self._step_count = t + 1
        self.dial.turn(self.optimizer, t)
        self._last_lr = [float(group["lr"]) for group in self.optimizer.param_groups]

    def step(self, epoch: int | None = None) -> None:
        """Go on to the next update, or to the update `epoch`."""
        self._turn(self.last_epoch + 1 if epoch is None else epoch)

    def get_lr(self) -> list[float | Any]:
        """The rates in force, one per param group."""
        return self.get_last_lr()

    def get_last_lr(self) -> list[float | Any]:
        """The rates in force, one per param group."""
        return list(self._last_lr)

    def state_dict(self) -> dict[str, Any]:
        """One integer: the number of updates made."""
        return {"last_epoch": self.last_epoch}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from what `state_dict` gave; load the optimizer's state first."""
        self._turn(int(state_dict["last_epoch"]))
