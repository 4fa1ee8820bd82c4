"""What a model loses with its weights drawn anew: how far it is trained already when a run goes on."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from torch import nn

from stepsize._ranks import current
from stepsize._rng import isolated_rng
from stepsize.task import Task
from stepsize.training.evaluation import Evaluation
from stepsize.training.probed import ProbeRun, Trainable
from stepsize.training.state import preserved

DRAWN_BY = ("reset_parameters", "_reset_parameters")
"""The methods by which torch's layers draw their weights."""


def untrained_loss(task: Trainable) -> float | None:
    """The held-out loss of what all runs start from, with the weights of its layers that train drawn anew.

    A probe is put back to where it was. None where each seed has a model of its own, and where it cannot be
    told: no layer draws its weights by itself, the loss has no number for drawn ones, or several processes
    share the model.
    """
    with isolated_rng(task.seed):
        return _of_probe(task) if isinstance(task, ProbeRun) else _of_task(task)


def _of_task(task: Task) -> float | None:
    if not task.from_weights:
        return None
    model = task.make_model(task.seed)
    if not _drawn_anew(model):
        return None
    evaluation = replace(Evaluation.of(task), functions={"loss": task.loss})

    def loss(model: nn.Module) -> float:
        return float(np.dot(evaluation.of_model(model)["loss"], evaluation.weights))

    return _number(lambda: loss(model), lambda: loss(task.make_model(task.seed)))


def _of_probe(run: ProbeRun) -> float | None:
    if current().size > 1:
        return None

    def loss() -> float:
        return float(np.dot(run.evaluation.of_state()["loss"], run.evaluation.weights))

    def drawn() -> float:
        with preserved(*run.state):
            found = [_drawn_anew(item) for item in run.probe.state if isinstance(item, nn.Module)]
            return loss() if any(found) else math.nan

    return _number(drawn, loss)


def _number(drawn: Callable[[], float], as_it_is: Callable[[], float]) -> float | None:
    """The loss of drawn weights, or None; it may fail at these alone, but what fails always is raised."""
    try:
        loss = drawn()
    except Exception:  # noqa: BLE001 - whatever a user's loss raises at weights that no run comes to
        as_it_is()
        return None
    return loss if math.isfinite(loss) else None


def _drawn_anew(model: nn.Module) -> bool:
    """Draw the weights of every layer that trains as a whole, and tell whether there was one."""
    found = False
    for layer in model.modules():
        draw = next((getattr(layer, name) for name in DRAWN_BY if hasattr(layer, name)), None)
        weights = list(layer.parameters())
        if draw is not None and weights and all(weight.requires_grad for weight in weights):
            try:
                draw()
            except Exception:  # noqa: BLE001 - a layer's own method may want arguments
                return False
            found = True
    return found
