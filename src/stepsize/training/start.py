"""How large losses are before the first update: what a run that seems to diverge is compared with."""

from __future__ import annotations

from itertools import islice
from typing import NamedTuple

import numpy as np
import torch

from stepsize._rng import isolated_rng
from stepsize.task import Task
from stepsize.training.evaluation import Evaluation

BATCHES = 8
"""Training batches that are looked at: a single one may lose next to nothing, or be of another sign."""


class Start(NamedTuple):
    """The mean of losses, and how far from zero they are."""

    level: float
    size: float


UNKNOWN = Start(float("nan"), float("nan"))


def start_of(*parts: np.ndarray) -> Start:
    """The larger of what several kinds of batches lose, whose losses (n,) these are."""
    finite = [losses[np.isfinite(losses)] for losses in parts]
    known = [losses for losses in finite if losses.size]
    levels = [float(losses.mean()) for losses in known]
    sizes = [float(np.sqrt(np.mean(losses**2))) for losses in known]
    return Start(max(levels), max(sizes)) if known else UNKNOWN


def task_start(task: Task, evaluation: Evaluation, seed: int) -> Start:
    """Where runs of the task with this seed start from: some batches in training, and a fold held out.

    Both, since a net that knows its training data by heart starts from next to nothing there.
    """
    with isolated_rng(seed), torch.enable_grad():
        model = task.make_model(seed)
        first = islice(task.batches(seed), BATCHES)
        losses = [float(task.loss(model, batch).detach()) for batch in first]
        model.eval()
        held_out = [float(task.loss(model, fold).detach()) for fold, _ in evaluation.batches[:1]]
    return start_of(np.array(losses), np.array(held_out))
