"""The problems of the chapter: the textbook's net on MNIST, and small ones made for a statement each."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from stepsize.chapter.settings import Settings
from stepsize.datasets import mnist
from stepsize.datasets.tasks import mnist_task
from stepsize.schedules import GrowthBatchSampler, Schedule
from stepsize.schedules.growth import GrowthPlan
from stepsize.task import Task, accuracy, supervised


@lru_cache(maxsize=2)
def textbook(settings: Settings) -> Task:
    """The textbook's net on MNIST, on the CPU: a net this small is not faster elsewhere."""
    return mnist_task(epochs=settings.epochs, device="cpu", images=settings.images, held=settings.held)


@lru_cache(maxsize=8)
def first_images(settings: Settings, most: int) -> Task:
    """The textbook's task on its first images, at most `most`."""
    task = textbook(settings)
    x, y = task._arguments["train"]
    count = min(most, len(x))
    return task.replace(
        train=(x[:count], y[:count]),
        batch_size=min(task.batch_size, count),
        name=f"{task.name}, first {count}",
    )


def growing(settings: Settings, schedule: str, batch_size: int, largest: int) -> tuple[Task, GrowthPlan]:
    """The textbook's task with batches that grow where `schedule` would lower the rate, same samples."""
    base = textbook(settings).replace(batch_size=batch_size)
    x, y = base._arguments["train"]
    plan = Schedule.parse(schedule).as_batch_growth(base.run, max_batch=min(largest, len(x) // 10))

    def batches(batch_size: int, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
        for indices in GrowthBatchSampler(plan, len(x), seed=seed):
            yield x[indices], y[indices]

    return base.replace(train=batches, steps=plan.steps, name=f"{base.name}, growing batch"), plan


# -- a plateau -----------------------------------------------------------------------------------------
XOR_STEPS = 16_000


def xor_net() -> nn.Module:
    """2-3-2 with sigmoid units and small starting weights, which begin close to a saddle point."""
    net = nn.Sequential(nn.Linear(2, 3), nn.Sigmoid(), nn.Linear(3, 2))
    for layer in net:
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, std=0.1)
            nn.init.zeros_(layer.bias)
    return net


@lru_cache(maxsize=2)
def xor(settings: Settings) -> Task:
    """Exclusive or: four samples, all in every update, so that an update is an epoch."""
    x = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    y = torch.tensor([0, 1, 1, 0])
    return Task(
        model=xor_net,
        loss=supervised(nn.CrossEntropyLoss()),
        train=(x, y),
        val=(x, y),
        optimizer=torch.optim.SGD,
        batch_size="full",
        steps=settings.pick(XOR_STEPS, 4_000),
        device="cpu",
        name="xor",
    )


# -- sparse features -----------------------------------------------------------------------------------
FEATURES = 400
EDGES = (0, 4, 20, 100, FEATURES)
"""Features 0 to 3 are common, 100 to 399 rare; each block is a parameter group."""

FREQUENCIES = 0.5 / np.arange(1, FEATURES + 1)
"""Share of samples that hold a feature: Zipf's law, as words in texts."""


class Bag(nn.Module):
    """A logistic model of the features present, its weights in four blocks from common to rare."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(nn.Linear(b - a, 1, bias=a == 0) for a, b in itertools.pairwise(EDGES))
        for parameter in self.parameters():
            nn.init.zeros_(parameter)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (n,) of features (n, 400)."""
        parts = [block(x[:, a:b]) for block, a, b in zip(self.blocks, EDGES, EDGES[1:], strict=False)]
        return torch.stack(parts).sum(dim=0).squeeze(-1)


def by_frequency(model: nn.Module) -> list[dict[str, Any]]:
    """A parameter group for each block, its rate in inverse proportion to how often its features occur."""
    assert isinstance(model, Bag)
    spans = zip(model.blocks, EDGES, EDGES[1:], strict=False)
    common = FREQUENCIES[EDGES[0] : EDGES[1]].mean()
    return [
        {"params": list(block.parameters()), "lr_scale": float(common / FREQUENCIES[a:b].mean())}
        for block, a, b in spans
    ]


def _binary(outputs: Tensor, labels: Tensor) -> Tensor:
    return nn.functional.binary_cross_entropy_with_logits(outputs, labels.float())


@lru_cache(maxsize=2)
def _bags(samples: int) -> tuple[Tensor, Tensor]:
    random = np.random.default_rng(0)
    weights = 1.5 * random.standard_normal(FEATURES)
    x = (random.random((samples, FEATURES)) < FREQUENCIES).astype(np.float32)
    chances = 1 / (1 + np.exp(-(x @ weights - FREQUENCIES @ weights)))
    return torch.from_numpy(x), torch.from_numpy((random.random(samples) < chances).astype(np.int64))


def sparse(settings: Settings, name: str, optimizer: Callable[..., Any], params: Any = None) -> Task:
    """4,000 samples of 400 features to learn from, 4,000 held out, with this optimizer."""
    x, y = _bags(8_000)
    return Task(
        model=Bag,
        loss=supervised(_binary),
        train=(x[:4_000], y[:4_000]),
        val=(x[4_000:], y[4_000:]),
        optimizer=optimizer,
        params=params,
        batch_size=32,
        steps=settings.pick(500, 125),
        device="cpu",
        name=name,
    )


# -- the best batch for a fixed rate -------------------------------------------------------------------
def one_layer() -> nn.Module:
    """196-100-10 with ReLU."""
    return nn.Sequential(nn.Linear(196, 100), nn.ReLU(), nn.Linear(100, 10))


@lru_cache(maxsize=1)
def _small_digits() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """MNIST at 14 × 14, each pixel the mean of four."""
    digits = mnist(raw=True)

    def halved(images: Any) -> Tensor:
        blocks = images.astype(np.float32).reshape(len(images), 14, 2, 14, 2)
        return torch.from_numpy(blocks.mean(axis=(2, 4)).reshape(len(images), -1) / 255)

    train, test = digits.train, digits.test
    return (
        halved(train.images[:4_000]),
        torch.from_numpy(train.labels[:4_000]),
        halved(test.images[:5_000]),
        torch.from_numpy(test.labels[:5_000]),
    )


def few_digits(settings: Settings, samples: int) -> Task:
    """A one-layer net on few small digits, judged by 5,000 test images (quick: 512); momentum 0.9."""
    x, y, xv, yv = _small_digits()
    held = settings.pick(5_000, 512)
    return Task(
        model=one_layer,
        loss=supervised(nn.CrossEntropyLoss()),
        train=(x[:samples], y[:samples]),
        val=(xv[:held], yv[:held]),
        optimizer=partial(torch.optim.SGD, momentum=0.9),
        batch_size=32,
        steps=settings.pick(1_000, 40),
        metrics={"accuracy": accuracy()},
        device="cpu",
        name=f"{samples} small digits",
    )
