"""What training leaves behind: rates, losses and metrics of K members, and what became of each."""

from __future__ import annotations

from typing import Literal

import msgspec
import numpy as np

from stepsize._result import Result

MemberStatus = Literal["ok", "diverged", "stopped"]
"""`ok`: reached the horizon. `diverged`: non-finite or far above the start. `stopped`: dropped early."""


class Member(msgspec.Struct, frozen=True):
    """One run of a stack: its learning rate (at the schedule's peak) and its seed."""

    lr: float
    seed: int


class Cost(msgspec.Struct, frozen=True, kw_only=True):
    """What a measurement took.

    `updates` and `samples` count every member on its own; `seconds` is wall-clock time; `runs` is
    `updates` divided by the updates of one real run.
    """

    updates: int
    samples: int
    seconds: float
    runs: float

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            updates=self.updates + other.updates,
            samples=self.samples + other.samples,
            seconds=self.seconds + other.seconds,
            runs=self.runs + other.runs,
        )


class History(Result, frozen=True, kw_only=True, eq=False):
    """K members over T updates, with E evaluations of the held-out loss.

    Arrays: `rates` (K, T), `train_loss` (K, T), `evaluated_at` (E,) updates done before each
    evaluation, `val_loss` (K, E), each of `metrics` (K, E), and `val_folds` (K, E, F), the held-out loss on
    each of F parts of the held-out data. What was not measured is NaN.
    `engine` tells which engine trained, and `engine_reason` why it was not the stack.
    """

    members: tuple[Member, ...]
    status: tuple[MemberStatus, ...]
    rates: np.ndarray
    train_loss: np.ndarray
    evaluated_at: np.ndarray
    val_loss: np.ndarray
    val_folds: np.ndarray
    metrics: dict[str, np.ndarray]
    updates_done: tuple[int, ...]
    engine: Literal["stack", "loop"]
    engine_reason: str
    cost: Cost
