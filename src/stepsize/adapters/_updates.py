"""A trainer's batches, as many together as make up an update."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch

from stepsize.data import Batch, Gathered, samples_in

_END = object()


class Updates:
    """One pass over the data, update by update, each time that it is iterated over.

    `open_pass` starts a pass over batches. `per_update` of them are gathered for an update; what is left at
    the end of a pass is an update of its own, as trainers have it. The random parts of `like`, a
    `DataLoader`, are those of this pass too: what reads it seeds them and puts them back.
    """

    def __init__(self, open_pass: Callable[[], Iterator[Batch]], per_update: int, like: Any = None) -> None:
        self._open, self._per_update = open_pass, per_update
        for name in ("sampler", "batch_sampler", "generator"):
            setattr(self, name, getattr(like, name, None))

    def __iter__(self) -> Iterator[Gathered]:
        batches = self._open()
        parts: list[Batch] = []
        ahead = next(batches, _END)
        while ahead is not _END:
            parts.append(ahead)
            ahead = next(batches, _END)
            if len(parts) == self._per_update or ahead is _END:
                yield gathered(parts, last=ahead is _END)
                parts = []


def gathered(parts: list[Batch], *, last: bool = False) -> Gathered:
    """Batches together, with the samples in all of them."""
    return Gathered(tuple(parts), sum(map(_samples, parts)), last)


def _samples(batch: Batch) -> int:
    """As `samples_in`, also for mappings that are no dicts, such as a tokenizer's."""
    if isinstance(batch, Mapping) and not isinstance(batch, dict):
        sizes = (len(v) for v in batch.values() if isinstance(v, torch.Tensor) and v.ndim)
        return next(sizes, 1)
    return samples_in(batch)
