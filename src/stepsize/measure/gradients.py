"""Gradients of micro-batches at fixed weights: by vmap for single samples, by autograd for whole batches.

What the noise scale needs of K gradients g_k is |g_k|² and g_k · ḡ, for each layer. ḡ is known only after
all of them, and they need not fit in memory together, so every gradient is computed twice.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import nn
from torch.func import functional_call, grad, vmap
from torch.utils._pytree import tree_map

from stepsize._ranks import Group
from stepsize._rng import derived_seed, isolated_rng
from stepsize.data import Batch, Stream, samples_in
from stepsize.losses import BoundLoss
from stepsize.measure.inner_products import Gradients, InnerProduct
from stepsize.task import Task

CHUNK_BYTES = 8 * 2**20
"""Single samples' gradients held at once: what fits in a cache takes a third of the time."""

_SALT = 41


@dataclass(frozen=True)
class Layered:
    """Squared norms and products with the mean, by micro-batch and layer: (K, L) each."""

    layers: tuple[str, ...]
    squares: np.ndarray
    products: np.ndarray

    @property
    def total(self) -> tuple[np.ndarray, np.ndarray]:
        """Over all layers, (K,) each."""
        return self.squares.sum(axis=1), self.products.sum(axis=1)


class MicroBatches(Protocol):
    """Micro-batches of `size` samples each, out of `population` samples (None: it never ends)."""

    size: int
    population: int | None

    def available(self, wanted: int) -> int:
        """How many there are, `wanted` at most."""
        ...


class GradientSource(Protocol):
    """Gives the gradients of micro-batches at weights that stay as they are."""

    @property
    def samples(self) -> MicroBatches:
        """What the gradients are of."""
        ...

    def gradients(self, start: int, stop: int) -> Generator[Gradients]:
        """Of micro-batches start…stop − 1, in order, the same ones whenever they are asked for."""
        ...


