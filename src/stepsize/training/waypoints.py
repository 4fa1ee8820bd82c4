"""Stops along one run, at which something is measured on the weights as they are then."""

from __future__ import annotations

import copy
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from stepsize._rng import isolated_rng
from stepsize.task import Task
from stepsize.training.evaluation import Evaluation
from stepsize.training.history import Member
from stepsize.training.loop import Loop
from stepsize.training.probe_loop import ProbeLoop
from stepsize.training.probed import ProbeRun


@dataclass(frozen=True)
class Stop:
    """A run after `update` updates, where its held-out loss is `val_loss`."""

    update: int
    val_loss: float


@dataclass(frozen=True)
class Waypoint(Stop):
    """A task's run there: copies of its model, in training mode, and of its optimizer."""

    model: nn.Module
    optimizer: torch.optim.Optimizer


def waypoints(
    task: Task,
    rates: np.ndarray,
    at: Iterable[int],
    *,
    seed: int,
    controls: Mapping[str, np.ndarray] | None = None,
) -> Generator[Waypoint]:
    """Train one model at `rates` (T,) and stop after each of `at` updates, 0…T rising.

    Ends early where training diverges. Whatever is done to a waypoint, the run goes on as if it had not been.
    """
    evaluation = Evaluation.of(task)
    with isolated_rng(task.seed), torch.enable_grad():
        loop = Loop(task, [Member(float(rates.max()), seed)], rates[None, :], evaluation, controls or {})
    for stop in _reached(loop, at):
        loss = float(loop.evaluate()["loss"][0] @ evaluation.weights)
        model, optimizer = copy.deepcopy(loop.member(0))
        yield Waypoint(stop, loss, model.train(), optimizer)


def probe_stops(
    run: ProbeRun,
    rates: np.ndarray,
    at: Iterable[int],
    *,
    seed: int,
    controls: Mapping[str, np.ndarray] | None = None,
) -> Generator[Stop]:
    """As `waypoints`, with the probe's own objects: they are at the stop until the next one is asked for.

    Whatever is done to them there must be undone. When it ends or is closed, they are back at their start.
    """
    evaluation = run.evaluation
    members = [Member(float(rates.max()), seed)]
    with closing(ProbeLoop(run, members, rates[None, :], evaluation, controls or {})) as loop:
        for stop in _reached(loop, at):
            yield Stop(stop, float(loop.evaluate()["loss"][0] @ evaluation.weights))


def _reached(loop: Loop | ProbeLoop, at: Iterable[int]) -> Iterator[int]:
    """Train on from stop to stop, for as long as training does not diverge."""
    done = 0
    for stop in at:
        with torch.enable_grad():
            loop.advance(stop - done)
        done = stop
        if not loop.alive[0]:
            return
        yield stop
