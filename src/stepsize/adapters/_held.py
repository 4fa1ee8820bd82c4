"""What a trainer's objects hold, put back as it was."""

from __future__ import annotations

import random
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterator
from enum import Enum
from typing import Any

import numpy as np
import torch
from torch import nn

from stepsize.training.state import Restorable, Restore, Snapshot


class Held(Restorable):
    """Attributes and containers of objects that belong to a trainer, and of a module's own.

    From the `roots` on, attributes lead to further objects of classes defined in `packages`, and to what is
    in the lists, dicts, sets and queues that they hold. Attributes and containers come back with the same
    objects in them, and random generators with the same state. What objects of other packages hold is their
    own affair, but for `nn.Module`s among the roots: theirs is kept whatever their class. The tensors of
    modules that `counts` accepts, metrics that add up in place, are copied.

    Args:
        roots: where to begin.
        packages: names of packages whose objects are followed.
        beside: classes that are not followed.
        counts: whether a module's attributes hold tensors that change in place.
    """

    def __init__(
        self,
        *roots: Any,
        packages: tuple[str, ...],
        beside: tuple[type, ...] = (),
        counts: Callable[[nn.Module], bool] = lambda module: False,
    ) -> None:
        self._roots, self._packages, self._beside, self._counts = roots, packages, beside, counts

    def snapshot(self) -> Restore:
        """What puts every attribute and container back to what it is now."""
        owners, containers, tensors, generators = [], [], [], []
        for item in self._found():
            if isinstance(item, _CONTAINERS):
                containers.append((item, list(item.items()) if isinstance(item, dict) else list(item)))
            if hasattr(item, "__dict__"):
                owners.append((item, dict(vars(item))))
                generators += [value for value in vars(item).values() if isinstance(value, _GENERATORS)]
            if isinstance(item, nn.Module) and self._counts(item):
                held = [value for value in vars(item).values() if isinstance(value, torch.Tensor)]
                tensors += [(tensor, tensor.detach().clone()) for tensor in held]
        drawn = Snapshot(*generators)

        def restore() -> None:
            for owner, values in owners:
                vars(owner).clear()
                vars(owner).update(values)
            for container, content in containers:
                container.clear()
                container.extend(content) if isinstance(container, _ORDERED) else container.update(content)
            with torch.no_grad():
                for tensor, saved in tensors:
                    tensor.copy_(saved)
            drawn.restore()

        return restore

    def _found(self) -> Iterator[Any]:
        """Every object once, and the containers that are attributes of them."""
        left: list[Any] = []
        for root in self._roots:
            left += root.modules() if isinstance(root, nn.Module) else [root]
        seen = set(map(id, left))
        while left:
            item = left.pop()
            yield item
            for value in _inside(item):
                attribute = hasattr(item, "__dict__") and type(value) in _PLAIN
                if id(value) not in seen and (attribute or self._follows(value)):
                    seen.add(id(value))
                    left.append(value)

    def _follows(self, value: Any) -> bool:
        package = type(value).__module__.partition(".")[0]
        return (
            package in self._packages
            and not isinstance(value, (Enum, *self._beside))
            and (not isinstance(value, nn.Module) or self._counts(value))
        )


_GENERATORS = (torch.Generator, np.random.Generator, random.Random)
_ORDERED = (list, deque)
_CONTAINERS = (*_ORDERED, dict, set)
_PLAIN = {list, deque, dict, OrderedDict, defaultdict, set}


def _inside(item: Any) -> list[Any]:
    found = list(vars(item).values()) if hasattr(item, "__dict__") else []
    if isinstance(item, dict):
        return [*found, *item.values()]
    return [*found, *item] if isinstance(item, _CONTAINERS) else found
