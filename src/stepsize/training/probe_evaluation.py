"""The held-out loss of a probe where it stands."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from stepsize._ranks import current
from stepsize._rng import derived_seed, isolated_rng
from stepsize.data import Batch, samples_in
from stepsize.training.probe_step import Rates, loss_of
from stepsize.training.state import preserved

if TYPE_CHECKING:
    from stepsize.training.probed import ProbeRun

FOLDS = 8
"""Parts that held-out batches are shared out to, at most: their spread tells what the loss owes to them."""

FRESH_SHARE, FEWEST_FRESH, MOST_FRESH = 0.01, 8, 32
"""Batches that stand in for held-out data, as a share of the horizon, and the least and most of them."""

_FRESH = 2**30
"""Seed of the batches that stand in for held-out data, beyond those that training counts up to."""

_SALT = 59


@dataclass(frozen=True)
class ProbeEvaluation:
    """The held-out loss of a probe as it is: by its own function on `val`, or by steps at rate 0.

    `folds` hold batches of about the same number each; `weights` (F,) are their shares of the samples, and
    `shares` (F,) this rank's part of a fold, 1 on average. All ranks together have `samples`.
    """

    run: ProbeRun
    folds: tuple[tuple[Batch, ...], ...]
    shares: np.ndarray
    weights: np.ndarray
    samples: int

    @classmethod
    def of(cls, run: ProbeRun) -> ProbeEvaluation:
        with preserved(*run.state):
            if run.val is not None:
                batches = list(run.val.once())
            else:
                source = run.loader.batches(run.seed if run.loader.fixed else _FRESH)
                batches = [next(source) for _ in range(fresh_batches(run))]
        if not batches:
            raise ValueError("val must give batches, but gave none: pass val=loader")
        count = min(FOLDS, current().least(len(batches)))
        folds = tuple(
            tuple(batches[i] for i in part) for part in np.array_split(np.arange(len(batches)), count)
        )
        own = np.array([sum(samples_in(batch) for batch in fold) for fold in folds], dtype=np.float64)
        sizes = current().mean(own)
        return cls(run, folds, own / sizes, sizes / sizes.sum(), round(sizes.sum() * current().size))

    @property
    def batches(self) -> tuple[tuple[Batch, ...], ...]:
        """The folds: what `train` counts."""
        return self.folds

    @property
    def functions(self) -> tuple[str, ...]:
        """What is measured: the loss alone."""
        return ("loss",)

    def of_state(self) -> dict[str, np.ndarray]:
        """The loss on every fold, (F,), at the probe's present state; whatever it changes is put back."""
        seed = derived_seed(_SALT, self.run.seed) % 2**63
        with preserved(*self.run.state), isolated_rng(seed):
            losses = np.array([self._of_fold(fold) for fold in self.folds])
        return {"loss": current().mean(losses * self.shares)}

    def _of_fold(self, fold: Sequence[Batch]) -> float:
        probe = self.run.probe
        sizes = np.array([samples_in(batch) for batch in fold], dtype=np.float64)
        if self.run.val is not None:
            losses = [self._evaluated(batch) for batch in fold]
        else:
            with Rates(probe) as rates:
                rates.set(0.0)
                losses = [loss_of(probe.step(batch)) for batch in fold]
        return float(np.average(losses, weights=sizes))

    def _evaluated(self, batch: Batch) -> float:
        """By the probe's own function; with grad mode only where it takes a gradient itself."""
        evaluate = self.run.probe.evaluate
        assert evaluate is not None
        try:
            with torch.no_grad():
                return loss_of(evaluate(batch), "evaluate")
        except RuntimeError:
            pass  # and not called again here, where its error would be shown beside that of the second call
        with torch.enable_grad():
            return loss_of(evaluate(batch), "evaluate")


def fresh_batches(run: ProbeRun) -> int:
    """Batches that stand in for held-out data: whole updates of them, a small share of the horizon."""
    wished = int(np.clip(FRESH_SHARE * run.steps, FEWEST_FRESH, MOST_FRESH))
    return math.ceil(wished / run.probe.accumulate) * run.probe.accumulate
