"""Where batches come from: tensors in memory, a map-style dataset, or a stream of fresh batches."""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch.utils._pytree import TreeSpec, register_pytree_node, tree_flatten, tree_map, tree_unflatten
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset, default_collate

from stepsize._rng import derived_seed, isolated_rng

Batch = Any
"""A tensor, or a tuple, list or dict of tensors, nested at will."""

StreamFactory = Callable[[int, int], Iterator[Batch]]
"""`(batch_size, seed) -> iterator of batches`."""


@dataclass(frozen=True, eq=False)
class Gathered:
    """Batches that one update is made of, in a trainer that accumulates gradients; `samples` in all of them.

    `last` says that the pass over the data ends with it.
    """

    parts: tuple[Batch, ...]
    samples: int
    last: bool = False


register_pytree_node(
    Gathered,
    lambda gathered: (list(gathered.parts), (gathered.samples, gathered.last)),
    lambda parts, rest: Gathered(tuple(parts), *rest),
)

_ASKED = torch.float64, torch.float32, torch.float16, torch.bfloat16
_PART = 4096
"""Samples that are looked through at once, so that little memory is taken beside the data."""

ORDER, SPLIT, FRESH = 1, 2, 3
"""Salts that keep the random numbers of batch order, held-out split and fresh batches apart."""


@dataclass(frozen=True, eq=False)
class Tensors:
    """Samples in memory: a tree of tensors that agree on their first dimension."""

    tree: Batch
    size: int

    def take(self, index: torch.Tensor) -> Batch:
        leaves, layout = self._flat
        return tree_unflatten([t.index_select(0, index.to(t.device)) for t in leaves], layout)

    @cached_property
    def _flat(self) -> tuple[list[torch.Tensor], TreeSpec]:
        return tree_flatten(self.tree)

    def all(self) -> Batch:
        return self.tree

    def to(self, device: torch.device) -> Tensors:
        return Tensors(move(self.tree, device), self.size)

    def subset(self, index: torch.Tensor) -> Tensors:
        return Tensors(self.take(index), len(index))

    def not_finite(self) -> int:
        """How many samples hold NaN or an infinity; sparse tensors and integers are not asked."""
        leaves = [t for t in self._flat[0] if t.layout is torch.strided and t.dtype in _ASKED]
        count = 0
        for first in range(0, self.size if leaves else 0, _PART):
            known = [leaf[first : first + _PART].isfinite() for leaf in leaves]
            finite = [(one.flatten(1).all(dim=1) if one.ndim > 1 else one).cpu() for one in known]
            count += int((~torch.stack(finite).all(dim=0)).sum())
        return count


@dataclass(frozen=True, eq=False)
class Items:
    """Samples of a map-style `Dataset`, read anew for every batch, as a DataLoader without workers does."""

    dataset: Dataset[Any]
    index: torch.Tensor
    argument: str
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @property
    def size(self) -> int:
        return len(self.index)

    def take(self, index: torch.Tensor) -> Batch:
        samples = []
        places = self.index[index].tolist()
        for i in places:
            try:
                samples.append(self.dataset[i])
            except Exception as error:
                raise RuntimeError(f"{self.argument}[{i}] raised {type(error).__name__}: {error}") from error
        try:
            return move(default_collate(samples), self.device)
        except Exception as error:
            raise RuntimeError(
                f"the items {', '.join(map(str, places[:4]))}… of {self.argument} do not make "
                "up a batch, since "
                f"{type(error).__name__}: {error}. Each item must hold tensors, arrays or "
                "numbers of one shape; "
                f"for anything else pass a callable, {self.argument}=lambda batch_size, seed: iter(…)"
            ) from error

    def all(self) -> Batch:
        return self.take(torch.arange(self.size))

    def to(self, device: torch.device) -> Items:
        return Items(self.dataset, self.index, self.argument, device)

    def subset(self, index: torch.Tensor) -> Items:
        return Items(self.dataset, self.index[index], self.argument, self.device)


@dataclass(frozen=True, eq=False)
class Stream:
    """Batches from a callable; it is called again, with another seed, whenever its iterator ends."""

    make: StreamFactory
    argument: str
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    def to(self, device: torch.device) -> Stream:
        return Stream(self.make, self.argument, device)

    def batches(self, batch_size: int, *seed: int) -> Iterator[Batch]:
        made = endless(
            lambda restart: self.make(batch_size, derived_seed(*seed, restart) % 2**31),
            lambda _: f"{self.argument}(batch_size={batch_size}, seed=…) gave an iterator without batches",
        )
        for batch in made:
            yield move(batch, self.device)


Source = Tensors | Items | Stream


def endless(make: Callable[[int], Iterable[Batch]], empty: Callable[[int], str]) -> Iterator[Batch]:
    """The batches of pass 0, 1, …; `ValueError` where pass n has none, with the words `empty(n)`."""
    for number in itertools.count():
        given = False
        for batch in make(number):
            given = True
            yield batch
        if not given:
            raise ValueError(empty(number))


def as_source(argument: str, data: Any) -> Source:
    """Read what a user passed as `train` or `val`; every error names `argument` and shows a right call."""
    if isinstance(data, (Tensors, Items, Stream)):
        return data
    if isinstance(data, DataLoader):
        raise TypeError(
            f"{argument} is a DataLoader, whose batch size and order stepsize must be able to choose: "
            f"pass its dataset ({argument}=loader.dataset) or a callable "
            f"({argument}=lambda batch_size, seed: iter(make_loader(batch_size, seed)))"
        )
    if isinstance(data, IterableDataset):
        raise TypeError(
            f"{argument} is an IterableDataset: pass a callable that makes an iterator of batches "
            f"({argument}=lambda batch_size, seed: iter(DataLoader(dataset, batch_size)))"
        )
    if isinstance(data, TensorDataset):
        return _tensors(argument, data.tensors)
    if isinstance(data, Dataset) or (
        hasattr(data, "__getitem__") and hasattr(data, "__len__") and not _is_tree(data)
    ):
        return _items(argument, data)
    if callable(data):
        return Stream(data, argument)
    return _tensors(argument, data)


