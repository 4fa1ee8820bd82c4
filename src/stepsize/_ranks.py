"""The ranks of torch.distributed that measure together, or the one process that there is."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.distributed as dist


class Group:
    """The ranks that measure together; a single process without torch.distributed."""

    def __init__(self) -> None:
        self._distributed = dist.is_available() and dist.is_initialized()
        self.size = dist.get_world_size() if self._distributed else 1
        self.rank = dist.get_rank() if self._distributed else 0

    def sum(self, tensor: torch.Tensor) -> torch.Tensor:
        """Over all ranks."""
        if self._distributed:
            dist.all_reduce(tensor)
        return tensor

    def total(self, count: int) -> int:
        """A whole number, added up over all ranks."""
        return int(self.sum(torch.tensor(count)))

    def least(self, count: int) -> int:
        """The smallest of all ranks' numbers."""
        return int(self.gathered(np.array([count])).min())

    def first(self, value: Any) -> Any:
        """What rank 0 has: whatever depends on a clock is decided there."""
        found = [value]
        if self._distributed:
            dist.broadcast_object_list(found)
        return found[0]

    def gathered(self, array: np.ndarray) -> np.ndarray:
        """All ranks' rows, one rank after another."""
        if not self._distributed:
            return array
        parts: list[Any] = [None] * self.size
        dist.all_gather_object(parts, array)
        return np.concatenate(parts)
