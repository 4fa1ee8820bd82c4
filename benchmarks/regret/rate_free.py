"""Optimizers that want no rate: what is counted is the held-out loss at the end of their own full run.

Each takes the place of the task's optimizer, at its authors' settings, with the task's weight decay, with
the seeds of the oracle. The search costs nothing: one run is the run.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import warnings
from collections.abc import Callable

import numpy as np
import torch
from torch import nn

import stepsize as ss
from benchmarks.regret.finders import Answer, finder
from benchmarks.regret.oracle import FIRST_SEEDS, SEEDS
from benchmarks.regret.plain import held_out_loss, plain_run
from benchmarks.regret.tasks import Case

WARMUP_SHARE = 0.05
"""Share of the run that schedule-free warms up for; its authors leave that to the user."""

RECALIBRATION_BATCHES = 50
"""Forward passes that refresh BatchNorm's statistics at the averaged weights: schedule-free's README."""

Make = Callable[[nn.Module, ss.Task], torch.optim.Optimizer]


def _final(case: Case, name: str, make: Make) -> dict[str, Answer]:
    """The mean loss over the oracle's first seeds; a run that diverges makes it infinite."""
    task = case.task(SEEDS[0])
    losses = []
    for seed in SEEDS[:FIRST_SEEDS]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model, optimizer = plain_run(case, task, 1.0, seed, lambda model: make(model, task))
        if hasattr(optimizer, "eval"):
            optimizer.eval()
            _recalibrate(task, model, seed)
        losses.append(held_out_loss(task, model))
    loss = float(np.mean(losses))
    return {name: Answer(0, 0.0, loss=loss if math.isfinite(loss) else math.inf)}


def _recalibrate(task: ss.Task, model: nn.Module, seed: int) -> None:
    norms = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    if norms:
        model.train()
        with torch.no_grad():
            for batch in itertools.islice(task.batches(seed), RECALIBRATION_BATCHES):
                task.loss(model, batch)


def _settings(task: ss.Task, model: nn.Module) -> tuple[bool, float, float]:
    """Whether the task uses SGD, its weight decay and its momentum."""
    group = task.make_optimizer(model, 1.0).param_groups[0]
    return task.optimizer_name == "SGD", group["weight_decay"], group.get("momentum", 0.0)


@finder("prodigy", "Prodigy", packages=("prodigyopt",), seeded=False)
def prodigy(case: Case, seed: int) -> dict[str, Answer]:
    """At rate 1 under the task's schedule; with the safeguard where the schedule warms up."""
    from prodigyopt import Prodigy

    warms = "warmup" in case.schedule or "one_cycle" in case.schedule

    def make(model: nn.Module, task: ss.Task) -> torch.optim.Optimizer:
        _, decay, _ = _settings(task, model)
        optimizer: torch.optim.Optimizer = Prodigy(
            model.parameters(), weight_decay=decay, safeguard_warmup=warms, use_bias_correction=True
        )
        return optimizer

    return _final(case, "Prodigy", make)


@finder("dadaptation", "D-Adaptation", packages=("dadaptation",), seeded=False)
def dadaptation(case: Case, seed: int) -> dict[str, Answer]:
    """DAdaptSGD for SGD, DAdaptAdam for Adam and AdamW, at rate 1 under the task's schedule."""
    from dadaptation import DAdaptAdam, DAdaptSGD

    def make(model: nn.Module, task: ss.Task) -> torch.optim.Optimizer:
        sgd, decay, momentum = _settings(task, model)
        optimizer: torch.optim.Optimizer = (
            DAdaptSGD(model.parameters(), momentum=momentum, weight_decay=decay)
            if sgd
            else DAdaptAdam(model.parameters(), weight_decay=decay, decouple=True)
        )
        return optimizer

    return _final(case, "D-Adaptation", make)


@finder("schedule-free", "schedule-free", packages=("schedulefree",), seeded=False)
def schedule_free(case: Case, seed: int) -> dict[str, Answer]:
    """SGDScheduleFree or AdamWScheduleFree at their default rates, 1.0 and 0.0025, warmed up, unscheduled."""
    from schedulefree import AdamWScheduleFree, SGDScheduleFree

    def make(model: nn.Module, task: ss.Task) -> torch.optim.Optimizer:
        sgd, decay, _ = _settings(task, model)
        kind = SGDScheduleFree if sgd else AdamWScheduleFree
        warmup = math.ceil(WARMUP_SHARE * task.steps)
        optimizer: torch.optim.Optimizer = kind(model.parameters(), weight_decay=decay, warmup_steps=warmup)
        optimizer.train()  # type: ignore[attr-defined]
        return optimizer

    return _final(dataclasses.replace(case, schedule="fixed"), "schedule-free", make)
