"""One pass with a rising rate: the measurement behind every range test."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from stepsize._result import finite_or_none, frozen, provenance
from stepsize.estimate import mean_over_seeds, smooth, suggest
from stepsize.measure.curve import Curve
from stepsize.training import EngineName, Member, Records, train
from stepsize.training.engine import Progress
from stepsize.training.probed import Trainable

_log = logging.getLogger("stepsize")


@dataclass(frozen=True)
class RatePlan:
    """The rates of a pass, rising, and how many updates each is held."""

    lrs: np.ndarray
    iters: tuple[int, ...]
    mode: Literal["exp", "linear", "staged"]

    @property
    def updates(self) -> int:
        return sum(self.iters)


def measure_curve(
    task: Trainable,
    plan: RatePlan,
    *,
    seeds: Sequence[int],
    loss: Literal["train", "val"],
    engine: EngineName = "auto",
    records: Records | None = None,
    progress: Progress | None = None,
) -> Curve:
    """Train each seed once along the plan, and read the suggestions off the mean over seeds.

    A single seed is trained by the loop unless told otherwise: it would share a stack with nobody. `records`
    keeps what a stack has recorded from one pass to the next.
    """
    rates = np.repeat(plan.lrs, plan.iters)
    ends = np.cumsum(plan.iters)
    members = [Member(lr=1.0, seed=seed) for seed in seeds]
    evaluate_at = [0, *ends.tolist()] if loss == "val" else []
    told = task.name, len(plan.lrs), plan.lrs[0], plan.lrs[-1], len(members)
    _log.info("%s: range test over %d rates from %.3g to %.3g, %d seeds", *told)
    history = train(
        task,
        members,
        np.tile(rates, (len(members), 1)),
        evaluate_at=evaluate_at,
        engine="loop" if engine == "auto" and len(members) == 1 else engine,
        records=records,
        progress=progress,
    )
    losses = history.val_loss[:, 1:] if loss == "val" else _mean_per_rate(history.train_loss, plan.iters)
    diverged_at = [
        rates[done - 1] if status == "diverged" else np.nan
        for done, status in zip(history.updates_done, history.status, strict=True)
    ]
    mean = mean_over_seeds(losses)
    return Curve(
        lrs=frozen(plan.lrs),
        losses=frozen(losses),
        smoothed=frozen(smooth(mean)),
        diverged_at=frozen(diverged_at),
        mode=plan.mode,
        iters_per_rate=plan.iters,
        loss_kind=loss,
        start_loss=finite_or_none(np.mean(history.val_loss[:, 0] if loss == "val" else losses[:, 0])),
        suggestions=suggest(plan.lrs, mean),
        task=task.name,
        cost=history.cost,
        provenance=provenance(device=str(task.device), seeds=tuple(seeds)),
    )


def _mean_per_rate(losses: np.ndarray, iters: tuple[int, ...]) -> np.ndarray:
    """(S, T) losses averaged over the updates held at each rate, (S, n); non-finite if any of them is."""
    starts = np.concatenate([[0], np.cumsum(iters)[:-1]])
    with np.errstate(invalid="ignore", over="ignore"):
        sums: np.ndarray = np.add.reduceat(losses, starts, axis=1)
    return np.asarray(sums / np.array(iters))
