"""Runs one task three ways (stack, loop, naive twin) and holds them to each other, update by update."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import torch
from torch import nn

import stepsize as ss
from tests.reference.plain_loop import evaluate, plain_loop

RATES = (0.05, 0.02, 0.002)


def fingerprint(model: nn.Module, batch: Any) -> torch.Tensor:
    """One number that changes with any weight or buffer, whatever its place."""
    total = torch.zeros((), dtype=torch.float64)
    for place, tensor in enumerate((*model.parameters(), *model.buffers()), start=1):
        weights = torch.cos(torch.arange(tensor.numel(), dtype=torch.float64) + place).view(tensor.shape)
        total = total + (tensor.double() * weights).sum()
    return total


def table(rates: Iterable[float], updates: int) -> np.ndarray:
    """Constant rates as `train` takes them, (K, updates)."""
    return np.tile(np.array(list(rates))[:, None], (1, updates))


def members(rates: Iterable[float], seed: int = 0) -> list[ss.Member]:
    return [ss.Member(lr=lr, seed=seed) for lr in rates]


def classification(
    dtype: torch.dtype = torch.float64, samples: int = 44
) -> tuple[torch.Tensor, torch.Tensor]:
    """Four features, three classes that a small net can learn most of."""
    generator = torch.Generator().manual_seed(5)
    x = torch.randn(samples, 4, dtype=torch.float64, generator=generator)
    return x.to(dtype), (x @ torch.randn(4, 3, dtype=torch.float64, generator=generator)).argmax(dim=1)


def small_net(dtype: torch.dtype = torch.float64) -> nn.Module:
    return nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3)).to(dtype)


def small_task(**changes: Any) -> ss.Task:
    """A task of milliseconds: 44 samples in batches of 16, the last of each epoch partial."""
    arguments: dict[str, Any] = {
        "model": small_net,
        "loss": ss.supervised(nn.CrossEntropyLoss()),
        "train": classification(),
        "val": classification(samples=20),
        "optimizer": torch.optim.SGD,
        "batch_size": 16,
        "steps": 100,
        "metrics": {"fingerprint": fingerprint},
    }
    return ss.Task(**{**arguments, **changes})


def assert_three_ways(
    task: ss.Task,
    make_model: Callable[[], nn.Module],
    make_optimizer: Callable[[Iterable[Any], float], torch.optim.Optimizer],
    rates: np.ndarray,
    *,
    tolerance: float = 1e-9,
    seed: int = 0,
    stacked: bool = True,
    params: Callable[[nn.Module], Any] = nn.Module.parameters,
    momentum: np.ndarray | None = None,
    masks: Callable[[], AbstractContextManager[Any]] | None = None,
) -> ss.History:
    """Stack, loop and twin agree on every loss, and in the end on held-out loss, weights and buffers."""
    run = members(rates[:, 0], seed)
    controls = None if momentum is None else {"momentum": momentum}
    end = rates.shape[1]
    stack = ss.train(task, run, rates, evaluate_at=[0, end], controls=controls)
    loop = ss.train(task, run, rates, evaluate_at=[0, end], controls=controls, engine="loop")
    assert (stack.engine == "stack") == stacked, stack.engine_reason
    assert loop.engine == "loop"
    assert np.isfinite(stack.train_loss).all()
    np.testing.assert_allclose(stack.train_loss, loop.train_loss, rtol=tolerance)
    np.testing.assert_allclose(stack.val_loss, loop.val_loss, rtol=tolerance)
    np.testing.assert_allclose(
        stack.metrics["fingerprint"], loop.metrics["fingerprint"], rtol=tolerance, atol=tolerance
    )
    for row in range(len(rates)):
        losses, model = plain_loop(
            make_model,
            task.loss,
            task.batches(seed),
            make_optimizer,
            rates[row],
            seed=seed,
            params=params,
            momentum=momentum,
            masks=masks() if masks else None,
        )
        np.testing.assert_allclose(stack.train_loss[row], losses, rtol=tolerance)
        found = evaluate(model, {"loss": task.loss, "fingerprint": fingerprint}, task.val.all())  # type: ignore[union-attr]
        np.testing.assert_allclose(stack.val_loss[row, -1], found["loss"], rtol=tolerance)
        np.testing.assert_allclose(
            stack.metrics["fingerprint"][row, -1], found["fingerprint"], rtol=tolerance, atol=tolerance
        )
    return stack
