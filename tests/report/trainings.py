"""An advice on training and what it rests on, as `tune` would give them."""

from __future__ import annotations

from typing import Any

import numpy as np

from stepsize.decide import omissions
from stepsize.decide.advice import Advice
from stepsize.decide.schedule_comparison_result import ScheduleComparison, ScheduleRow
from stepsize.decide.training_advice import TrainingAdvice
from stepsize.decide.warmup_result import WarmupComparison, WarmupRow
from stepsize.estimate.paired import paired_difference
from tests.report.batches import batch_advice
from tests.report.samples import PROVENANCE, advice, cost, rehearsal

LRS = (0.2, 0.4, 0.8, 1.6)


def schedules(*, best: str | None = "linear()") -> ScheduleComparison:
    """Three schedules, the second like the first; without a best one nothing learned."""
    rows = tuple(
        ScheduleRow(
            schedule=name,
            lr=None if best is None else 0.8,
            loss=None if best is None else 0.3 + behind,
            by_seed=() if best is None else (0.3 + behind,) * 3,
            behind=None if best is None else behind,
            behind_low=None if best is None else behind - 0.02,
            behind_high=None if best is None else behind + 0.02,
            alike=best is not None and behind < 0.02,
            lrs=LRS,
            losses=(0.6 + behind, 0.4 + behind, 0.3 + behind, None) if best is not None else (None,) * 4,
        )
        for name, behind in (("linear()", 0.0), ("hold() | decay('20%')", 0.01), ("fixed()", 0.1))
    )
    return ScheduleComparison(
        status="ok" if best is not None else "no_answer",
        why="linear() ends lowest." if best is not None else "No schedule lowered the held-out loss.",
        best=best,
        rows=rows,
        steps=250,
        horizon=1000,
        warnings=(),
        task="digits",
        cost=cost(9_000, 9.0),
        provenance=PROVENANCE,
        advised=best,
    )


def warmups(*, survives: bool = True) -> WarmupComparison:
    """Without a warm-up it diverges; 30 updates are enough."""
    losses = ((), (0.36, 0.34, 0.35), (0.31, 0.29, 0.3), (0.31, 0.3, 0.3))
    rows = []
    for updates, mine in zip((0, 10, 30, 100), losses, strict=True):
        told = paired_difference(np.array(mine), np.array(losses[2])) if mine and survives else None
        rows.append(
            WarmupRow(
                updates=updates,
                lr=None if told is None else 0.8,
                loss=None if told is None else float(np.mean(mine)),
                by_seed=() if told is None else mine,
                behind=None if told is None else told.mean,
                behind_low=None if told is None else told.low,
                behind_high=None if told is None else told.high,
                alike=told is not None and not told.detected,
                rise=None if updates == 0 else 1 / updates,
            )
        )
    return WarmupComparison(
        status="ok" if survives else "no_answer",
        why="30 updates are enough." if survives else "Every warm-up diverged.",
        updates=30 if survives else None,
        schedule="linear()",
        lr=0.42,
        rows=tuple(rows),
        steps=250,
        horizon=1000,
        start_loss=2.3,
        warnings=(),
        task="digits",
        cost=cost(3_000, 3.0),
        provenance=PROVENANCE,
    )


def training(**changes: Any) -> TrainingAdvice:
    """Everything decided and checked."""
    rate, batch = advice(), batch_advice()
    check = rehearsal(2000, np.array([0.42]), 3, np.random.default_rng(5))
    worth = [
        *omissions.of_batch(batch, batch.batch_size or 0),
        *omissions.of_rate(rate),
        *omissions.of_schedule(schedules(), rate.start_loss),
        *omissions.of_warmup(warmups()),
    ]
    fields: dict[str, Any] = {
        **{name: getattr(rate, name) for name in Advice.__struct_fields__},
        "batch_size": batch.batch_size,
        "schedule_text": "0.42 * (warmup(30) | linear())",
        "own_batch_size": 96,
        "own_steps": 2000,
        "settings": (("optimizer", "SGD"), ("momentum", "0.9"), ("weight decay", "0")),
        "seconds": 75.0,
        "batch": batch,
        "schedules": schedules(),
        "warmup": warmups(),
        "check": check,
        "checked_loss": 0.24,
        "checked_low": 0.22,
        "checked_high": 0.26,
        "omissions": tuple(worth),
    }
    return TrainingAdvice(**{**fields, **changes})
