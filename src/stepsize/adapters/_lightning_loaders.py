"""The loaders of a Lightning Trainer, read pass after pass without disturbing them."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils._pytree import tree_map
from torch.utils.data import DataLoader

from stepsize.adapters._updates import Updates
from stepsize.data import Batch
from stepsize.loaders import Replay, untouched


@dataclass(frozen=True)
class Loaders:
    """The loaders that a Trainer has made ready, each read without disturbing it."""

    combined: Any
    limits: list[float]

    @classmethod
    def of(cls, combined: Any, limits: list[float]) -> Loaders:
        """Those of a loop, with the most batches of each.

        Raises:
            TypeError: one of them is an iterator, which has no start to return to.
        """
        for loader in combined.flattened:
            if isinstance(loader, Iterator) and not isinstance(loader, Replay):
                raise TypeError(
                    f"a loader is a {type(loader).__name__}, which cannot be taken back to where it is: "
                    "train on replay = ss.Replay(batches) in its place"
                )
        return cls(combined, limits)

    @property
    def state(self) -> list[Any]:
        """The generators that orders are drawn from, beside those of the first loader."""
        parts = [(one, getattr(one, "sampler", None)) for one in self.combined.flattened[1:]]
        drawn = [getattr(part, "generator", None) for pair in parts for part in pair]
        return [generator for generator in drawn if isinstance(generator, torch.Generator)]

    def updates(self, per_update: int) -> Updates:
        """All of them together, as the training loop reads them."""
        return Updates(self._pass, per_update, like=self.combined.flattened[0])

    def _pass(self) -> Iterator[Batch]:
        together = copy.copy(self.combined)
        together.flattened = [_twin(loader) for loader in self.combined.flattened]
        together.limits = self.limits
        return (batch for batch, _, _ in iter(together))

    def first(self) -> Updates:
        """The first of them alone, batch by batch."""
        loader, limit = self.combined.flattened[0], self.limits[0]

        def open_pass() -> Iterator[Batch]:
            for place, batch in enumerate(_twin(loader)):
                if place >= limit:
                    return
                yield batch

        return Updates(open_pass, 1, like=loader)


@dataclass(frozen=True)
class Ahead:
    """A loader of what a `Replay` will give; a data fetcher takes the first batch as soon as it is made."""

    replay: Replay

    def __iter__(self) -> Iterator[Batch]:
        return self.replay.ahead()


def read_ahead(loaders: Any) -> Any:
    """The same loader, or collection of loaders, that a fit does not move on."""
    return tree_map(lambda one: Ahead(one) if isinstance(one, Replay) else one, loaders)


def _twin(loader: Any) -> Any:
    if isinstance(loader, Replay):
        return loader.ahead()
    return untouched(loader) if isinstance(loader, DataLoader) else loader
