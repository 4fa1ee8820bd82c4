"""The ordinary training run that rivals search with, and in whose time every cost is counted."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import stepsize as ss
from benchmarks.regret.tasks import Case
from stepsize.data import Tensors

MakeOptimizer = Callable[[nn.Module], torch.optim.Optimizer]


def tensors(task: ss.Task) -> tuple[Tensor, Tensor]:
    """The training inputs and targets."""
    assert isinstance(task.train, Tensors)
    inputs, targets = task.train.tree
    return inputs, targets


def loader(task: ss.Task, seed: int) -> DataLoader[Any]:
    """The training data as other libraries take it, shuffled in the order of a seed."""
    generator = torch.Generator().manual_seed(seed)
    return DataLoader(TensorDataset(*tensors(task)), task.batch_size, shuffle=True, generator=generator)


def criterion(task: ss.Task) -> nn.Module:
    """The loss of (outputs, targets)."""
    found: nn.Module = task.loss.criterion  # type: ignore[attr-defined]  # every case is ss.supervised
    return found


def rates(case: Case, task: ss.Task, lr: float) -> list[float]:
    """The schedule's rate at every update, its peak at `lr`."""
    run = ss.Run(steps=task.steps, samples=task.samples, batch_size=task.batch_size)
    return list(ss.Schedule.parse(case.schedule).at(lr).values(run))


def held_out_loss(task: ss.Task, model: nn.Module) -> float:
    """The loss on all held-out data; infinite if it is not a number."""
    assert isinstance(task.val, Tensors)
    model.eval()
    with torch.no_grad():
        loss = float(task.loss(model, task.val.tree))
    return loss if math.isfinite(loss) else math.inf


def plain_run(
    case: Case, task: ss.Task, lr: float, seed: int, make_optimizer: MakeOptimizer | None = None
) -> tuple[nn.Module, torch.optim.Optimizer]:
    """Train one model to the horizon with the real schedule, stopping when the loss is no number.

    `make_optimizer` puts another optimizer in the place of the task's; `lr` is then a multiple of that one's
    rate.
    """
    model = task.make_model(seed)
    optimizer = task.make_optimizer(model, lr) if make_optimizer is None else make_optimizer(model)
    own = [1.0 if make_optimizer is None else group["lr"] for group in optimizer.param_groups]
    batches: Iterator[Any] = task.batches(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for rate in rates(case, task, lr):
            for group, factor in zip(optimizer.param_groups, own, strict=True):
                group["lr"] = rate * factor
            optimizer.zero_grad()
            loss = task.loss(model, next(batches))
            if not math.isfinite(float(loss.detach())):
                break
            loss.backward()
            optimizer.step()
    return model, optimizer


def seconds_of_a_run(case: Case, seed: int) -> float:
    """Wall-clock time of one plain run at a rate too small to diverge, after some updates to warm up."""
    task = case.task(seed)
    plain_run(case, task.replace(steps=10), 1e-6, seed)
    start = time.perf_counter()
    plain_run(case, task, 1e-6, seed)
    return time.perf_counter() - start