class Samples:
    """Micro-batches of training samples without repetition, the same ones whenever they are asked for.

    `share` of `shares` takes every so manieth one: that is how ranks divide the data among them.
    """

    def __init__(self, task: Task, size: int, *, seed: int, share: int = 0, shares: int = 1) -> None:
        self._task, self.size, self._seed = task, size, seed
        self._share, self._shares = share, shares
        self.population = None if isinstance(task.train, Stream) else task.train.size
        if self.population is not None:
            generator = torch.Generator().manual_seed(derived_seed(_SALT, seed) % 2**63)
            self._order = torch.randperm(self.population, generator=generator)[share::shares]

    def available(self, wanted: int) -> int:
        """Whole micro-batches that there are, `wanted` at most."""
        return wanted if self.population is None else min(wanted, len(self._order) // self.size)

    def chunks(self, start: int, stop: int, each: int) -> Iterator[tuple[int, Batch]]:
        """Micro-batches start…stop − 1, up to `each` of them side by side, with the first one's number."""
        if isinstance(self._task.train, Stream):
            yield from self._streamed(start, stop)
            return
        for first in range(start, stop, each):
            last = min(first + each, stop)
            index = self._order[first * self.size : last * self.size]
            yield first, self._task.train.take(index)

    def _streamed(self, start: int, stop: int) -> Iterator[tuple[int, Batch]]:
        assert isinstance(self._task.train, Stream)
        fresh = self._task.train.batches(self.size, _SALT, self._seed, self._share)
        for number, batch in enumerate(fresh):
            if number >= stop:
                return
            if number >= start:
                if samples_in(batch) != self.size:
                    raise ValueError(
                        f"train must give batches of the {self.size} samples that it is asked for, but one "
                        f"has {samples_in(batch)}: drop the last, smaller one"
                    )
                yield number, batch


class Source:
    """Gives gradients of micro-batches at a model's present weights; a subclass says how."""

    def __init__(self, task: Task, model: nn.Module, samples: Samples) -> None:
        self._task, self._model, self.samples = task, model, samples
        self._names = [name for name, p in model.named_parameters() if p.requires_grad]

    def each(self) -> int:
        """Micro-batches that are computed side by side."""
        return 1

    def _compute(self, batch: Batch) -> Gradients:
        raise NotImplementedError

    def gradients(self, start: int, stop: int) -> Generator[Gradients]:
        """Of micro-batches start…stop − 1, in order; random numbers (dropout) depend on the number alone."""
        for first, batch in self.samples.chunks(start, stop, self.each()):
            with isolated_rng(derived_seed(_SALT, first) % 2**63), torch.enable_grad():
                yield self._compute(batch)


class PerSample(Source):
    """Each sample's own gradient, by vmap over the samples."""

    def __init__(self, task: Task, model: nn.Module, samples: Samples) -> None:
        super().__init__(task, model, samples)
        bound = BoundLoss(model, task.loss)
        self._state = {
            f"model.{k}": v.detach() for k, v in (*model.named_parameters(), *model.named_buffers())
        }
        trained = [f"model.{name}" for name in self._names]
        self._weights = {name: self._state[name] for name in trained}

        def loss(weights: dict[str, torch.Tensor], sample: Any) -> torch.Tensor:
            one = tree_map(lambda leaf: leaf.unsqueeze(0), sample)
            rest = {name: value.clone() for name, value in self._state.items() if name not in weights}
            value: torch.Tensor = functional_call(bound, weights | rest, (one,))[0]
            return value

        self._mapped: Callable[..., Any] = vmap(grad(loss), in_dims=(None, 0), randomness="different")

    def each(self) -> int:
        bytes_of_one = sum(w.numel() * w.element_size() for w in self._weights.values())
        return max(1, CHUNK_BYTES // max(1, bytes_of_one))

    def _compute(self, batch: Batch) -> Gradients:
        found = self._mapped(self._weights, batch)
        return {name: found[f"model.{name}"] for name in self._names}


class PerBatch(Source):
    """The gradient of each micro-batch as a whole, as an ordinary update takes it."""

    def _compute(self, batch: Batch) -> Gradients:
        parameters = dict(self._model.named_parameters())
        trained = [parameters[name] for name in self._names]
        loss = self._task.loss(self._model, batch)
        found = torch.autograd.grad(loss, trained, allow_unused=True)
        return {
            name: (torch.zeros_like(p) if g is None else g).unsqueeze(0)
            for name, p, g in zip(self._names, trained, found, strict=True)
        }


def layered(source: GradientSource, count: int, inner: InnerProduct, group: Group) -> Layered:
    """The squares and products of the first `count` micro-batches of every rank of a group.

    A source may give fewer gradients than it was asked for: those that there are count. Raises
    `FloatingPointError` on all ranks where the gradients of one are not finite.
    """
    squares: list[np.ndarray] = []
    sums: Gradients = {}
    layers: dict[str, list[str]] = {}
    dtypes: dict[str, torch.dtype] = {}
    with _finite_on_all(group), closing(source.gradients(0, count)) as found:
        for gradients in found:
            images = inner.image(gradients)
            layers = layers or _by_layer(images)
            dtypes = dtypes or {name: image.dtype for name, image in images.items()}
            squares.append(_dots(images, inner.dual(images), layers))
            for name, image in images.items():
                sums[name] = sums.get(name, 0) + image.sum(dim=0, keepdim=True, dtype=torch.float64)
    own = np.concatenate(squares)
    total = group.total(len(own))
    mean = {name: group.sum(added) / total for name, added in sums.items()}
    mean = inner.dual({name: m.to(dtypes[name]) for name, m in mean.items()})
    with _finite_on_all(group), closing(source.gradients(0, count)) as found:
        products = [_dots(inner.image(g), mean, layers) for g in found]
    return Layered(tuple(layers), group.gathered(own), group.gathered(np.concatenate(products)))


@contextmanager
def _finite_on_all(group: Group) -> Iterator[None]:
    """A pass over gradients; what one rank finds not finite ends it on all."""
    lost = ""
    try:
        yield
    except FloatingPointError as error:
        lost = str(error)
    if lost := max(group.all(lost)):
        raise FloatingPointError(lost)


def expected_squares(source: GradientSource, count: int, batch_size: int, group: Group) -> Gradients:
    """E g² of the gradient of a batch, element by element: ḡ² + (variance of a micro-batch's) · n / B."""
    first: Gradients = {}
    second: Gradients = {}
    own = 0
    with _finite_on_all(group), closing(source.gradients(0, count)) as found:
        for gradients in found:
            own += len(next(iter(gradients.values())))
            for name, g in gradients.items():
                first[name] = first.get(name, 0) + g.sum(dim=0)
                second[name] = second.get(name, 0) + g.square().sum(dim=0)
    total = group.total(own)
    squares = {}
    for name in first:
        mean, square = group.sum(first[name]) / total, group.sum(second[name]) / total
        squares[name] = mean**2 + (square - mean**2).clamp(min=0) * min(1.0, source.samples.size / batch_size)
    return squares


def _by_layer(gradients: Gradients) -> dict[str, list[str]]:
    """The parameters of each module, by its name."""
    layers: dict[str, list[str]] = {}
    for name in gradients:
        layers.setdefault(name.rpartition(".")[0] or name, []).append(name)
    return layers


def _dots(left: Gradients, right: Gradients, layers: dict[str, list[str]]) -> np.ndarray:
    """Inner products, added up in float64, (k, L); `right` has the same leading dimension or 1."""
    columns = [sum(_added_up(left[name] * right[name]) for name in names) for names in layers.values()]
    stacked = torch.stack([torch.as_tensor(column) for column in columns], dim=1)
    return np.asarray(stacked.cpu().numpy())


def _added_up(products: torch.Tensor) -> torch.Tensor:
    """(k, …) to (k,); those of a parameter that is a single number are that already."""
    return products.reshape(len(products), -1).sum(dim=1, dtype=torch.float64)
