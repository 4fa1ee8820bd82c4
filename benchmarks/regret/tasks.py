"""The visible tasks: chosen because they differ in kind, before any result was seen.

To add one: a function without arguments that returns a `Task`, under `@case`. All are `supervised` with one
input and one target, so that every rival can take them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import torch
from torch import nn

import stepsize as ss
from benchmarks.regret import data, networks
from stepsize.datasets.tasks import textbook_net

SGD, Adam, AdamW = torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW
MOMENTUM = partial(SGD, momentum=0.9)
NESTEROV = partial(SGD, momentum=0.9, nesterov=True)


@dataclass(frozen=True)
class Case:
    """A task with the schedule of its real run; the rate is what is looked for."""

    name: str
    kind: str
    schedule: str
    make: Callable[[], ss.Task]

    def task(self, seed: int = 0) -> ss.Task:
        """The task whose starting weights and batch order count up from `seed`."""
        return self.make().replace(seed=seed, name=self.name)


CASES: dict[str, Case] = {}
"""Every visible task, by name."""


def case(name: str, kind: str, schedule: str) -> Callable[[Callable[[], ss.Task]], Callable[[], ss.Task]]:
    """Enter a function that makes a task into `CASES`; the task is made once."""

    def enter(make: Callable[[], ss.Task]) -> Callable[[], ss.Task]:
        kept = cache(make)
        CASES[name] = Case(name, kind, schedule, kept)
        return kept

    return enter


def _task(model: Any, parts: data.Parts, **arguments: Any) -> ss.Task:
    """A task on (train, held out), cross-entropy unless told otherwise, on the CPU."""
    train, held_out = parts
    criterion = arguments.pop("criterion", None) or nn.CrossEntropyLoss()
    return ss.Task(model, ss.supervised(criterion), train, val=held_out, device="cpu", **arguments)


@case("textbook", "the textbook's net", "fixed")
def textbook() -> ss.Task:
    return _task(textbook_net, data.digits28(10_000), optimizer=SGD, batch_size=64, steps=1500)


@case("cnn", "CNN", "one_cycle")
def cnn() -> ss.Task:
    return _task(networks.cnn, data.digits14(4000), optimizer=NESTEROV, batch_size=64, steps=400)


@case("cnn-norm-dropout", "CNN with BatchNorm and dropout", "cosine")
def cnn_norm_dropout() -> ss.Task:
    return _task(networks.normalised_cnn, data.digits14(4000), optimizer=AdamW, batch_size=32, steps=500)


@case("residual-mlp", "residual MLP with LayerNorm", "warmup('5%') | linear")
def residual_mlp() -> ss.Task:
    return _task(networks.residual_mlp, data.tables("digits", 500), optimizer=Adam, batch_size=32, steps=800)


@case("autoencoder", "autoencoder", "fixed")
def autoencoder() -> ss.Task:
    (train, _), (held_out, _) = data.digits14(6000, flat=True)
    parts = (train, train), (held_out, held_out)
    return _task(
        networks.autoencoder, parts, criterion=nn.MSELoss(), optimizer=Adam, batch_size=100, steps=600
    )


@case("logistic", "logistic regression, all rows at once", "fixed")
def logistic() -> ss.Task:
    parts = data.tables("breast_cancer", 169)
    return _task(partial(nn.Linear, 30, 2), parts, optimizer=SGD, batch_size="full", steps=300)


@case("diabetes", "regression on 300 rows", "step")
def diabetes() -> ss.Task:
    model = partial(networks.mlp, 10, 32, 1)
    parts = data.tables("diabetes", 142)
    return _task(model, parts, criterion=nn.MSELoss(), optimizer=MOMENTUM, batch_size=16, steps=500)


@case("transformer", "character transformer", "warmup('5%') | cosine(floor=0.1)")
def transformer() -> ss.Task:
    optimizer = partial(AdamW, betas=(0.9, 0.95), weight_decay=0.1)
    model = partial(networks.Transformer, 64, 32)
    return _task(model, data.prose(32, samples=4000), optimizer=optimizer, batch_size=16, steps=600)


@case("recurrent", "recurrent net on characters", "linear")
def recurrent() -> ss.Task:
    model = partial(networks.Recurrent, 64)
    return _task(model, data.prose(24, samples=4000), optimizer=Adam, batch_size=32, steps=400)


@case("embedding-bag", "embedding bag on sparse features", "cosine")
def embedding_bag() -> ss.Task:
    model = partial(networks.bag, 2000, len(data.MODULES))
    return _task(model, data.source_words(2000), optimizer=MOMENTUM, batch_size=64, steps=1000)


@case("conv1d", "1-D convolutions over characters", "step(gamma=0.3)")
def conv1d() -> ss.Task:
    model = partial(networks.Convolutions1d, len(data.MODULES))
    return _task(model, data.source_characters(), optimizer=AdamW, batch_size=64, steps=300)


@case("wine", "170 rows, batch 8, 100 updates", "fixed")
def wine() -> ss.Task:
    model = partial(networks.mlp, 13, 16, 3)
    return _task(model, data.tables("wine", 58), optimizer=SGD, batch_size=8, steps=100)


@case("long-run", "3,000 updates on 1,300 rows", "one_cycle")
def long_run() -> ss.Task:
    model = partial(networks.mlp, 64, 32, 32, 10)
    return _task(model, data.tables("digits", 500), optimizer=AdamW, batch_size=16, steps=3000)


@case("large-batch", "batch 1,000", "warmup('10%') | cosine")
def large_batch() -> ss.Task:
    model = partial(networks.mlp, 196, 64, 10)
    return _task(model, data.digits14(8000, flat=True), optimizer=MOMENTUM, batch_size=1000, steps=150)


@case("deep-plain", "eight layers without shortcuts", "step")
def deep_plain() -> ss.Task:
    parts = data.digits14(4000, flat=True)
    return _task(networks.deep_plain, parts, optimizer=NESTEROV, batch_size=50, steps=500)


@case("fine-tuning", "fine-tuning: five digits known, five new", "cosine")
def fine_tuning() -> ss.Task:
    known = data.digits14(3000, flat=True, only=(0, 1, 2, 3, 4))
    net, _ = _trained(networks.mlp(196, 64, 32, 5), known, updates=400)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(4)
        body = list(net.children())[:-1]
        tuned = nn.Sequential(*body, nn.Linear(32, 5))
    new = data.digits14(300, flat=True, only=(5, 6, 7, 8, 9))
    return _task(tuned, new, optimizer=NESTEROV, batch_size=16, steps=200)


@case("mid-training", "from a checkpoint, Adam's state kept: 400 updates done, 800 to go", "linear")
def mid_training() -> ss.Task:
    parts = data.digits14(6000, flat=True)
    net, optimizer = _trained(networks.mlp(196, 48, 48, 10), parts, updates=400)
    return _task(net, parts, optimizer=optimizer, batch_size=32, steps=800)


def _trained(
    net: nn.Module, parts: data.Parts, *, updates: int, lr: float = 1e-3
) -> tuple[nn.Module, torch.optim.Optimizer]:
    """The net after some updates with Adam at batch 32, always the same ones; and the optimizer.

    In float64, so that the weights do not depend on the order in which some processor adds.
    """
    (x, y), _ = parts
    generator = torch.Generator().manual_seed(3)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        for layer in net.modules():
            if isinstance(layer, nn.Linear):
                layer.reset_parameters()
    net.double()
    optimizer = Adam(net.parameters(), lr=lr)
    for _ in range(updates):
        index = torch.randint(len(x), (32,), generator=generator)
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(x[index].double()), y[index]).backward()
        optimizer.step()
    for state in optimizer.state.values():
        state |= {name: value.float() for name, value in state.items()}
    return net.float(), optimizer
