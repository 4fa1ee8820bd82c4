"""Advice: the answer, its interval, its price, and the evidence that it rests on."""

from __future__ import annotations

from typing import Literal

import msgspec
import numpy as np

from stepsize._result import Provenance, Result
from stepsize.measure.curve import Curve
from stepsize.schedules import Schedule
from stepsize.training.history import Cost

AdviceStatus = Literal[
    "ok",
    "flat",
    "not_bracketed",
    "noise_dominated",
    "diverges_everywhere",
    "too_little_data",
    "interrupted",
]


class Rehearsal(Result):
    """Shortened real runs of R rates with S seeds each.

    `steps` updates of the real run's `horizon`; `lrs` (R,); `updates` (E,) where the held-out loss was
    taken; `curves` (S, R, E); `losses` (S, R) at the end, infinite for a member that diverged.
    """

    steps: int
    horizon: int
    seeds: tuple[int, ...]
    lrs: np.ndarray
    updates: np.ndarray
    curves: np.ndarray
    losses: np.ndarray
    cost: Cost


class Price(msgspec.Struct, frozen=True):
    """Expected loss at `factor` times the advised rate, and the share of the progress that it gives up."""

    factor: float
    loss: float | None
    regret: float | None


class Advice(Result):
    """Which learning rate to use, or why none can be named.

    `lr` is the schedule's peak rate; `[lr_low, lr_high]` are the rates that should lose at most 1% of
    the progress (start loss − best loss). All three are None unless `status` is `ok` or, with what is
    known so far, `interrupted`. `schedule` already carries `lr`. `why` explains in plain sentences; for
    a status other than `ok` it says what to do.
    """

    status: AdviceStatus
    lr: float | None
    lr_low: float | None
    lr_high: float | None
    batch_size: int
    schedule: Schedule
    why: str
    task: str
    steps: int
    loss_kind: str
    start_loss: float | None
    expected_loss: float | None
    prices: tuple[Price, ...]
    warnings: tuple[str, ...]
    bracket: Curve | None
    rehearsals: tuple[Rehearsal, ...]
    cost: Cost
    provenance: Provenance
