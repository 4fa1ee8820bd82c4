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


STARTS = 3
"""Starting weights of further seeds that are looked at: with inputs that are not normalised, losses at the
start go from 1 to 60 by the luck of the seed, and those of the first updates are as large as the largest."""


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

    Both, since a net that knows its training data by heart starts from next to nothing there. And the starts
    of some further seeds, unless all start from the same weights.
    """
    with isolated_rng(seed), torch.enable_grad():
        model = task.make_model(seed)
        first = islice(task.batches(seed), BATCHES)
        losses = [float(task.loss(model, batch).detach()) for batch in first]
        fold = next((fold for fold, _ in evaluation.batches), None)
        if fold is None:
            return start_of(np.array(losses))
        held_out = [float(task.loss(model.eval(), fold).detach())]
        others = range(seed + 1, seed + 1 + (0 if task.from_weights else STARTS))
        elsewhere = [float(task.loss(task.make_model(other).eval(), fold).detach()) for other in others]
    return start_of(np.array(losses), np.array(held_out), np.array(elsewhere))
