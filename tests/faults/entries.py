"""Every public entry point that trains or measures: one line each, on a task or on a probe."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import stepsize as ss
from tests.faults.training import STEPS, Users


@dataclass(frozen=True)
class Entry:
    """`call` measures on what a user holds.

    `answers` says that Ctrl-C gives a result with status "interrupted" instead of the exception. `survives`
    names the faults that it answers in its result: what cannot be had, and why. `tried` are the first calls,
    in which a step is tried out: before there is anything to answer from. Faults come at so many `places`,
    fewer where a measurement takes long.
    """

    name: str
    call: Callable[[Users], Any]
    answers: bool = True
    survives: tuple[str, ...] = ()
    tried: int = 0
    places: int = 2


def _train(users: Users) -> ss.History:
    rates = np.full((4, 8), 0.05)
    members = [ss.Member(lr, seed) for lr in (0.05, 0.1) for seed in (0, 1)]
    assert users.task is not None
    return ss.train(users.task, members, rates, evaluate_at=[0, 8])


def _probed(measure: Callable[..., Any], **arguments: Any) -> Callable[[Users], Any]:
    def call(users: Users) -> Any:
        assert users.loop is not None
        return measure(users.loop.probe(), batches=users.loop.batches, progress=None, **arguments)

    return call


def _on(measure: Callable[..., Any], **arguments: Any) -> Callable[[Users], Any]:
    return lambda users: measure(users.task, **arguments)


TRIED = 6
"""Two batches that tell whether seeds differ, and two updates, twice over."""

LR, ALONE = {"lr": 0.05}, {"seeds": 1}
FEW = {"lr_min": 0.01, "lr_max": 1.0, "seeds": 1}
SIZES = {"batch_sizes": [4], "targets": [1.05], **LR, **ALONE}
STAGES = [ss.Stage(0.01, 0.03, 0.01, iters=1), ss.Stage(0.1, 0.5, 0.1, iters=1)]

ON_A_TASK = [
    Entry("find_lr", _on(ss.find_lr, **FEW, budget="1 run")),
    Entry("tune", _on(ss.tune, **FEW, batch_sizes=4, schedules=["fixed", "cosine"], budget="4 runs")),
    Entry("range_test", _on(ss.range_test, steps=4, loss="val"), answers=False),
    Entry("range_test zoom", _on(ss.range_test, stages=STAGES, zoom=True), answers=False),
    Entry("noise_scale", _on(ss.noise_scale, **LR, checkpoints=[2], examples=8, micro_batch=1)),
    Entry("noise_scale tried", _on(ss.noise_scale, **LR, checkpoints=[1], examples=8)),
    Entry("sharpness", _on(ss.sharpness, **LR, checkpoints=[0, 2], subset=8, products=2)),
    Entry("throughput", _on(ss.throughput, batch_sizes=[4], seconds=1e-3), survives=("exception",)),
    # What batch sizes have taken is not lost where the noise scale, which comes last, cannot be had.
    Entry("critical_batch", _on(ss.critical_batch, **SIZES), survives=("exception",), places=1),
    # A batch size that fails while its pace is taken is named, as by throughput.
    Entry("find_batch_size", _on(ss.find_batch_size, **SIZES), survives=("exception",), places=1),
    Entry("scale_lr", _on(ss.scale_lr, to=8, batch_sizes=[4, 6, 8], **LR, **ALONE, budget="1200 runs")),
    # A rule whose noise scale cannot be measured has no answer, and says why.
    Entry("scale_lr rule", _on(ss.scale_lr, to=8, rule="adascale", **LR), survives=("exception",)),
    Entry("find_warmup", _on(ss.find_warmup, **LR, warmups=[0, 2], steps=4, **ALONE)),
    Entry(
        "compare_schedules",
        _on(ss.compare_schedules, schedules=["fixed", "cosine"], steps=4, **LR, **ALONE),
        places=2,
    ),
    Entry("sweep", _on(ss.sweep, lr=[0.01, 0.1], **ALONE, evaluate="2 a run")),
    Entry("train", _train, answers=False),
    Entry(
        "capabilities",
        lambda users: users.task.capabilities(),  # type: ignore[union-attr]
        answers=False,
        survives=("exception",),
    ),
]

ON_A_PROBE = [
    Entry("find_lr", _probed(ss.find_lr, steps=STEPS, **FEW, budget="1 run"), tried=TRIED),
    Entry("range_test", _probed(ss.range_test, steps=STEPS), answers=False),
    Entry("sweep", _probed(ss.sweep, lr=[0.05], steps=STEPS, seeds=1), tried=TRIED),
    Entry("noise_scale", _probed(ss.noise_scale, **LR, steps=STEPS, checkpoints=[2]), tried=TRIED),
]
