"""Stops along one run, at which something is measured on the weights as they are then."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from stepsize._rng import isolated_rng
from stepsize.task import Task
from stepsize.training.evaluation import Evaluation
from stepsize.training.history import Member
from stepsize.training.loop import Loop


@dataclass(frozen=True)
class Waypoint:
    """A run after `update` updates: copies of its model, in training mode, and of its optimizer.

    `val_loss` is the held-out loss there.
    """

    update: int
    val_loss: float
    model: nn.Module
    optimizer: torch.optim.Optimizer


def waypoints(
    task: Task,
    rates: np.ndarray,
    at: Iterable[int],
    *,
    seed: int,
    controls: Mapping[str, np.ndarray] | None = None,
) -> Iterator[Waypoint]:
    """Train one model at `rates` (T,) and stop after each of `at` updates, 0…T rising.

    Ends early where training diverges. Whatever is done to a waypoint, the run goes on as if it had not been.
    """
    evaluation = Evaluation.of(task)
    with isolated_rng(task.seed), torch.enable_grad():
        loop = Loop(task, [Member(float(rates.max()), seed)], rates[None, :], evaluation, controls or {})
    done = 0
    for stop in at:
        with torch.enable_grad():
            loop.advance(stop - done)
        done = stop
        if not loop.alive[0]:
            return
        loss = float(loop.evaluate()["loss"][0] @ evaluation.weights)
        model, optimizer = copy.deepcopy(loop.member(0))
        yield Waypoint(stop, loss, model.train(), optimizer)
