"""The rivals do the work that they are timed for, and the floor does no less and no more than its part."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.clock import Speed, race
from benchmarks.rivals import LR, WIDTHS, Floor, loader_loop, plain_loop, reference_net


def data(samples: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.rand(samples, WIDTHS[0], generator=generator), torch.arange(samples) % WIDTHS[-1]


@pytest.mark.parametrize("loop", [plain_loop, loader_loop])
def test_loops_train_over_the_end_of_an_epoch(loop: object) -> None:
    x, y = data(30)
    torch.manual_seed(5)
    start = reference_net()
    torch.manual_seed(5)
    trained = loop(x, y, batch_size=30, updates=3)  # type: ignore[operator]

    optimizer = torch.optim.SGD(start.parameters(), lr=LR)
    for _ in range(3):
        optimizer.zero_grad()
        nn.functional.cross_entropy(start(x), y).backward()
        optimizer.step()
    for ours, theirs in zip(start.parameters(), trained.parameters(), strict=True):
        torch.testing.assert_close(theirs, ours)


@pytest.mark.parametrize("arrangement", ["each", "batched", "shared"])
def test_the_floor_counts_the_operations_of_training(arrangement: str) -> None:
    members, batch_size = 3, 8
    x, y = data(batch_size)
    net = reference_net()
    with FlopCounterMode(display=False) as training:
        nn.functional.cross_entropy(net(x), y).backward()
    floor = Floor(batch_size=batch_size, members=members)
    with FlopCounterMode(display=False) as products:
        getattr(floor, arrangement)()
    assert products.get_total_flops() == members * training.get_total_flops() > 0


def test_two_arrangements_of_the_floor_compute_the_same_numbers() -> None:
    one, other = (Floor(batch_size=4, members=2) for _ in range(2))
    one.each()
    other.batched()
    for name in ("outputs", "weight_gradients", "input_gradients"):
        for left, right in zip(getattr(one, name), getattr(other, name), strict=True):
            torch.testing.assert_close(left, right, rtol=1e-4, atol=1e-3)


def test_rivals_take_turns_after_one_unmeasured_round() -> None:
    calls: list[str] = []
    speeds = race({name: (lambda name=name: calls.append(name), 10) for name in "ab"}, repeats=2)  # type: ignore[misc]
    assert calls == ["a", "b"] * 3
    assert all(len(speed.per_second) == 2 and min(speed.per_second) > 0 for speed in speeds.values())


def test_a_ratio_is_taken_repeat_by_repeat() -> None:
    ratio = Speed((10.0, 5.0, 30.0)).over(Speed((5.0, 2.5, 10.0)))
    assert ratio.per_second == (2.0, 2.0, 3.0)
    assert ratio.median == 2.0
    assert ratio.spread == 0.25
