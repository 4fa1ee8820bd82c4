"""The held-out data as both engines evaluate it: the same batches, order and random numbers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn
from torch.utils._pytree import tree_flatten, tree_map

from stepsize._rng import derived_seed, isolated_rng
from stepsize.data import Batch, Stream, evaluation_batches
from stepsize.task import Task
from stepsize.training.probed import ProbeRun, Trainable

STREAM_BATCHES = 32
"""Fresh batches that stand in for held-out data when training data is a stream."""

ROWS = 1024
"""Samples per evaluation batch, at most: large enough to be efficient, small enough for K members at once."""

FOLDS = 8
"""Evaluation batches, at least: their spread tells how much the held-out loss owes to its few samples."""

FORWARD = 1 / 3
"""Share of an update's arithmetic that a forward pass alone takes."""

_SALT = 11


class Folds(NamedTuple):
    """Folds that are computed by one call: their places among all, and their batches along a first axis.

    One alone (`stacked` False) is a batch as it is.
    """

    places: slice
    batch: Batch
    stacked: bool


@dataclass(frozen=True)
class Evaluation:
    """Batches with their sample counts, and the seed for losses that draw random numbers when evaluated.

    Each of the F batches is a fold: the held-out loss is the mean of the folds' losses, with `weights` (F,)
    in proportion to their samples. `functions` are the loss and the metrics; `with_grad` says that one of
    them takes a gradient itself.
    """

    batches: tuple[tuple[Batch, int], ...]
    weights: np.ndarray
    functions: dict[str, Callable[..., Any]]
    seed: int
    with_grad: bool = False

    @classmethod
    def of(cls, task: Task) -> Evaluation:
        size = task.batch_size if isinstance(task.val, Stream) else min(ROWS, max(1, task.val.size // FOLDS))
        batches = tuple(evaluation_batches(task.val, size, task.seed, stream_batches=STREAM_BATCHES))
        counts = np.array([n for _, n in batches], dtype=np.float64)
        functions = {"loss": task.loss, **task.metrics}
        seed = derived_seed(_SALT, task.seed) % 2**63
        return cls(batches, counts / counts.sum(), functions, seed, task.evaluates_with_grad)

    @property
    def apart(self) -> list[Folds]:
        """Every fold by itself."""
        return [Folds(slice(i, i + 1), batch, False) for i, (batch, _) in enumerate(self.batches)]

    def together(self, rows: int) -> list[Folds]:
        """Neighbours of one shape together, so many samples at most.

        A small net's calls cost more than its arithmetic.
        """
        found: list[Folds] = []
        for _, run in groupby(enumerate(self.batches), lambda place: _shape(*place[1])):
            places = [place for place, _ in run]
            each = max(1, rows // max(1, self.batches[places[0]][1]))
            parts = np.array_split(places, -(-len(places) // each))
            found += [self._stacked(slice(int(part[0]), int(part[-1]) + 1)) for part in parts]
        return found

    def _stacked(self, places: slice) -> Folds:
        batches = [batch for batch, _ in self.batches[places]]
        if len(batches) == 1:
            return Folds(places, batches[0], False)
        return Folds(places, tree_map(lambda *leaves: torch.stack(leaves), *batches), True)

    def of_model(self, model: nn.Module) -> dict[str, np.ndarray]:
        """The loss and each metric of one model on every fold, (F,); it is put into evaluation mode."""
        model.eval()
        results = {name: np.full(len(self.batches), np.nan) for name in self.functions}
        with isolated_rng(self.seed), torch.set_grad_enabled(self.with_grad):
            for fold, (batch, _) in enumerate(self.batches):
                for name, function in self.functions.items():
                    results[name][fold] = float(function(model, batch).detach())
        return results


def _shape(batch: Batch, samples: int) -> Any:
    """What is equal of batches that can be stacked; unlike any other's where a leaf is no tensor."""
    leaves, spec = tree_flatten(batch)
    if not all(isinstance(leaf, torch.Tensor) and leaf.layout is torch.strided for leaf in leaves):
        return object()
    return samples, spec, [(leaf.shape, leaf.dtype, leaf.device) for leaf in leaves]


def held_out_samples(task: Trainable) -> int | None:
    """Samples that were held out; None where fresh batches stand in for them."""
    if isinstance(task, ProbeRun):
        return None if task.val is None else task.evaluation.samples
    return None if isinstance(task.val, Stream) else task.val.size


def evaluation_updates(task: Trainable) -> float:
    """What taking the held-out loss once costs, in updates: for its arithmetic or for its calls, if more."""
    samples = held_out_samples(task)
    if samples is not None:
        return FORWARD * max(samples / task.batch_size, min(FOLDS, samples))
    if isinstance(task, ProbeRun):
        return task.evaluation.samples / task.batch_size  # by the step itself, at rate 0
    return FORWARD * STREAM_BATCHES
