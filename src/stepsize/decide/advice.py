"""Advice: the answer, its interval, its price, and the evidence that it rests on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, overload

import msgspec

from stepsize._clipping import Clipping
from stepsize._result import Provenance, Result
from stepsize.decide.rehearsal import Rehearsal
from stepsize.measure.curve import Curve
from stepsize.schedules import Run, Schedule
from stepsize.training import Cost

if TYPE_CHECKING:
    from torch.optim import Optimizer

    from stepsize.schedules.torch_scheduler import StepsizeScheduler

AdviceStatus = Literal[
    "ok",
    "uncertain",
    "flat",
    "not_bracketed",
    "noise_dominated",
    "diverges_everywhere",
    "too_little_data",
    "interrupted",
    "out_of_time",
]


COMPLETE = ("ok", "uncertain")
"""Statuses of a search that came to its end with an answer."""

ENDED: dict[str, str] = {"interrupted": "Interrupted", "out_of_time": "The budget ended"}
"""How a measurement came to an early end, in words."""


class Price(msgspec.Struct, frozen=True):
    """Expected loss at `factor` times the advised rate, and the share of the progress that it gives up."""

    factor: float
    loss: float | None
    regret: float | None


class Advice(Result, frozen=True, kw_only=True, eq=False):
    """Which learning rate to use, or why none can be named.

    `lr` is the schedule's peak rate; `[lr_low, lr_high]` are the rates that should lose at most 1% of
    the progress (start loss − best loss). All three are None unless `status` is `ok`, `uncertain` (the rate
    may well lose more than 5%) or, with what is known so far, `interrupted` or `out_of_time`. `schedule`
    already carries `lr`; without one its peak is 1.
    `why` explains in plain sentences; for a status other than `ok` it says what to do.

    `samples` are the training samples of one epoch, None for a stream. `loss_kind` tells what the held-out
    losses were taken on. `start_loss` is the held-out loss before the first update, `expected_loss` the one
    that the longest rehearsal reached at `lr`; the real run, which is longer unless the rehearsal was a full
    one, should end lower. `prices` are what other rates would cost. `bracket` and `rehearsals` are the
    evidence, in the order in which it was taken. `group_ratios` are what each parameter group of each
    optimizer got of a rate. `clipping` is what the task clipped gradients to; None where a loop of the user's
    own may have clipped them as it liked.
    """

    status: AdviceStatus
    lr: float | None
    lr_low: float | None
    lr_high: float | None
    batch_size: int
    schedule_text: str = msgspec.field(name="schedule")
    why: str
    task: str
    steps: int
    samples: int | None
    loss_kind: str
    start_loss: float | None
    expected_loss: float | None
    prices: tuple[Price, ...]
    warnings: tuple[str, ...]
    bracket: Curve | None
    rehearsals: tuple[Rehearsal, ...]
    cost: Cost
    provenance: Provenance
    group_ratios: tuple[tuple[float, ...], ...] = ()
    clipping: Clipping | None = None

    @property
    def schedule(self) -> Schedule:
        """The schedule to train with, its peak at `lr`, planned for `run`: `schedule.as_torch(optimizer)`."""
        return Schedule.parse(self.schedule_text).on(self.run)

    @property
    def run(self) -> Run:
        """The real run, as schedules in epochs need it: `advice.schedule.values(advice.run)`."""
        if self.samples is None:
            return Run(steps=self.steps)
        return Run(steps=self.steps, samples=self.samples, batch_size=self.batch_size)

    @overload
    def apply(self, optimizer: Optimizer, *, start: int = ...) -> StepsizeScheduler: ...
    @overload
    def apply(self, optimizer: Sequence[Optimizer], *, start: int = ...) -> list[StepsizeScheduler]: ...
    def apply(
        self, optimizer: Optimizer | Sequence[Optimizer], *, start: int = 0
    ) -> StepsizeScheduler | list[StepsizeScheduler]:
        """Set an optimizer in use to what was advised, and keep it there with the scheduler returned.

            scheduler = advice.apply(optimizer)
            for batch in loader:
                …
                optimizer.step()
                scheduler.step()

        Every update then runs at the rate that the rehearsed schedule has there. Groups get the shares of it
        that they were measured with; where these were all alike, the group with the largest rate gets the
        schedule's and the others keep their proportion to it. Advice on training also sets momentum, betas
        and weight decay, in groups that have no value of their own. Any other scheduler is to be left alone.

        Args:
            optimizer: the one to train with; or, as a probe has them, several in the same order, which get a
                scheduler each.
            start: updates of the run that are done already.

        Raises:
            ValueError: the advice has no rate; the groups, or for advice on training the optimizer's class,
                are not those that it was measured with.
            TypeError: not a torch optimizer.
        """
        from stepsize.decide.application import applied

        several = isinstance(optimizer, (list, tuple))
        schedulers = applied(self, optimizer if several else [optimizer], start)  # type: ignore[arg-type, list-item]
        return schedulers if several else schedulers[0]

    def __str__(self) -> str:
        clipped = f", gradients clipped to {self.clipping}" if self.clipping else ""
        run = f"batch {self.batch_size:,}, {self.steps:,} updates, schedule {self.schedule_text}{clipped}"
        head = f"{self.task}, {run}"
        if self.lr is None:
            answer = f"no learning rate: {self.status}"
        else:
            lose = "may lose" if self.status == "uncertain" else "lose"
            interval = f"{self.lr_low:.3g} to {self.lr_high:.3g} {lose} at most 1%"
            answer = f"learning rate {self.lr:.3g}  ({interval})"
            if self.status != "ok":
                answer += f"  [{self.status}]"
        cost = self.cost
        price = (
            f"cost {cost.updates:,} updates, {cost.seconds:.1f} s, the updates of {cost.runs:.2g} full runs"
        )
        return "\n".join([head, answer, self.why, *(f"warning: {w}" for w in self.warnings), price])
