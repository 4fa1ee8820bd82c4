"""What the engine is measured against, on the reference net: two ordinary training loops, and the floor.

The net is 784-64-16-10 (Linear, sigmoid, Linear, tanh, Linear), cross-entropy, plain SGD.
"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

WIDTHS = (784, 64, 16, 10)
LR = 0.1


def reference_net() -> nn.Module:
    return nn.Sequential(nn.Linear(784, 64), nn.Sigmoid(), nn.Linear(64, 16), nn.Tanh(), nn.Linear(16, 10))


def plain_loop(x: Tensor, y: Tensor, *, batch_size: int, updates: int) -> nn.Module:
    """The shortest honest loop: one model, batches sliced by index from tensors in memory."""
    net = reference_net()
    optimizer = torch.optim.SGD(net.parameters(), lr=LR)
    loss = nn.CrossEntropyLoss()
    done = 0
    while done < updates:
        for index in torch.randperm(len(x)).split(batch_size):
            if done == updates:
                break
            optimizer.zero_grad()
            loss(net(x[index]), y[index]).backward()
            optimizer.step()
            done += 1
    return net


def loader_loop(x: Tensor, y: Tensor, *, batch_size: int, updates: int) -> nn.Module:
    """The loop of most tutorials: the same, fed by a shuffling `DataLoader`."""
    net = reference_net()
    optimizer = torch.optim.SGD(net.parameters(), lr=LR)
    loss = nn.CrossEntropyLoss()
    loader = DataLoader(TensorDataset(x, y), batch_size=batch_size, shuffle=True)
    done = 0
    while done < updates:
        for inputs, labels in loader:
            if done == updates:
                break
            optimizer.zero_grad()
            loss(net(inputs), labels).backward()
            optimizer.step()
            done += 1
    return net


class Floor:
    """The matrix products of one update of K members, and nothing else: no loss, no bias, no rate.

    For a layer with inputs h (B, in), weights W (in, out) and output gradients g (B, out) these are h W,
    hᵀ g and g Wᵀ; the last is left out for the first layer, as autograd leaves it out. Everything is
    allocated beforehand. Three arrangements of the same products: `each` multiplies member by member,
    `batched` in one `bmm` a layer, and `shared` uses that all members see one batch, so that the first
    layer is one wide product.
    """

    def __init__(self, *, batch_size: int, members: int) -> None:
        self.members = members
        generator = torch.Generator().manual_seed(0)

        def normal(*shape: int) -> Tensor:
            return torch.randn(shape, generator=generator)

        shapes = list(itertools.pairwise(WIDTHS))
        self.batch = normal(batch_size, WIDTHS[0])
        self.inputs = [self.batch.expand(members, -1, -1)]
        self.inputs += [normal(members, batch_size, width) for width in WIDTHS[1:-1]]
        self.weights = [normal(members, *shape) for shape in shapes]
        self.outputs = [normal(members, batch_size, width) for width in WIDTHS[1:]]
        self.weight_gradients = [normal(members, *shape) for shape in shapes]
        self.input_gradients = [normal(members, batch_size, width) for width in WIDTHS[1:-1]]
        self.wide_weights = normal(WIDTHS[0], members * WIDTHS[1])
        self.wide_outputs = normal(batch_size, members * WIDTHS[1])
        self.wide_gradients = normal(WIDTHS[0], members * WIDTHS[1])

    def each(self) -> None:
        for k in range(self.members):
            for layer, weight in enumerate(self.weights):
                h, g = self.inputs[layer][k], self.outputs[layer][k]
                torch.mm(h, weight[k], out=g)
                torch.mm(h.T, g, out=self.weight_gradients[layer][k])
                if layer:
                    torch.mm(g, weight[k].T, out=self.input_gradients[layer - 1][k])

    def batched(self) -> None:
        for layer in range(len(self.weights)):
            self._layer(layer)

    def shared(self) -> None:
        torch.mm(self.batch, self.wide_weights, out=self.wide_outputs)
        torch.mm(self.batch.T, self.wide_outputs, out=self.wide_gradients)
        for layer in range(1, len(self.weights)):
            self._layer(layer)

    def _layer(self, layer: int) -> None:
        h, weight, g = self.inputs[layer], self.weights[layer], self.outputs[layer]
        torch.bmm(h, weight, out=g)
        torch.bmm(h.mT, g, out=self.weight_gradients[layer])
        if layer:
            torch.bmm(g, weight.mT, out=self.input_gradients[layer - 1])
