"""The batches of a stack's members: one for all of them, or, where their seeds differ, each its own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch.utils._pytree import tree_flatten, tree_unflatten

from stepsize.data import Batch
from stepsize.task import Task


class Feed:
    """Draws the next batch for all members at once.

    `seeds` holds the seed of each member. Members of one seed see the same batches, so a stack of one seed
    gets them as they are; otherwise the batches get the members as a first axis.
    """

    def __init__(self, task: Task, seeds: Sequence[int]) -> None:
        self.seeds = tuple(seeds)
        self._sources: dict[int, Iterator[Batch]] = {seed: task.batches(seed) for seed in self.distinct}

    @property
    def distinct(self) -> tuple[int, ...]:
        """The seeds, each once, in the order of their first members."""
        return tuple(dict.fromkeys(self.seeds))

    @property
    def shared(self) -> bool:
        """Whether all members see the same batches."""
        return len(self._sources) == 1

    def draw(self) -> dict[int, Batch]:
        """The next batch of every seed."""
        return {seed: next(source) for seed, source in self._sources.items()}

    def laid_out(self, drawn: dict[int, Batch]) -> Batch:
        """What `draw` gave, as the stack's update takes it.

        Raises `ValueError` when batches of different seeds cannot be laid side by side.
        """
        if self.shared:
            return drawn[self.seeds[0]]
        flat = {seed: tree_flatten(batch) for seed, batch in drawn.items()}
        first, layout = flat[self.seeds[0]]
        if any(spec != layout for _, spec in flat.values()):
            raise ValueError("batches of different seeds have different structures")
        leaves = []
        for i, leaf in enumerate(first):
            column = {seed: values[i] for seed, (values, _) in flat.items()}
            if not all(
                isinstance(part, torch.Tensor) and part.shape == leaf.shape for part in column.values()
            ):
                raise ValueError(
                    "batches of different seeds have different shapes, or hold more than tensors"
                )
            leaves.append(torch.stack([column[seed] for seed in self.seeds]))
        return tree_unflatten(leaves, layout)

    def keep(self, places: Sequence[int]) -> None:
        """Go on with the members in these places; a seed without members is read no more."""
        self.seeds = tuple(self.seeds[place] for place in places)
        self._sources = {seed: self._sources[seed] for seed in self.distinct}
