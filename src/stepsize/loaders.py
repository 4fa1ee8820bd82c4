"""Loaders of the user's own, read from their start as often as need be, and left where they were."""

from __future__ import annotations

import copy
import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import torch
from torch.utils._pytree import tree_flatten
from torch.utils.data import BatchSampler, DataLoader, DistributedSampler, RandomSampler, SequentialSampler

from stepsize._check_task import integer
from stepsize._ranks import current
from stepsize._rng import derived_seed, isolated_rng
from stepsize.data import Batch, endless, samples_in

SHIFT = 5
"""Batches that each further seed starts later where a loader's order is fixed, so that seeds differ."""

_SALT = 53
_END = object()


class Replay:
    """An iterator whose batches can be read ahead: what a measurement has read comes again afterwards.

    A generator cannot be taken back to where it was. Train on `Replay(generator)` in its place, and hand the
    same object to a measurement: it reads ahead, keeps what it has read in memory, and the next batch that
    the training loop gets is the one that it would have got.

    >>> replay = Replay(iter([1, 2, 3]))
    >>> next(replay), list(replay.ahead()), next(replay)
    (1, [2, 3], 2)

    Args:
        batches: any iterator.
        most: batches that are read ahead and kept at most; measurements go over these again. By default as
            many as the longest run of a measurement has updates.
    """

    def __init__(self, batches: Iterable[Batch], most: int | None = None) -> None:
        self._source = iter(batches)
        self._kept: deque[Batch] = deque()
        self._most = None if most is None else integer("most", most, at_least=1)

    def __iter__(self) -> Iterator[Batch]:
        return self

    def __next__(self) -> Batch:
        return self._kept.popleft() if self._kept else next(self._source)

    def ahead(self) -> Iterator[Batch]:
        """What `next` will give from here on, without moving on."""
        for place in itertools.count():
            if place == self._most:
                return
            if place == len(self._kept):
                batch = next(self._source, _END)
                if batch is _END:
                    return
                self._kept.append(batch)
            yield self._kept[place]


class Loader:
    """Endless batches, pass after pass, from whatever the user's loop iterates over.

    `source` is what was passed, and `state` are the objects that iterating changes. Where every seed would
    get the same batches in the same order (`fixed`), each seed starts `SHIFT` batches further on than the one
    before.
    """

    def __init__(self, argument: str, batches: Any, *, seed: int) -> None:
        self._argument, self.source, self._seed = argument, batches, seed
        self._open = _opener(argument, batches)
        self._generators, self._samplers = _random_parts(batches)
        self.state: tuple[Any, ...] = (*self._generators, *map(_Epoch, self._samplers))
        self.fixed = False
        ranks = current()
        self._rank = ranks.rank if ranks.differ([g.get_state() for g in self._generators]) else 0

    def find_order(self) -> None:
        """Find out whether seeds differ in what they are given first; changes `state`."""
        first, second = (next(self.batches(self._seed + i)) for i in range(2))
        self.fixed = current().first(_equal(first, second))

    def batches(self, seed: int) -> Iterator[Batch]:
        """Endless batches for this seed, from the start."""
        later = SHIFT * max(0, seed - self._seed) if self.fixed else 0
        passes = endless(lambda number: self._pass(seed, number), self._none)
        return itertools.islice(passes, later, None)

    def once(self, seed: int | None = None) -> Iterator[Batch]:
        """One pass, in the order of the first seed, or of another."""
        return self._pass(self._seed if seed is None else seed, 0)

    def population(self, ranks: int) -> int | None:
        """Samples that one pass of all ranks goes over, each of them once; None where that is not known."""
        if isinstance(self.source, (list, tuple)):
            return sum(samples_in(batch) for batch in self.source) if ranks == 1 else None
        sampler = getattr(self.source, "sampler", None)
        if type(getattr(self.source, "batch_sampler", None)) is not BatchSampler:
            return None
        if isinstance(sampler, DistributedSampler):
            return len(sampler) * ranks if sampler.num_replicas == ranks else None
        if ranks > 1 or not isinstance(sampler, (SequentialSampler, RandomSampler)):
            return None
        whole = len(sampler) == len(sampler.data_source) and not getattr(sampler, "replacement", False)
        return len(sampler) if whole else None

    def _none(self, number: int) -> str:
        return (
            f"{self._argument} must give batches, but gave none on pass {number + 1}: pass a loader that can "
            "be iterated over again, or batches=lambda seed: iter(make_loader(seed))"
        )

    def _pass(self, seed: int, number: int) -> Iterator[Batch]:
        """A loader settles its order when its first batch is asked for: that draws on this pass's numbers.

        A sampler that shares the data out, and a function of a seed, get the same numbers on every rank;
        generators differ between ranks if they did before.
        """
        shared = derived_seed(_SALT, seed, number) % 2**63
        path = (shared, self._rank) if self._rank else (shared,)
        for place, generator in enumerate(self._generators):
            generator.manual_seed(derived_seed(*path, place) % 2**63)
        for sampler in self._samplers:
            sampler.set_epoch(shared % 2**31)
        with isolated_rng(current().seed(shared)):
            batches = self._open(shared % 2**31)
            first = next(batches, _END)
        if first is not _END:
            yield first
            yield from batches


