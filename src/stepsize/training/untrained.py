"""What a model loses with its weights drawn anew: how far it is trained already where a run goes on from it."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from torch import nn

from stepsize._rng import isolated_rng
from stepsize.training.evaluation import Evaluation
from stepsize.training.probed import ProbeRun, Trainable

DRAWN_BY = ("reset_parameters", "_reset_parameters")
"""The methods by which torch's layers draw their weights."""


def untrained_loss(task: Trainable) -> float | None:
    """The held-out loss of a task's module with the weights of its layers that train drawn anew.

    None for a probe, where each seed has a model of its own, and where that cannot be told: no layer draws
    its weights by itself, or the loss is no number.
    """
    if isinstance(task, ProbeRun) or not task.from_weights:
        return None
    evaluation = Evaluation.of(task)
    try:
        with isolated_rng(task.seed):
            model = task.make_model(task.seed)
            if not _drawn_anew(model):
                return None
        folds = replace(evaluation, functions={"loss": task.loss}).of_model(model)["loss"]
    except Exception:  # noqa: BLE001 - a layer's own method may want arguments; an error of the loss is shown by the first run
        return None
    loss = float(np.dot(folds, evaluation.weights))
    return loss if math.isfinite(loss) else None


def _drawn_anew(model: nn.Module) -> bool:
    """Draw the weights of every layer that trains as a whole, and tell whether there was one."""
    found = False
    for layer in model.modules():
        draw = next((getattr(layer, name) for name in DRAWN_BY if hasattr(layer, name)), None)
        weights = list(layer.parameters())
        if draw is not None and weights and all(weight.requires_grad for weight in weights):
            draw()
            found = True
    return found
