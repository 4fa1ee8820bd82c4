"""A user's training, small but with all that can be disturbed, and traps in loss, step and data."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.sharedctypes import RawValue
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset, default_collate

import stepsize as ss
from tests.faults.injection import Trap
from tests.loops import UsersLoop

SAMPLES, BATCH, STEPS = 24, 4, 12


def data() -> tuple[torch.Tensor, torch.Tensor]:
    """Two features tell which of three classes a sample is of."""
    draw = torch.Generator().manual_seed(7)
    x = torch.randn(SAMPLES, 3, generator=draw)
    return x, (x[:, 0] > 0).long() + (x[:, 1] > 0).long()


def net() -> nn.Sequential:
    """Some tens of weights, with dropout."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        return nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Dropout(0.2), nn.Linear(5, 3))


class Augmented(Dataset[Any]):
    """Draws from every generator that there is, at each read."""

    def __init__(self, reads: Trap) -> None:
        self.reads, self.own = reads, np.random.default_rng(5)
        self.x, self.y = data()

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        if not self.reads.passes():
            raise IndexError("the file ends here")
        shift = random.gauss(0, 0.01) + np.random.normal(0, 0.01) + self.own.normal(0, 0.01)
        return self.x[index] + shift + 0.01 * torch.randn(3), self.y[index]


WAIT, DIE, LIVE = 0, 1, 2

PATIENCE = 500
"""Looks, a millisecond apart, after which a worker that is told nothing goes on: its loader may be gone."""


class Samples(IterableDataset[Any]):
    """For a `DataLoader` with a worker, which waits before sample `last` to be told what becomes of it.

    It dies only while it is waited for: torch reports a dead worker by an exception wherever the process is.
    """

    def __init__(self, last: int) -> None:
        self.last, self.fate = last, RawValue("i", WAIT)
        self.x, self.y = data()

    def __iter__(self) -> Iterator[Any]:
        for place, sample in enumerate(zip(self.x.numpy(), self.y.numpy(), strict=True)):
            for _ in range(PATIENCE if place == self.last else 0):
                if self.fate.value != WAIT:
                    break
                time.sleep(0.001)
            if place == self.last and self.fate.value == DIE:
                os._exit(3)
            yield sample


def _loaded(batch_size: int, doomed: bool) -> Iterator[Any]:
    """The batches of a loader with a worker, which dies as its third batch is asked for, or lives."""
    samples = Samples(2 * batch_size)
    # Arrays go through a pipe. Tensors would be fetched from a worker that may be dead by then.
    loader = iter(DataLoader(samples, batch_size=batch_size, num_workers=1, collate_fn=list))
    try:
        yield default_collate(next(loader))
        yield default_collate(next(loader))
        samples.fate.value = DIE if doomed else LIVE
        yield from map(default_collate, loader)
    finally:
        samples.fate.value = samples.fate.value or LIVE


@dataclass
class Users:
    """A training in the middle: what a user holds, the task or the loop made of it, and the traps in it."""

    task: ss.Task | None = None
    loop: UsersLoop | None = None
    held: list[Any] = field(default_factory=list)
    losses: Trap = field(default_factory=Trap)
    reads: Trap = field(default_factory=Trap)

    def train(self, updates: int) -> list[float]:
        """The user's own training, which goes on where it stands."""
        if self.loop is not None:
            return self.loop.train(updates)
        assert self.task is not None
        model, optimizer, scheduler = self.held[:3]
        found, batches = [], self.task.batches(3)
        for _ in range(updates):
            optimizer.zero_grad()
            loss = self.task.loss(model, next(batches))
            loss.backward()
            optimizer.step()
            scheduler.step()
            found.append(float(loss.detach()))
        return found


def _in_use(factory: Any) -> tuple[nn.Sequential, torch.optim.Optimizer, Any]:
    model = net()
    groups = [{"params": model[0].parameters(), "lr": 0.01}, {"params": model[3].parameters(), "lr": 0.05}]
    optimizer = factory(groups)
    return model, optimizer, torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 500)


