"""The rivals do the work that they are timed for, and the floor does no less and no more than its part."""

from __future__ import annotations

import itertools
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import rivals_jax, rivals_lightning
from benchmarks.engine import CNN, DENSE, Net
from benchmarks.rivals import LR, Slices, loader_loop, plain_loop
from benchmarks.rivals_floor import DenseFloor

NETS = pytest.mark.parametrize("net", [DENSE, CNN], ids=lambda net: net.name)


def data(net: Net, samples: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.rand(samples, *net.shape, generator=generator), torch.arange(samples) % 10


@NETS
@pytest.mark.parametrize("loop", [plain_loop, loader_loop])
def test_loops_train_over_the_end_of_an_epoch(loop: object, net: Net) -> None:
    x, y = data(net, 30)
    torch.manual_seed(5)
    start = net.make()
    torch.manual_seed(5)
    trained = loop(net.make, x, y, batch_size=30, updates=3)  # type: ignore[operator]

    optimizer = torch.optim.SGD(start.parameters(), lr=LR)
    for _ in range(3):
        optimizer.zero_grad()
        nn.functional.cross_entropy(start(x), y).backward()
        optimizer.step()
    for ours, theirs in zip(start.parameters(), trained.parameters(), strict=True):
        torch.testing.assert_close(theirs, ours)


def test_slices_cover_an_epoch_in_a_new_order_each_time() -> None:
    slices = Slices(torch.arange(10.0), torch.arange(10), batch_size=4)
    torch.manual_seed(0)
    first, second = list(slices), list(slices)
    assert len(slices) == 3
    assert [len(labels) for _, labels in first] == [4, 4, 2]
    assert sorted(torch.cat([x for x, _ in first]).tolist()) == list(range(10))
    assert all(x.tolist() == labels.tolist() for x, labels in first)
    assert torch.cat([x for x, _ in first]).tolist() != torch.cat([x for x, _ in second]).tolist()


@NETS
def test_jax_trains_the_same_net(net: Net) -> None:
    x, y = data(net, 24)
    torch.manual_seed(2)
    start = net.make()
    scan = rivals_jax.Scan(net.forward, start, x, y, batch_size=8, members=2, updates=5)
    assert scan.compile() > 0
    assert scan.run() > 0
    order = np.random.default_rng(0).permuted(np.tile(np.arange(24), (5, 1)), axis=1)[:, :8]
    weights, losses = scan.trained(order)

    expected = []
    optimizer = torch.optim.SGD(start.parameters(), lr=LR)
    for index in torch.from_numpy(order):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(start(x[index]), y[index])
        loss.backward()
        optimizer.step()
        expected.append(loss.item())
    assert losses.shape == (5, 2)
    for member in range(2):
        np.testing.assert_allclose(losses[:, member], expected, rtol=1e-4)
        for layer, reference in zip(weights, rivals_jax.weights_of(start), strict=True):
            for found, wanted in zip(layer, reference, strict=True):
                np.testing.assert_allclose(found[member], wanted, rtol=1e-3, atol=1e-5)


def test_lightning_trains_and_times_the_updates_after_its_warm_up(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = data(DENSE, 20)
    monkeypatch.setattr(rivals_lightning, "WARM_UP", 3)
    nets: list[nn.Module] = []
    clock = SimpleNamespace(perf_counter=partial(next, itertools.count()))  # ticks once an update
    monkeypatch.setattr(rivals_lightning, "time", clock)

    def make() -> nn.Module:
        nets.append(DENSE.make())
        return nets[-1]

    torch.manual_seed(3)
    assert rivals_lightning.steady_seconds(make, x, y, batch_size=20, updates=4) == 4

    torch.manual_seed(3)
    expected = plain_loop(DENSE.make, x, y, batch_size=20, updates=7)
    for ours, theirs in zip(expected.parameters(), nets[0].parameters(), strict=True):
        torch.testing.assert_close(theirs, ours)


@NETS
def test_the_floor_counts_the_operations_of_training(net: Net) -> None:
    members, batch_size = 3, 8
    x, y = data(net, batch_size)
    model = net.make()
    with FlopCounterMode(display=False) as training:
        nn.functional.cross_entropy(model(x), y).backward()
    for products in net.floor(batch_size=batch_size, members=members).arrangements().values():
        with FlopCounterMode(display=False) as counted:
            products()
        assert counted.get_total_flops() == members * training.get_total_flops() > 0


def test_two_arrangements_of_the_floor_compute_the_same_numbers() -> None:
    one, other = (DenseFloor(batch_size=4, members=2) for _ in range(2))
    one.arrangements()["each"]()
    other.arrangements()["batched"]()
    for left, right in zip(one.layers, other.layers, strict=True):
        for name in ("g", "weight_gradient", "input_gradient"):
            torch.testing.assert_close(getattr(left, name), getattr(right, name), rtol=1e-4, atol=1e-3)
