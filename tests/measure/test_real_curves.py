"""Verdicts on real runs at 0.01, 1, 5 and 50 times the best rate of several tasks."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial

import numpy as np
import pytest
import torch
from torch import nn

import stepsize as ss
from stepsize.estimate.diagnosis import read_curve
from tests.tasks import digits, digits_task


def convolutions() -> ss.Task:
    x, y, xv, yv = digits()
    return digits_task(
        model=lambda: nn.Sequential(
            nn.Conv2d(1, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(144, 10)
        ),
        train=(x.reshape(-1, 1, 14, 14), y),
        val=(xv.reshape(-1, 1, 14, 14), yv),
        optimizer=torch.optim.Adam,
        steps=300,
    )


def regression() -> ss.Task:
    x = torch.randn(600, 8, generator=torch.Generator().manual_seed(0))
    y = (x[:, :1] * x[:, 1:2]).tanh() + x[:, 2:3]
    return ss.Task(
        model=lambda: nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 1)),
        loss=ss.supervised(nn.MSELoss()),
        train=(x[:500], y[:500]),
        val=(x[500:], y[500:]),
        optimizer=partial(torch.optim.SGD, momentum=0.9),
        batch_size=25,
        steps=300,
    )


TASKS: dict[str, Callable[[], ss.Task]] = {
    "digits": lambda: digits_task(steps=300),
    "convolutions with Adam": convolutions,
    "regression": regression,
}


@cache
def best_rate(name: str) -> float:
    """Of a grid, by the held-out loss at the end."""
    task = TASKS[name]()
    lrs = np.geomspace(1e-3, 3, 16)
    rates = lrs[:, None] * np.ones((1, task.steps))
    history = ss.train(task, [ss.Member(lr, 0) for lr in lrs], rates, evaluate_at=[task.steps])
    return float(lrs[np.nanargmin(history.val_loss[:, 0])])


@pytest.mark.parametrize(
    ("factor", "verdicts"),
    [
        (0.01, {"too_slow"}),
        (1.0, {"converging"}),
        (5.0, {"oscillating", "diverging", "converging"}),
        (50.0, {"oscillating", "diverging"}),
    ],
)
@pytest.mark.parametrize("name", TASKS)
def test_a_real_run_is_named_right(name: str, factor: float, verdicts: set[str]) -> None:
    task = TASKS[name]()
    lr = factor * best_rate(name)
    history = ss.train(task, [ss.Member(lr, 1)], np.full(task.steps, lr))
    losses = history.train_loss[0]
    found = read_curve(losses)  # NaN from a divergence on
    assert found.verdict in verdicts, (found, history.status)
