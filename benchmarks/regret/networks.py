"""The networks of the tasks: small, and each of another kind."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn


def cnn() -> nn.Module:
    """Two convolutions with pooling, for (n, 1, 14, 14)."""
    return nn.Sequential(
        nn.Conv2d(1, 8, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(64, 10),
    )


def normalised_cnn() -> nn.Module:
    """The same with BatchNorm after each convolution and dropout before the last layer."""
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 3, bias=False),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Dropout(0.3),
        nn.Linear(64, 10),
    )


class _Block(nn.Module):
    """x + W₂ relu(W₁ norm(x))."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.change = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width)
        )

    def forward(self, x: Tensor) -> Tensor:
        changed: Tensor = self.change(x)
        return x + changed


def residual_mlp() -> nn.Module:
    """64 features, four residual blocks of width 48, ten classes."""
    return nn.Sequential(nn.Linear(64, 48), *[_Block(48) for _ in range(4)], nn.Linear(48, 10))


def autoencoder() -> nn.Module:
    """196-64-16-64-196."""
    return mlp(196, 64, 16, 64, 196)


def mlp(*widths: int) -> nn.Module:
    """Linear layers with ReLU between them."""
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        layers += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def deep_plain() -> nn.Module:
    """Eight layers without a shortcut or normalisation, He's starting weights."""
    net = mlp(196, *[40] * 7, 10)
    for layer in net.children():
        if isinstance(layer, nn.Linear):
            nn.init.kaiming_normal_(layer.weight)
            nn.init.zeros_(layer.bias)
    return net


class Transformer(nn.Module):
    """One causal layer over characters, norm first: (n, L) codes to (n, vocabulary, L) scores."""

    def __init__(self, vocabulary: int, window: int, width: int = 32) -> None:
        super().__init__()
        self.token = nn.Embedding(vocabulary, width)
        self.place = nn.Parameter(0.02 * torch.randn(window, width))
        self.norms = nn.ModuleList([nn.LayerNorm(width) for _ in range(3)])
        self.mix = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        self.think = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
        self.score = nn.Linear(width, vocabulary)

    def forward(self, codes: Tensor) -> Tensor:
        x = self.token(codes) + self.place
        q, k, v = (
            part.unflatten(-1, (2, -1)).transpose(1, 2)
            for part in self.mix(self.norms[0](x)).chunk(3, dim=-1)
        )
        attended = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(attended.transpose(1, 2).flatten(2))
        x = x + self.think(self.norms[1](x))
        scores: Tensor = self.score(self.norms[2](x)).transpose(1, 2)
        return scores


class Recurrent(nn.Module):
    """A GRU over characters: (n, L) codes to (n, vocabulary, L) scores."""

    def __init__(self, vocabulary: int, width: int = 40) -> None:
        super().__init__()
        self.token = nn.Embedding(vocabulary, 24)
        self.memory = nn.GRU(24, width, batch_first=True)
        self.score = nn.Linear(width, vocabulary)

    def forward(self, codes: Tensor) -> Tensor:
        scores: Tensor = self.score(self.memory(self.token(codes))[0]).transpose(1, 2)
        return scores


def bag(buckets: int, classes: int) -> nn.Module:
    """The mean of the embeddings of a line's pieces, then a linear layer."""
    return nn.Sequential(nn.EmbeddingBag(buckets, 32, mode="mean"), nn.Linear(32, classes))


class Convolutions1d(nn.Module):
    """Two convolutions along a line of characters, the largest answer of each, eight classes."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.token = nn.Embedding(128, 16)
        self.look = nn.Sequential(
            nn.Conv1d(16, 32, 5, padding=2),
            nn.ReLU(),
            nn.MaxPool1d(2),
            nn.Conv1d(32, 32, 3, padding=1),
            nn.ReLU(),
        )
        self.score = nn.Linear(32, classes)

    def forward(self, codes: Tensor) -> Tensor:
        found = self.look(self.token(codes).transpose(1, 2))
        scores: Tensor = self.score(found.amax(dim=2))
        return scores
