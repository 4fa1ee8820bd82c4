"""The two nets that the engine is measured on, and the ordinary loops that it is measured against.

The reference net is 784-64-16-10 (Linear, sigmoid, Linear, tanh, Linear); the small CNN has two convolutions
of 8 and 16 channels, each with ReLU and pooling, and a Linear. Cross-entropy and plain SGD for both.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

WIDTHS = (784, 64, 16, 10)
LR = 0.1

MakeNet = Callable[[], nn.Module]


def reference_net(hidden: int = WIDTHS[1]) -> nn.Module:
    """The textbook's net, with as many sigmoid units as wanted."""
    return nn.Sequential(
        nn.Linear(784, hidden), nn.Sigmoid(), nn.Linear(hidden, 16), nn.Tanh(), nn.Linear(16, 10)
    )


def small_cnn() -> nn.Module:
    """For images (B, 1, 28, 28); 5,258 weights."""
    return nn.Sequential(
        nn.Conv2d(1, 8, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(400, 10),
    )


class Slices:
    """Shuffled batches of one epoch, sliced by index from tensors in memory; the last one may be smaller."""

    def __init__(self, x: Tensor, y: Tensor, batch_size: int) -> None:
        self._x, self._y, self._batch_size = x, y, batch_size

    def __len__(self) -> int:
        return -(-len(self._x) // self._batch_size)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for index in torch.randperm(len(self._x)).split(self._batch_size):
            yield self._x[index], self._y[index]


def loader(x: Tensor, y: Tensor, batch_size: int) -> DataLoader[tuple[Tensor, ...]]:
    """A shuffling `DataLoader` without workers, which would cost more than they save on data in memory."""
    return DataLoader(TensorDataset(x, y), batch_size=batch_size, shuffle=True)


def plain_loop(make: MakeNet, x: Tensor, y: Tensor, *, batch_size: int, updates: int) -> nn.Module:
    """The shortest honest loop: one model, batches sliced by index from tensors in memory."""
    return _loop(make(), Slices(x, y, batch_size), updates)


def loader_loop(make: MakeNet, x: Tensor, y: Tensor, *, batch_size: int, updates: int) -> nn.Module:
    """The loop of most tutorials: the same, fed by a `DataLoader`."""
    return _loop(make(), loader(x, y, batch_size), updates)


def _loop(net: nn.Module, epoch: Iterable[Iterable[Tensor]], updates: int) -> nn.Module:
    optimizer = torch.optim.SGD(net.parameters(), lr=LR)
    loss = nn.CrossEntropyLoss()
    epochs = itertools.chain.from_iterable(itertools.repeat(epoch))
    for inputs, labels in itertools.islice(epochs, updates):
        optimizer.zero_grad()
        loss(net(inputs), labels).backward()
        optimizer.step()
    return net