def _opener(argument: str, batches: Any) -> Callable[[int], Iterator[Batch]]:
    """A function of a seed that starts a pass."""
    if isinstance(batches, Replay):
        return lambda seed: batches.ahead()
    if isinstance(batches, DataLoader):
        return lambda seed: iter(untouched(batches))
    if isinstance(batches, Iterator):
        raise TypeError(
            f"{argument} is a {type(batches).__name__}, which cannot be taken back to where it is: train on "
            f"replay = ss.Replay({argument}) in its place and pass {argument}=replay, or pass a function, "
            f"{argument}=lambda seed: make_batches(seed)"
        )
    if isinstance(batches, Iterable):
        return lambda seed: iter(batches)
    if callable(batches):
        return lambda seed: iter(batches(seed))
    raise TypeError(
        f"{argument} must be a loader, a list of batches or a function of a seed that gives an iterator, but "
        f"is a {type(batches).__name__}"
    )


def untouched(loader: DataLoader[Any]) -> DataLoader[Any]:
    """A loader whose workers are its own: iterating anew over persistent ones ends the pass they are in."""
    twin = copy.copy(loader)
    twin._iterator = None
    return twin


def _random_parts(batches: Any) -> tuple[list[torch.Generator], list[Any]]:
    """The generators that a loader draws its order from, and the samplers that take it from an epoch."""
    sampler, batch_sampler = getattr(batches, "sampler", None), getattr(batches, "batch_sampler", None)
    parts = [batches, sampler, batch_sampler, getattr(batch_sampler, "sampler", None)]
    drawn = [getattr(part, "generator", None) for part in parts]
    generators = {id(g): g for g in drawn if isinstance(g, torch.Generator)}
    samplers = {id(part): part for part in parts[1:] if hasattr(part, "set_epoch") and hasattr(part, "epoch")}
    return list(generators.values()), list(samplers.values())


class _Epoch:
    """The epoch that a sampler was told of, as state that can be put back."""

    def __init__(self, sampler: Any) -> None:
        self._sampler = sampler

    def state_dict(self) -> dict[str, Any]:
        return {"epoch": self._sampler.epoch}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._sampler.epoch = state["epoch"]


def _equal(a: Batch, b: Batch) -> bool:
    """Whether two batches hold the same."""
    (left, layout), (right, other) = tree_flatten(a), tree_flatten(b)
    return layout == other and all(map(_alike, left, right))


def _alike(x: Any, y: Any) -> bool:
    """Tensors and arrays by what they hold, anything else as text."""
    if isinstance(x, torch.Tensor) and isinstance(y, torch.Tensor):
        return torch.equal(x, y)
    if hasattr(x, "shape") and hasattr(y, "shape"):
        return np.array_equal(x, y)
    return str(x) == str(y)
