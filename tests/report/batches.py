"""A critical batch and a throughput as measurements would give them, with known answers."""

from __future__ import annotations

import msgspec
import numpy as np

from stepsize._result import frozen
from stepsize.decide.batch_advice import BatchAdvice
from stepsize.decide.critical_batch_result import BatchRow, CriticalBatch, Prediction, Target
from stepsize.decide.find_batch_size import decide
from stepsize.decide.scale_lr import scale_lr
from stepsize.decide.scale_measured import law_of, rate_at
from stepsize.decide.scale_result import BestRate, RateScaling
from stepsize.estimate.critical_batch import fit_critical_batch
from stepsize.measure.throughput_result import BatchSpeed, Throughput
from tests.report.samples import PROVENANCE, cost
from tests.tasks import digits_task

SIZES = (12, 24, 48, 96, 192, 384, 768)


def critical(*, reached: int = len(SIZES)) -> CriticalBatch:
    """S = S_min (1 + 100 / B) with S_min 500 and 1000; the largest sizes may not have reached it."""
    targets = tuple(_target(loss, updates, reached) for loss, updates in ((1.0, 500.0), (0.5, 1000.0)))
    return CriticalBatch(
        status=targets[-1].fit.status,
        why="S_min 1e+03 updates, B_crit 100 samples",
        targets=targets,
        base_batch_size=96,
        prediction=Prediction(
            batch=120.0, low=90.0, high=150.0, lowest=20.0, highest=240.0, why="Predicted: 120 (90 to 150)."
        ),
        agree=True if reached >= 5 else None,
        loss_kind="validation",
        warnings=(),
        task="digits",
        cost=cost(9_000, 12.0),
        provenance=PROVENANCE,
    )


def _target(loss: float, minimum: float, reached: int) -> Target:
    rows = []
    for i, size in enumerate(SIZES):
        lr = 0.8 / (1 + 100 / size)
        lrs = tuple((lr * 2.0 ** np.arange(-3, 3)).tolist())
        if i >= reached:
            row = BatchRow(
                batch_size=size, status="not_reached", tried=4000, lrs=lrs, updates_by_lr=(None,) * len(lrs)
            )
            rows.append(row)
            continue
        updates = minimum * (1 + 100 / size)
        rows.append(
            BatchRow(
                batch_size=size,
                status="ok",
                lr=lr,
                lr_low=0.7 * lr,
                lr_high=1.4 * lr,
                updates=updates,
                updates_low=updates / 1.1,
                updates_high=updates * 1.1,
                samples=updates * size,
                by_seed=(updates / 1.05, updates * 1.05),
                tried=5000,
                lrs=lrs,
                updates_by_lr=(None, 3 * updates, 1.4 * updates, updates, 1.05 * updates, None),
                diverged=lrs[-1:],
            )
        )
    used = [row for row in rows if row.updates]
    fit = fit_critical_batch(
        np.array([row.batch_size for row in used]),
        np.array([row.by_seed for row in used]).reshape(len(used), 2),
    )
    return Target(loss=loss, rows=tuple(rows), fit=fit)


def speeds(*, per_sample: float = 1e-5, unfit: float = 0) -> Throughput:
    """1 ms for an update and `per_sample` seconds more for each sample, within 20%."""
    rows = []
    for size in SIZES:
        if size == unfit:
            rows.append(BatchSpeed(batch_size=size, status="out_of_memory", why="the allocator refused"))
            continue
        seconds = 1e-3 + per_sample * size
        rows.append(
            BatchSpeed(
                batch_size=size,
                status="ok",
                seconds=seconds,
                low=seconds / 1.2,
                high=seconds * 1.2,
                samples_per_second=size / seconds,
                peak_bytes=size * 10_000,
                last=size // 2,
            )
        )
    return Throughput(
        rows=tuple(rows),
        largest=max(SIZES),
        memory=2**30,
        margin=0.1,
        counted="bytes of all tensors",
        evaluation=500,
        why="The largest batch that ran and fits is 768.",
        task="digits",
        cost=cost(900, 2.0),
        provenance=PROVENANCE,
    )


def batch_advice(*, reached: int = len(SIZES)) -> BatchAdvice:
    return decide(digits_task(), "time", critical(reached=reached), speeds(), None)


def scaling(*, measured: int = 3, known: bool = True) -> RateScaling:
    """Best rates that saturate at 200 samples; without `known` by a rule that is refused."""
    if not known:
        return msgspec.structs.replace(
            scale_lr(0.1, 32, 256, "linear", noise=100.0), task="<b>digits</b>", cost=cost(0, 0.0)
        )
    sizes = np.array([16, 128, 1024][:measured])
    lrs = 2.0 / (1 + 200 / sizes)
    rows = tuple(
        BestRate(
            batch_size=int(size),
            steps=int(6400 // size),
            lr=float(lr),
            low=float(lr / 1.4),
            high=float(lr * 1.4),
            spread=0.17,
            edge="",
            lrs=frozen(lr * 1.5 ** np.arange(-2.0, 3.0)),
            losses=frozen([0.5, 0.4, 0.3, 0.4, np.inf]),
            start_loss=2.3,
        )
        for size, lr in zip(sizes, lrs, strict=True)
    )
    fits = law_of(rows)
    return RateScaling(
        status="ok" if fits is not None else "no_answer",
        why="At batch 512 the best rate grows no more with the batch.",
        rule="measured",
        from_batch=128,
        to_batch=512,
        lr=None if fits is None else fits.rate(512),
        lr_low=None if fits is None else fits.interval(512)[0],
        lr_high=None if fits is None else fits.interval(512)[1],
        measured=rows,
        laws={} if fits is None else fits.errors,
        law="" if fits is None else fits.law,
        regimes=()
        if fits is None
        else tuple(rate_at(fits, size) for size in (16, 32, 64, 128, 256, 512, 1024)),
        task="digits",
        cost=cost(9_000, 12.0),
        provenance=PROVENANCE,
    )
