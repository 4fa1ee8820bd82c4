"""Real data without a download: MNIST from the package, tables from scikit-learn, texts from Python itself.

Every function returns (train, held out), each a pair of tensors (inputs, targets); the split is always the
same.
"""

from __future__ import annotations

import importlib
import inspect
import zlib
from collections import Counter
from functools import cache

import numpy as np
import torch
from torch import Tensor

from stepsize.datasets import mnist

Pair = tuple[Tensor, Tensor]
Parts = tuple[Pair, Pair]

MODULES = ("argparse", "difflib", "inspect", "subprocess", "statistics", "tarfile", "turtle", "typing")
"""Modules whose lines of source are told apart: long ones that every supported Python ships as source."""

LINE = 48
"""Characters of a line of source that are looked at."""


@cache
def digits14(samples: int, *, flat: bool = False, only: tuple[int, ...] = tuple(range(10))) -> Parts:
    """MNIST at 14 x 14 in [0, 1]: the first `samples` training images of the digits `only`, 1,000 held out.

    Images are (n, 1, 14, 14), or flat (n, 196); labels count from 0 in the order of `only`.
    """
    data = mnist(raw=True)

    def part(images: np.ndarray, labels: np.ndarray, count: int) -> Pair:
        chosen = np.flatnonzero(np.isin(labels, only))[:count]
        pooled = images[chosen].reshape(-1, 14, 2, 14, 2).mean(axis=(2, 4), dtype=np.float32) / 255
        pixels = torch.from_numpy(np.ascontiguousarray(pooled, dtype=np.float32))
        order = {label: place for place, label in enumerate(only)}
        targets = torch.tensor([order[int(label)] for label in labels[chosen]])
        return (pixels.flatten(1) if flat else pixels.unsqueeze(1)), targets

    return part(*data.train, samples), part(*data.validation, 1000)


@cache
def digits28(samples: int) -> Parts:
    """MNIST as the textbook uses it: (n, 28, 28) in [0, 1], 2,000 held out."""
    data = mnist(raw=True)

    def part(images: np.ndarray, labels: np.ndarray, count: int) -> Pair:
        return torch.from_numpy(images[:count]).float() / 255, torch.from_numpy(labels[:count])

    return part(*data.train, samples), part(*data.validation, 2000)


def tables(name: str, held_out: int) -> Parts:
    """A table that scikit-learn ships: "digits", "wine", "breast_cancer" (classes), "diabetes" (a number).

    Features, and a number to predict, are standardised with the training rows' mean and spread.
    """
    from sklearn import datasets

    features, targets = getattr(datasets, f"load_{name}")(return_X_y=True)
    x = torch.from_numpy(np.asarray(features, dtype=np.float32))
    y = torch.from_numpy(np.asarray(targets, dtype=np.float32 if name == "diabetes" else np.int64))
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(1))
    train, held = order[:-held_out], order[-held_out:]
    x = _standardised(x, train)
    if name == "diabetes":
        y = _standardised(y[:, None], train)
    return (x[train], y[train]), (x[held], y[held])


def _standardised(values: Tensor, train: Tensor) -> Tensor:
    spread = values[train].std(dim=0)
    return (values - values[train].mean(dim=0)) / torch.where(spread > 0, spread, 1.0)


def prose(window: int, *, samples: int, vocabulary: int = 64) -> Parts:
    """Windows of the texts that `help()` prints: characters (n, window) and the ones that follow them.

    All but the `vocabulary` − 1 most frequent characters count as one. The first 90% are trained on, 300
    windows of the rest held out.
    """
    topics: dict[str, str] = importlib.import_module("pydoc_data.topics").topics
    text = "\n".join(topics[name] for name in sorted(topics))
    frequent = [character for character, _ in Counter(text).most_common(vocabulary - 1)]
    places = {character: place for place, character in enumerate(sorted(frequent), start=1)}
    codes = torch.tensor([places.get(character, 0) for character in text])
    cut = len(codes) * 9 // 10

    def windows(part: Tensor, count: int) -> Pair:
        starts = torch.linspace(0, len(part) - window - 1, count).long()
        index = starts[:, None] + torch.arange(window)
        return part[index], part[index + 1]

    return windows(codes[:cut], samples), windows(codes[cut:], 300)


@cache
def _lines() -> list[tuple[str, int]]:
    """Distinct lines of source with the number of the module they are from, 400 of each, shuffled."""
    found = []
    for label, name in enumerate(MODULES):
        source = inspect.getsource(importlib.import_module(name))
        lines = {line.strip() for line in source.splitlines()}
        found += [(line, label) for line in sorted(lines) if len(line) >= 12][:400]
    order = np.random.default_rng(2).permutation(len(found))
    return [found[place] for place in order]


def source_characters() -> Parts:
    """Lines of Python's own sources as character codes (n, 48), and the module that each is from."""
    lines = _lines()
    codes = torch.zeros(len(lines), LINE, dtype=torch.int64)
    for row, (line, _) in enumerate(lines):
        kept = [min(ord(character), 127) for character in line[:LINE]]
        codes[row, : len(kept)] = torch.tensor(kept)
    return _apart(codes, torch.tensor([label for _, label in lines]))


def source_words(buckets: int, *, most: int = 12) -> Parts:
    """The same lines as sparse features: up to `most` hashed pieces (n, most), 0 where there is none."""
    lines = _lines()
    codes = torch.zeros(len(lines), most, dtype=torch.int64)
    for row, (line, _) in enumerate(lines):
        pieces = "".join(c if c.isalnum() else " " for c in line).split()[:most]
        if pieces:
            hashed = [1 + zlib.crc32(piece.encode()) % (buckets - 1) for piece in pieces]
            codes[row, : len(hashed)] = torch.tensor(hashed)
    return _apart(codes, torch.tensor([label for _, label in lines]))


def _apart(x: Tensor, y: Tensor, held_out: int = 800) -> Parts:
    return (x[:-held_out], y[:-held_out]), (x[-held_out:], y[-held_out:])
