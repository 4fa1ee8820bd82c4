"""Small real tasks that the tests of measurements and decisions share."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import Any

import numpy as np
import torch
from torch import nn

import stepsize as ss
from stepsize.data import Tensors
from stepsize.datasets import mnist


@cache
def digits() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """1,500 MNIST digits at 14 x 14 to train on, 500 held out."""
    data = mnist(raw=True)

    def small(images: np.ndarray, n: int) -> torch.Tensor:
        return torch.from_numpy(images[:n, ::2, ::2].reshape(n, -1)).float() / 255

    train, held = data.train, data.validation
    return (
        small(train.images, 1500),
        torch.from_numpy(train.labels[:1500]),
        small(held.images, 500),
        torch.from_numpy(held.labels[:500]),
    )


def net() -> nn.Module:
    return nn.Sequential(nn.Linear(196, 24), nn.Tanh(), nn.Linear(24, 10))


def digits_task(**changes: Any) -> ss.Task:
    """A one-hidden-layer net on the small digits: 120 updates of batch 50, SGD with momentum."""
    x, y, xv, yv = digits()
    arguments: dict[str, Any] = {
        "model": net,
        "loss": ss.supervised(nn.CrossEntropyLoss()),
        "train": (x, y),
        "val": (xv, yv),
        "optimizer": partial(torch.optim.SGD, momentum=0.5),
        "batch_size": 50,
        "steps": 120,
        "name": "digits",
    }
    return ss.Task(**{**arguments, **changes})


def unlearnable_task(**changes: Any) -> ss.Task:
    """Labels by chance and inputs without content: no rate lowers the held-out loss beyond luck."""
    x, y = torch.zeros(400, 3), torch.randint(0, 2, (400,), generator=torch.Generator().manual_seed(0))
    arguments: dict[str, Any] = {
        "model": partial(nn.Linear, 3, 2),
        "loss": ss.supervised(nn.CrossEntropyLoss()),
        "train": (x, y),
        "val": (x[:100], y[:100]),
        "optimizer": torch.optim.SGD,
        "batch_size": 20,
        "steps": 40,
        "name": "unlearnable",
    }
    return ss.Task(**{**arguments, **changes})


def normed_net() -> nn.Module:
    """With BatchNorm, so that no batch of one sample can be trained on and no sample has its own gradient."""
    return nn.Sequential(nn.Linear(196, 8), nn.BatchNorm1d(8), nn.Linear(8, 10))


def plain_run(task: ss.Task, lr: float, seed: int) -> float:
    """The held-out loss after the full run at a fixed rate, by a loop that knows nothing of the engine."""
    model = task.make_model(seed)
    optimizer = task.make_optimizer(model, lr)
    batches = task.batches(seed)
    for _ in range(task.steps):
        optimizer.zero_grad()
        task.loss(model, next(batches)).backward()
        optimizer.step()
    model.eval()
    with torch.no_grad():
        return float(task.loss(model, _held_out(task)))


def dense_grid(task: ss.Task, lrs: np.ndarray, seeds: tuple[int, ...]) -> Callable[[float], float]:
    """Regret of a rate against the best of a dense grid, by full plain runs: share of the progress lost."""
    losses = np.array([np.mean([plain_run(task, float(lr), seed) for seed in seeds]) for lr in lrs])
    best = float(np.nanmin(losses))
    start = float(np.mean([_start(task, seed) for seed in seeds]))

    def regret(lr: float) -> float:
        loss = float(np.mean([plain_run(task, lr, seed) for seed in seeds]))
        return (loss - best) / (start - best)

    return regret


def _start(task: ss.Task, seed: int) -> float:
    with torch.no_grad():
        return float(task.loss(task.make_model(seed).eval(), _held_out(task)))


def _held_out(task: ss.Task) -> Any:
    assert isinstance(task.val, Tensors)
    return task.val.tree