def _is_tree(data: Any) -> bool:
    return isinstance(data, (torch.Tensor, np.ndarray, tuple, list, dict))


def _tensors(argument: str, data: Any) -> Tensors:
    leaves, _ = tree_flatten(data)
    shown = f"{argument}=(x, y)"
    if not leaves:
        raise ValueError(f"{argument} is empty: pass tensors, for example {shown}")
    for leaf in leaves:
        if not isinstance(leaf, (torch.Tensor, np.ndarray)):
            raise TypeError(
                f"{argument} must hold tensors or arrays, a Dataset, or be a callable "
                f"(batch_size, seed) -> iterator, but it holds a {type(leaf).__name__}: pass {shown}"
            )
        if leaf.ndim == 0:
            raise ValueError(
                f"{argument} holds a 0-dimensional tensor: the first dimension must be the sample"
            )
    sizes = sorted({len(leaf) for leaf in leaves})
    if len(sizes) > 1:
        raise ValueError(
            f"{argument} must hold tensors of one length, but their first dimensions are "
            f"{[len(leaf) for leaf in leaves]}"
        )
    if sizes[0] == 0:
        raise ValueError(f"{argument} is empty: it has 0 samples")
    return Tensors(tree_map(lambda leaf: _as_tensor(argument, leaf), data), sizes[0])


def _as_tensor(argument: str, leaf: torch.Tensor | np.ndarray) -> torch.Tensor:
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*not writable")  # nothing here writes
            return torch.as_tensor(leaf).detach()
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"{argument} holds an array of {leaf.dtype} that torch cannot read ({error}): "
            "pass numbers, for example array.astype(np.float32)"
        ) from error


def _items(argument: str, dataset: Any) -> Items:
    try:
        size = len(dataset)
    except TypeError as error:
        raise TypeError(
            f"{argument} is a Dataset without a length: give it __len__, or pass a callable "
            "(batch_size, seed) -> iterator"
        ) from error
    if size == 0:
        raise ValueError(f"{argument} is empty: the Dataset has length 0")
    return Items(dataset, torch.arange(size), argument)


def hold_out(source: Tensors | Items, fraction: float) -> tuple[Source, Source]:
    """The training data without a random part of it, and that part: the same for every seed of a task."""
    held = max(1, round(source.size * fraction))
    generator = torch.Generator().manual_seed(derived_seed(SPLIT, source.size) % 2**63)
    order = torch.randperm(source.size, generator=generator)
    return source.subset(order[held:].sort().values), source.subset(order[:held].sort().values)


def batches(source: Source, batch_size: int, seed: int) -> Iterator[Batch]:
    """Endless batches: a fresh order every epoch, the last partial batch kept."""
    if isinstance(source, Stream):
        yield from source.batches(batch_size, ORDER, seed)
        return
    if batch_size >= source.size and isinstance(source, Tensors):
        while True:
            yield source.all()
    for epoch in itertools.count():
        generator = torch.Generator().manual_seed(derived_seed(ORDER, seed, epoch) % 2**63)
        order = torch.randperm(source.size, generator=generator)
        if isinstance(source, Tensors):
            order = order.to(device_of(source.tree))
        for start in range(0, source.size, batch_size):
            yield source.take(order[start : start + batch_size])


def evaluation_batches(
    source: Source, batch_size: int, seed: int, *, stream_batches: int
) -> list[tuple[Batch, int]]:
    """The held-out data as a fixed list of (batch, samples), read once.

    A stream gives `stream_batches` batches, drawn with a seed that training never uses.
    """
    if isinstance(source, Stream):
        fresh = itertools.islice(source.batches(batch_size, FRESH, seed), stream_batches)
        return [(batch, samples_in(batch)) for batch in fresh]
    chunks = math.ceil(source.size / batch_size)
    indices = torch.arange(source.size).tensor_split(chunks)
    if isinstance(source, Tensors):
        device = device_of(source.tree)
        return [(source.take(index.to(device)), len(index)) for index in indices]
    return [(source.take(index), len(index)) for index in indices]


def first_batch(source: Source, batch_size: int) -> Batch:
    """A batch for a trial, without side effects on the global generators."""
    with isolated_rng(0):
        if isinstance(source, Stream):
            return next(source.batches(batch_size, FRESH, 0))
        return source.take(torch.arange(min(batch_size, source.size)))


def move(batch: Batch, device: torch.device) -> Batch:
    return tree_map(lambda leaf: leaf.to(device) if isinstance(leaf, torch.Tensor) else leaf, batch)


def device_of(tree: Batch) -> torch.device:
    device: torch.device = tree_flatten(tree)[0][0].device
    return device


def samples_in(batch: Batch) -> int:
    """The first dimension of the first tensor or array in a batch, or what it says itself."""
    if isinstance(batch, Gathered):
        return batch.samples
    for leaf in tree_flatten(batch)[0]:
        shape: tuple[int, ...] = getattr(leaf, "shape", ())
        if len(shape) > 0:
            return int(shape[0])
    return 1
