"""The result of a range test: loss against a rising rate."""

from __future__ import annotations

from typing import Literal

import numpy as np

from stepsize._result import Provenance, Result
from stepsize.estimate import Suggestion
from stepsize.training.history import Cost


class Curve(Result):
    """Loss against learning rate, S seeds at n rates, rising.

    `lrs` (n,); `losses` (S, n), NaN after a seed diverged; `smoothed` (n,), the debiased moving
    average of the seeds' mean; `diverged_at` (S,), the rate where each seed diverged, NaN if it did not.
    `suggestions` holds each rule's answer or its reason for having none.
    """

    lrs: np.ndarray
    losses: np.ndarray
    smoothed: np.ndarray
    diverged_at: np.ndarray
    mode: Literal["exp", "linear", "staged"]
    iters_per_rate: tuple[int, ...]
    loss_kind: Literal["train", "val"]
    start_loss: float
    suggestions: dict[str, Suggestion]
    task: str
    cost: Cost
    provenance: Provenance
