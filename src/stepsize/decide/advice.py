"""Advice: the answer, its interval, its price, and the evidence that it rests on."""

from __future__ import annotations

from typing import Literal

import msgspec

from stepsize._result import Provenance, Result
from stepsize.decide.rehearsal import Rehearsal
from stepsize.measure.curve import Curve
from stepsize.schedules import Run, Schedule
from stepsize.training import Cost

AdviceStatus = Literal[
    "ok",
    "flat",
    "not_bracketed",
    "noise_dominated",
    "diverges_everywhere",
    "too_little_data",
    "interrupted",
    "out_of_time",
]


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
    the progress (start loss − best loss). All three are None unless `status` is `ok` or, with what is
    known so far, `interrupted` or `out_of_time`. `schedule` already carries `lr`; without one its peak is 1.
    `why` explains in plain sentences; for a status other than `ok` it says what to do.

    `samples` are the training samples of one epoch, None for a stream. `loss_kind` tells what the held-out
    losses were taken on. `start_loss` is the held-out loss before the first update, `expected_loss` the one
    that the longest rehearsal reached at `lr`; the real run, which is longer unless the rehearsal was a full
    one, should end lower. `prices` are what other rates would cost. `bracket` and `rehearsals` are the
    evidence, in the order in which it was taken.
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

    @property
    def schedule(self) -> Schedule:
        """The schedule to train with, its peak at `lr`."""
        return Schedule.parse(self.schedule_text)

    @property
    def run(self) -> Run:
        """The real run, as schedules in epochs need it: `advice.schedule.values(advice.run)`."""
        if self.samples is None:
            return Run(steps=self.steps)
        return Run(steps=self.steps, samples=self.samples, batch_size=self.batch_size)

    def __str__(self) -> str:
        head = (
            f"{self.task}, batch {self.batch_size:,}, {self.steps:,} updates, schedule {self.schedule_text}"
        )
        if self.lr is None:
            answer = f"no learning rate: {self.status}"
        else:
            answer = f"learning rate {self.lr:.3g}  ({self.lr_low:.3g} to {self.lr_high:.3g} lose at most 1%)"
            if self.status != "ok":
                answer += f"  [{self.status}]"
        cost = self.cost
        price = (
            f"cost {cost.updates:,} updates, {cost.seconds:.1f} s, the updates of {cost.runs:.2g} full runs"
        )
        return "\n".join([head, answer, self.why, *(f"warning: {w}" for w in self.warnings), price])