def stacked(**changes: Any) -> Users:
    """Data in memory and momentum: many runs train as one stack. The loss is called a few times only."""
    users = Users()
    model, optimizer, scheduler = _in_use(partial(torch.optim.SGD, momentum=0.5))

    def loss(model: nn.Module, batch: Any) -> torch.Tensor:
        value = nn.functional.cross_entropy(model(batch[0]), batch[1])
        return value if users.losses.passes() else value * float("nan")

    users.held = [model, optimizer, scheduler]
    users.task = _task(model, loss, data(), optimizer, **changes)
    return users


def drawing(**changes: Any) -> Users:
    """A `Dataset` that draws, and a loss with a generator of its own: every update calls both."""
    users = Users()
    model, optimizer, scheduler = _in_use(torch.optim.AdamW)
    noise = torch.Generator().manual_seed(11)

    def loss(model: nn.Module, batch: Any) -> torch.Tensor:
        x, y = batch
        value = nn.functional.cross_entropy(model(x + 0.01 * torch.randn(x.shape, generator=noise)), y)
        return value if users.losses.passes() else value * float("nan")

    dataset = Augmented(users.reads)
    users.held = [model, optimizer, scheduler, noise, dataset.own]
    users.task = _task(model, loss, dataset, optimizer, **changes)
    return users


def streamed(**changes: Any) -> Users:
    """Batches from a `DataLoader` with a worker process, which the trap kills in its third batch."""
    users = Users()
    model, optimizer, scheduler = _in_use(partial(torch.optim.SGD, momentum=0.5))

    def stream(batch_size: int, seed: int) -> Iterator[Any]:
        return _loaded(batch_size, doomed=not users.reads.passes())

    users.held = [model, optimizer, scheduler]
    users.task = _task(model, ss.supervised(nn.CrossEntropyLoss()), stream, optimizer, **changes)
    return users


def ending(**changes: Any) -> Users:
    """A stream of a generator function, which the trap ends early, and for good."""
    users = Users()
    model, optimizer, scheduler = _in_use(partial(torch.optim.SGD, momentum=0.5))
    x, y = data()

    def stream(batch_size: int, seed: int) -> Iterator[Any]:
        draw = torch.Generator().manual_seed(seed)
        while users.reads.passes():
            index = torch.randint(0, SAMPLES, (batch_size,), generator=draw)
            yield x[index], y[index]

    users.held = [model, optimizer, scheduler]
    users.task = _task(model, ss.supervised(nn.CrossEntropyLoss()), stream, optimizer, **changes)
    return users


def _task(model: nn.Module, loss: Any, train: Any, optimizer: Any, **changes: Any) -> ss.Task:
    arguments = {"batch_size": BATCH, "steps": STEPS, "name": "faulty", **changes}
    x, y = data()
    val = None if callable(train) else (x[:4], y[:4])
    return ss.Task(model=model, loss=loss, train=train, val=val, optimizer=optimizer, **arguments)


def looped() -> Users:
    """A loop of the user's own: scaler, clipping, scheduler, weight average, noise of its own."""
    users = Users()
    model, optimizer, scheduler = _in_use(torch.optim.AdamW)
    scaler = torch.amp.GradScaler("cpu", init_scale=64.0)
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn())
    noise, order = torch.Generator().manual_seed(9), torch.Generator().manual_seed(5)
    seen = {"batches": 0}

    def step(batch: Any) -> torch.Tensor:
        model.train()
        optimizer.zero_grad()
        x, y = batch
        loss = nn.functional.cross_entropy(model(x + 0.01 * torch.randn(x.shape, generator=noise)), y)
        seen["batches"] += 1
        if not users.losses.passes():
            loss = loss * float("nan")
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        scaler.step(optimizer)
        scaler.update()
        scheduler.step()
        average.update_parameters(model)
        return loss

    def batches() -> Iterator[Any]:
        for batch in DataLoader(TensorDataset(*data()), batch_size=BATCH, shuffle=True, generator=order):
            if not users.reads.passes():
                return
            yield batch

    state = [model, scheduler, scaler, average, noise, order, seen]
    users.loop = UsersLoop(step, state, [optimizer], _Passes(batches))
    users.held = [*state, optimizer]
    return users


class _Passes:
    """Iterated over anew for each pass, as a loader is."""

    def __init__(self, one: Any) -> None:
        self._one = one

    def __iter__(self) -> Iterator[Any]:
        iterator: Iterator[Any] = self._one()
        return iterator
