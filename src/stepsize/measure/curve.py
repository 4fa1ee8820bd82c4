"""The result of a range test: loss against a rising rate."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np

from stepsize._result import Provenance, Result
from stepsize._words import plural
from stepsize.estimate import Suggestion, mean_over_seeds
from stepsize.training.history import Cost


class Curve(Result, frozen=True, kw_only=True, eq=False):
    """Loss against learning rate, S seeds at n rates, rising.

    `lrs` (n,); `losses` (S, n), NaN after a seed diverged; `smoothed` (n,), the debiased moving
    average of the seeds' mean; `diverged_at` (S,), the rate where each seed diverged, NaN if it did not.
    `start_loss` is the first loss, mean over seeds, None if it is not finite.
    `suggestions` holds each rule's answer or its reason for having none.
    """

    lrs: np.ndarray
    losses: np.ndarray
    smoothed: np.ndarray
    diverged_at: np.ndarray
    mode: Literal["exp", "linear", "staged"]
    iters_per_rate: tuple[int, ...]
    loss_kind: Literal["train", "val"]
    start_loss: float | None
    suggestions: dict[str, Suggestion]
    task: str
    cost: Cost
    provenance: Provenance

    def table(self) -> list[dict[str, float]]:
        """One row per rate: `log10_lr`, `lr`, `loss` (the mean over seeds, infinite after a divergence) and
        `smoothed`, as the textbook's table 12-4 pairs log10 rates with rates.
        """
        columns = zip(self.lrs, mean_over_seeds(self.losses), self.smoothed, strict=True)
        return [
            {"log10_lr": math.log10(lr), "lr": float(lr), "loss": float(loss), "smoothed": float(smoothed)}
            for lr, loss, smoothed in columns
        ]

    def __str__(self) -> str:
        seeds = plural(len(self.losses), "seed")
        lines = [
            f"Range test of {self.task}: {len(self.lrs)} rates from {self.lrs[0]:.3g} to {self.lrs[-1]:.3g},",
            f"  {seeds}, {self.cost.updates:,} updates in {self.cost.seconds:.1f} s",
        ]
        for name, suggestion in self.suggestions.items():
            answer = suggestion.status if suggestion.lr is None else f"{suggestion.lr:.3g}"
            lines.append(f"  {name:16} {answer:14} {suggestion.why}")
        return "\n".join(lines)
