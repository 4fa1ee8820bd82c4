"""What is held by a trainer's objects comes back, however deep it was changed."""

from __future__ import annotations

import random
from collections import deque
from typing import Any

import numpy as np
import torch
from torch import nn

from stepsize.adapters._held import Held


class Part:
    def __init__(self, **content: Any) -> None:
        vars(self).update(content)


class Sum(nn.Module):
    """A metric that adds up in place, in a tensor that is neither weight nor buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.total = torch.zeros(2)


PACKAGE = Part.__module__.partition(".")[0]


def test_attributes_containers_generators_and_metrics_come_back() -> None:
    inner: Any = Part(count=1, order=[1, 2], seen={1}, last=deque([5]), names={"a": [1]})
    outer: Any = Part(inner=inner, parts=[Part(value=1)], by_name={"x": Part(value=2)}, itself=None)
    outer.itself = outer
    module: Any = nn.Sequential(Sum())
    module.losses, module.noise = [1.0], torch.Generator().manual_seed(1)
    drawn = [torch.Generator().manual_seed(1), np.random.default_rng(1), random.Random(1)]
    outer.torch, outer.numpy, outer.python = drawn
    held = Held(outer, module, packages=(PACKAGE,), counts=lambda part: isinstance(part, Sum))
    restore = held.snapshot()
    first = [torch.rand(1, generator=outer.torch), outer.numpy.random(), outer.python.random()]
    for _ in range(2):
        inner.count, inner.new = 7, "x"
        inner.order.append(3)
        inner.seen.add(2)
        inner.last.clear()
        inner.names["b"] = [2]
        outer.parts[0].value, outer.by_name["x"].value = 8, 9
        outer.parts.append(Part())
        module.losses.append(2.0)
        module[0].total += 1
        module[0]._forward_hooks[7] = print
        restore()
        assert vars(inner) == {
            "count": 1,
            "order": [1, 2],
            "seen": {1},
            "last": deque([5]),
            "names": {"a": [1]},
        }
        assert [part.value for part in (*outer.parts, outer.by_name["x"])] == [1, 2]
        assert module.losses == [1.0]
        assert module[0].total.tolist() == [0.0, 0.0]
        assert not module[0]._forward_hooks
        again = [torch.rand(1, generator=outer.torch), outer.numpy.random(), outer.python.random()]
        assert again == first


def test_objects_of_other_packages_and_those_left_aside_are_not_followed() -> None:
    class Logger(Part):
        pass

    outer: Any = Part(logger=Logger(lines=1), fraction=np.random.default_rng())
    restore = Held(outer, packages=(PACKAGE,), beside=(Logger,)).snapshot()
    outer.logger.lines = 2
    restore()
    assert outer.logger.lines == 2
