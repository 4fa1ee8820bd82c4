"""For a fixed rate, which batch size? The best one grows with the rate (Smith & Le 2018, figure 5).

    python examples/batch_for_a_rate.py           # 300 updates, two seeds
    python examples/batch_for_a_rate.py --full    # 2,000 updates, three seeds: some minutes

A net of 784-800-10 on 1,000 MNIST images, momentum 0.9: for every rate the held-out accuracy has its
best batch size, and it moves up with the rate.
"""

from __future__ import annotations

import sys
from functools import partial

import torch
from torch import nn

import stepsize as ss

full = "--full" in sys.argv
updates, seeds = (2000, 3) if full else (300, 2)
rates, sizes = (0.1, 0.4), (8, 16, 32, 64, 128, 256)


def net() -> nn.Module:
    """784-800-10 with ReLU."""
    return nn.Sequential(nn.Linear(784, 800), nn.ReLU(), nn.Linear(800, 10))


digits = ss.datasets.mnist()
train, held_out = digits.train, digits.validation
means = {}
for size in sizes:
    task = ss.Task(
        model=net,
        loss=ss.supervised(nn.CrossEntropyLoss()),
        train=(torch.from_numpy(train.images[:1000]).flatten(1), torch.from_numpy(train.labels[:1000])),
        val=(torch.from_numpy(held_out.images).flatten(1), torch.from_numpy(held_out.labels)),
        optimizer=partial(torch.optim.SGD, momentum=0.9),
        batch_size=size,
        steps=updates,
        metrics={"accuracy": ss.accuracy()},
        name="1,000 digits",
    )
    runs = ss.sweep(task, lr=rates, seeds=seeds, progress=False)
    for row in runs.summary(by="accuracy"):
        means[row.arm.lr, size] = row

for rate in rates:
    print(f"rate {rate}, {updates:,} updates, {seeds} seeds")
    for size in sizes:
        row = means[rate, size]
        shown = "diverged" if row.mean is None else f"{row.mean:.4f}  ({row.low:.4f} to {row.high:.4f})"
        print(f"  batch {size:>4}  accuracy {shown}")
    best = max(sizes, key=lambda size: means[rate, size].mean or 0.0)
    print(f"  best: batch {best}\n")
