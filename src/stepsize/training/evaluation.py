"""The held-out data as both engines evaluate it: the same batches, in the same order, on their own random numbers."""

from __future__ import annotations

from dataclasses import dataclass

from stepsize._rng import derived_seed
from stepsize.data import Batch, Stream, evaluation_batches
from stepsize.task import Task

STREAM_BATCHES = 32
"""Fresh batches that stand in for held-out data when training data is a stream."""

ROWS = 1024
"""Samples per evaluation batch: large enough to be efficient, small enough for K members at once."""

_SALT = 11


@dataclass(frozen=True)
class Evaluation:
    """Batches with their sample counts, and the seed for losses that draw random numbers when evaluated."""

    batches: tuple[tuple[Batch, int], ...]
    samples: int
    seed: int

    @classmethod
    def of(cls, task: Task) -> Evaluation:
        size = task.batch_size if isinstance(task.val, Stream) else ROWS
        batches = tuple(evaluation_batches(task.val, size, task.seed, stream_batches=STREAM_BATCHES))
        return cls(batches, sum(n for _, n in batches), derived_seed(_SALT, task.seed) % 2**63)
