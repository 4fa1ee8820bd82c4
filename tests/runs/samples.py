"""A sweep as it would come out, without training anything."""

from __future__ import annotations

import numpy as np

import stepsize as ss
from stepsize._result import Provenance, frozen
from stepsize.runs import Cell, CellRun
from stepsize.training import Cost

STEPS = 860


def cell_run(lr: float, batch_size: int, seed: int, best: float) -> CellRun:
    """A loss that falls to a bowl around the best rate, and not at all from four times that on."""
    at = np.linspace(0, STEPS, 11).round()
    end = 0.25 + 0.3 * np.log(lr / best) ** 2 + 0.01 * np.random.default_rng(seed).normal()
    losses = 2.3 - (2.3 - end) * (1 - np.exp(-4 * at / STEPS))
    gone = lr > 4 * best
    return CellRun(
        cell=Cell(lr=lr, batch_size=batch_size, seed=seed, schedule="fixed()", steps=STEPS, until=STEPS),
        status="diverged" if gone else "ok",
        updates_done=40 if gone else STEPS,
        epochs=2.0,
        evaluated_at=frozen(at),
        val_loss=frozen(np.where(gone & (at > 40), np.nan, losses)),
        metrics={"accuracy": frozen(np.where(gone & (at > 40), np.nan, 1 - losses / 3))},
        train_at=frozen([430, 860]),
        train_loss=frozen([1.0, np.nan if gone else 0.5]),
        samples=STEPS * batch_size,
        seconds=1.5,
        threads=2,
        mates=3,
    )


def sweep(
    batch_sizes: tuple[int, ...] = (16, 32, 128),
    seeds: int = 3,
    best: float = 0.5,
    halving: str | None = None,
) -> ss.Runs:
    """Four rates at each batch size; the best one falls with it."""
    runs = tuple(
        cell_run(lr, size, seed, best * (size / 128) ** 0.5)
        for size in batch_sizes
        for seed in range(seeds)
        for lr in (0.1, 0.3, 0.5, 0.7)
    )
    updates = sum(run.updates_done for run in runs)
    return ss.Runs(
        task="mnist",
        loss_kind="validation",
        status="complete",
        planned=len(runs),
        runs=runs,
        halving=halving,
        store=None,
        warnings=(),
        cost=Cost(updates=updates, samples=updates * 32, seconds=54.0, runs=updates / STEPS),
        provenance=Provenance(
            stepsize="0.1.0", torch="2.13.0", numpy="2.4.6", python="3.11.9", device="cpu", threads=2,
            seeds=tuple(range(seeds)),
        ),
    )  # fmt: skip
